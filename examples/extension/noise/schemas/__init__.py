"""One frozen JSON Schema per version of the extension."""
