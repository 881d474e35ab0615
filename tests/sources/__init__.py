"""Tests of the sources: one module per reader."""
