"""Tests of families and extensions."""
