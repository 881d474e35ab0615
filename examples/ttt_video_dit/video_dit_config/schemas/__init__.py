"""One frozen JSON Schema per version."""
