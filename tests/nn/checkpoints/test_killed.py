"""Killed at any moment, a save leaves no checkpoint that is not whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT

pytestmark = pytest.mark.program


def after_kills(kind: str, folder: Path) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.nn.checkpoints.killed", kind, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1000, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_whatever_is_visible_is_whole(tmp_path: Path) -> None:
    found = after_kills("ours", tmp_path)
    assert (found["torn"], found["lost"]) == (0, 0)
    assert found["seen"] > 20


def test_a_naive_writer_is_caught_by_the_same_kills(tmp_path: Path) -> None:
    assert after_kills("naive", tmp_path)["torn"] > 0
