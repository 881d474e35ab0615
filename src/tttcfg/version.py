"""The package's version; the schema's version is another number."""

__version__ = "0.1.0"
