"""Saved configurations of any version: read, upgraded, downgraded, compared and saved; checkpoint folders.

Families, verification and everything below may import it; it merges nothing.
"""
