"""Tests of fields and schemas."""
