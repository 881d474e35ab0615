"""Tests of saving, loading, restoring and resuming."""
