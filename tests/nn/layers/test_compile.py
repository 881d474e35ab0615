"""Tests of compiled layers, in a process of their own: what the compiler keeps takes memory."""

from __future__ import annotations

import pytest

from tests.builders import ROOT
from tests.launcher import python


@pytest.mark.parametrize("speed", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_compiled_layers(speed: str) -> None:
    words = ("-m", "pytest", "-q", "-m", speed, "-p", "no:cacheprovider", "tests/nn/layers/compiled.py")
    assert " passed" in python(*words, cwd=ROOT).out
