"""Every named hostile file and option ends as recorded, costs next to nothing, and changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import some
from tests.hostile.corpus import Case, build, cases
from tests.hostile.outcome import expected, measured, outcome, snapshot

Record = Callable[[str, object], None]
CASES = cases()
EXPECTED = expected()
SECONDS, MEMORY = 3.0, 64 << 20
"""What a case may take more than a small good one; a busy machine makes three seconds of one, and `python -m
tests.hostile` prints what they take."""
WRITES = {"write: link to nothing"}
"""What makes a file: the one that a link of that name leads to, in its own folder."""


def made(case: Case, folder: Path) -> Path:
    inside = folder / "inside"
    inside.mkdir()
    (folder / "beside").write_bytes(b"not to be touched")
    build(case, inside)
    return inside


def test_there_are_enough_and_each_has_an_outcome() -> None:
    assert len(CASES) >= 300
    assert CASES.keys() == EXPECTED.keys()
    assert "bug" not in {code for _, codes in EXPECTED.values() for code in codes}


@pytest.mark.parametrize("name", some(CASES, 5))
def test_a_hostile_case_ends_as_recorded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """With its exit code and its error codes, and nothing written."""
    inside = made(CASES[name], tmp_path)
    before = snapshot(tmp_path)
    if name.startswith("large"):  # this process keeps no memory of it
        assert measured(CASES[name].arguments, inside)[0] == EXPECTED[name]
    else:
        monkeypatch.chdir(inside)
        assert outcome(CASES[name].arguments) == EXPECTED[name]
    record_property("hostile files and options", 1)
    if name not in WRITES:
        assert snapshot(tmp_path) == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("name", some(CASES, 25))
def test_a_hostile_case_costs_next_to_nothing(name: str, tmp_path: Path) -> None:
    """The least of three runs counts: a busy machine slows one down."""
    inside = made(CASES[name], tmp_path)
    cheapest = float("inf")
    for _ in range(3):
        found, cost = measured(CASES[name].arguments, inside)
        assert found == EXPECTED[name]
        assert cost.memory < MEMORY
        cheapest = min(cheapest, cost.seconds)
        if cheapest < SECONDS:
            return
    pytest.fail(f"took {cheapest:.1f} s of processor time")
