"""Several processes: one decides and writes, all agree, errors reach every one, and files are as from one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.builders import ROOT
from tests.nn.test_checkpointer import SMALL

MERGED = Path("run", "checkpoints", "checkpoint_000004", "consolidated")


def launch(what: str, folder: Path, size: int) -> list[dict[str, Any]]:
    """Run a scenario of `tests.nn.launched` and return what each rank said."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.nn.launched", what, str(folder), str(number), str(size)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(size)
    ]
    said = []
    try:
        for process in ranks:
            out, err = process.communicate(timeout=100)
            assert process.returncode == 0, err
            said.append(json.loads(out.splitlines()[-1]))
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    return said


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    launch("alone", folder, 1)
    return folder


@pytest.mark.parametrize(("what", "size"), [("ddp", 2), ("fsdp", 2), ("fsdp", 3)])
def test_the_files_are_those_of_one_process(what: str, size: int, one_process: Path, tmp_path: Path) -> None:
    """And going on from a checkpoint is never having stopped, on every rank."""
    said = launch(what, tmp_path / "run", size)
    expected = {
        "seen": sorted(SMALL | {"lora.safetensors"}),
        "equal": True,
        "resumed": [2, True, True],
        "merged": True,
        "agrees": True,
    }
    assert said == [expected] * size
    name = "untrained.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (one_process / name).read_bytes()
    ours, alone = (folder / MERGED for folder in (tmp_path / "run", one_process))
    assert sorted(os.listdir(ours)) == sorted(os.listdir(alone))
    for name in ("consolidated.safetensors", "training_state.safetensors"):
        here, there = load_file(ours / name), load_file(alone / name)
        assert here.keys() == there.keys()
        close = {key: here[key] for key in here if (here[key] - there[key]).abs().max() < 1e-4}
        assert close.keys() == here.keys()
    assert (ours / "config.json").read_bytes() == (alone / "config.json").read_bytes()
    assert os.listdir(ours.parent.parent) == ["checkpoint_000004"]


@pytest.mark.parametrize("size", [2, 3])
def test_an_error_on_one_rank_reaches_all(size: int, tmp_path: Path) -> None:
    said = launch("errors", tmp_path, size)
    last = size - 1
    for number, one in enumerate(said):
        assert one["first"] == "InputError: ttt.base_lr: is wrong\nseed: too"
        own = "own: ValueError: boom"
        assert one["last"] == (own if number == last else f"RankError: rank {last} failed: ValueError: boom")
        assert one["fine"] == "none: fine"
        assert one["resolve"].startswith("InputError: ")
        assert "ttt.base_lr" in one["resolve"]
        assert one["agree"].startswith("RankError: seed: is 0 on rank 0 and 1 on rank 1")
        assert "layer 1 of the model has base_lr 3.0" in one["model"]
        assert "there is no such checkpoint" in one["absent"]
    assert not (tmp_path / "run").exists()


def test_rank_0_resolves_for_all(tmp_path: Path) -> None:
    said = launch("resolving", tmp_path, 3)
    first = said[0]
    assert (first["seed"], first["betas"], first["layers"]) == (0, [0.5, 0.75], [1, 2])
    assert [{**one, "secret": None} for one in said] == [{**first, "secret": None}] * 3
    assert [one["secret"] for one in said] == [True, False, False]


def test_a_model_can_outlive_its_group_of_processes(tmp_path: Path) -> None:
    """Gloo's threads hold no tensor of ours by then, so that nobody waits for them in vain."""
    assert launch("leaving", tmp_path, 2) == [{"left": 20}] * 2
