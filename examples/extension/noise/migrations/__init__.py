"""One module per step of the extension's history."""
