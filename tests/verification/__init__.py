"""Tests of verification and binding."""
