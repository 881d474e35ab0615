"""Tests of sources and the resolver."""
