"""The story is told by the programs, in a few lines, and leaves with 1 where a claim does not hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ttt_moshi.evaluation import read

from .conftest import CONFIGS

pytestmark = pytest.mark.program


def tell(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, CONFIGS.parent / "story.py", *words]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)


def test_every_claim_holds_on_a_short_run(tmp_path: Path) -> None:
    folder = tmp_path / "story"
    done = tell("--steps", "2", "--minutes", "0.05", "--folder", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("   holds ") == 11
    assert "BROKEN" not in done.stdout
    assert len(done.stdout.splitlines()) < 70
    own, foreign, changed = (read(folder / f"{name}.json") for name in ("own", "foreign", "changed"))
    assert own["standard"] == foreign["standard"] != changed["standard"]
    assert all(
        one["status"] in ("done", "not run")
        for one in read(folder / "both.json")["paper_metrics"]["benchmarks"].values()
    )


def test_it_leaves_with_1_where_a_claim_does_not_hold(tmp_path: Path) -> None:
    done = tell("--steps", "0", "--folder", tmp_path / "story")
    assert done.returncode == 1
    assert "BROKEN  training ends" in done.stdout
    assert "max_steps: 0 is refused" in done.stdout
