"""Tests of what tensors prove."""
