"""Tests of dialects of tensor names."""
