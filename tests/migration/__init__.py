"""Tests of operations, chains and records."""
