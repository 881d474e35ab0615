"""The package's version; the schema's version is another number."""

__version__ = "0.2.0"
