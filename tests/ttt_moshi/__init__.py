"""Tests of the built-in family."""
