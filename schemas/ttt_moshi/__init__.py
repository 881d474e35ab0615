"""One frozen JSON Schema per version of the Moshi TTT trainer's configuration."""
