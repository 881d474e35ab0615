"""One frozen schema per version; the tests need none."""
