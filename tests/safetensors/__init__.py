"""Tests of the format of weights files."""
