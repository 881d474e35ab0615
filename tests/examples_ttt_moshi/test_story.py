"""The story runs the programs, prints a few lines, and exits with 1 where a claim does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from ttt_moshi.evaluation import read

from tests.launcher import Result, python

from .conftest import CONFIGS

pytestmark = pytest.mark.program


def run_story(*words: str | Path, code: int = 0) -> Result:
    return python(CONFIGS.parent / "story.py", *words, code=code)


def test_every_claim_holds_on_a_short_run(tmp_path: Path) -> None:
    folder = tmp_path / "story"
    done = run_story("--steps", "2", "--minutes", "0.05", "--folder", folder)
    assert done.out.count("   holds ") == 11
    assert "BROKEN" not in done.out
    assert len(done.out.splitlines()) < 70
    own, foreign, changed = (read(folder / f"{name}.json") for name in ("own", "foreign", "changed"))
    assert own["standard"] == foreign["standard"] != changed["standard"]
    assert all(
        one["status"] in ("done", "not run")
        for one in read(folder / "both.json")["paper_metrics"]["benchmarks"].values()
    )


def test_it_leaves_with_1_where_a_claim_does_not_hold(tmp_path: Path) -> None:
    done = run_story("--steps", "0", "--folder", tmp_path / "story", code=1)
    assert "BROKEN  training ends" in done.out
    assert "max_steps: 0 is refused" in done.out
