"""Tests of what is read of weights files."""
