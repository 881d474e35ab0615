"""Tests of how schemas change, on families that are written to disk."""
