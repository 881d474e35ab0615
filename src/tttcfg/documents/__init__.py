"""Saved configurations of any version: read, upgraded, downgraded, compared and saved; checkpoint folders.

The folders below it in `docs/architecture.md` may import it; it merges nothing.
"""
