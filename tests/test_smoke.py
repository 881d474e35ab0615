"""The package imports, and an empty configuration is valid."""

import tttcfg


def test_defaults_are_valid() -> None:
    assert tttcfg.resolve().training == tttcfg.TrainingArgs()
