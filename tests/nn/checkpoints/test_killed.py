"""Stopped at any moment, a save loses nothing, and what it leaves is put right by the next run.

How many faults were tried is printed in the end; `make slow` tries all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import ROOT
from tests.launcher import launch, python

Check = Callable[[dict[str, Any], int], None]
SCENARIOS = ("again", "again-plain", "next", "next-plain", "edited", "first", "resume")


def tried(how: str, what: str, folder: Path, every: int = 1) -> dict[str, Any]:
    done = python("-m", "tests.nn.checkpoints.killed", how, what, folder, str(every), cwd=ROOT, limit=3000)
    found: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return found


BAD = ("lost", "mixed", "wrong", "litter")


@pytest.fixture
def assert_sound(record_property: Callable[[str, object], None]) -> Check:
    def check(found: dict[str, Any], least: int) -> None:
        record_property("faults while a checkpoint was saved or read", found["tried"])
        assert {name: found[name] for name in BAD} == dict.fromkeys(BAD, 0)
        assert found["tried"] >= least

    return check


@pytest.mark.program
def test_whatever_is_visible_is_whole(tmp_path: Path) -> None:
    found = tried("random", "ours", tmp_path)
    assert (found["torn"], found["lost"]) == (0, 0)
    assert found["seen"] > 20


@pytest.mark.program
def test_a_naive_writer_is_caught_by_the_same_kills(tmp_path: Path) -> None:
    assert tried("random", "naive", tmp_path)["torn"] > 0


def test_nothing_is_lost_at_some_of_its_calls(tmp_path: Path, assert_sound: Check) -> None:
    assert_sound(tried("calls", "again-plain", tmp_path, 97), 12)


def test_a_naive_writer_is_caught_at_its_calls(tmp_path: Path) -> None:
    found = tried("calls", "naive", tmp_path)
    assert found["lost"] > 0
    assert found["ends"]["killed"] > found["lost"]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost_at_any_of_its_calls(scenario: str, tmp_path: Path, assert_sound: Check) -> None:
    assert_sound(tried("calls", scenario, tmp_path), 10 if scenario == "resume" else 500)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost_at_any_system_call(scenario: str, tmp_path: Path, assert_sound: Check) -> None:
    if not can_trace():
        pytest.skip("needs strace, and the right to attach it to a process")
    assert_sound(tried("strace", scenario, tmp_path), 10 if scenario == "resume" else 50)


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and launch(strace, "-e", "inject=getpid:error=EPERM", "true", code=None).code == 0
