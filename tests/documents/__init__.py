"""Tests of saved configurations."""
