"""Checkpoints whose weights and configuration may be bound to each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import trained
from tests.weights.files import weights_file
from tttcfg import ContradictionError
from tttcfg.errors import Problem

TENSORS = {"a": ("BF16", [4]), "b": ("BF16", [2, 3])}
DATA = bytes(range(20))
TRAINED = {"ttt.enable": True, "ttt.layers": [1, 2], "ttt.base_lr": 0.5}


def made(run_folder: Path, values: dict[str, Any] | None = None, metadata: dict[str, str] | None = None) -> Path:
    """Make a checkpoint with weights that nothing binds, and return the weights."""
    folder = trained(run_folder, {**TRAINED, **(values or {})})
    return filled(folder / "consolidated" / "consolidated.safetensors", metadata)


def filled(path: Path, metadata: dict[str, str] | None = None) -> Path:
    weights_file(path, TENSORS, metadata)
    with path.open("r+b") as file:
        file.seek(-len(DATA), os.SEEK_END)
        file.write(DATA)
    return path


def sidecar(weights: Path) -> Path:
    return weights.parent / "training_config.json"


def state(path: Path) -> str:
    return tttcfg.inspect_weights(path).binding


def contradicted(path: Path) -> Problem:
    with pytest.raises(ContradictionError) as caught:
        tttcfg.resolve(path)
    assert [problem.code for problem in caught.value.problems] == ["binding"]
    return caught.value.problems[0]


def changed(path: Path, values: dict[str, Any]) -> Any:
    """Return the configuration saved at `path` with other values."""
    return tttcfg.resolve(config=tttcfg.load_document(path).training.model_dump(), overrides=values).training
