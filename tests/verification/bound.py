"""Checkpoints whose weights and configuration may be bound to each other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import trained
from tests.evidence.dialects.tensors import Size, consolidated
from tests.safetensors.files import Tensors, room_for, sharded, weights_file
from tttcfg import ContradictionError
from tttcfg.documents.save import document_bytes
from tttcfg.errors import Problem
from tttcfg.resolving.families import as_document

SIZE = Size(heads=2, head_dim=4, layers=3)
MODEL = {"dim": SIZE.width, "num_heads": SIZE.heads, "num_layers": SIZE.layers, "context": 3000}
TENSORS = {name: ("BF16", shape) for name, shape in consolidated(SIZE, [1, 2], [16]).items()}
DATA = bytes(number % 251 for number in range(room_for(TENSORS)))
TRAINED = {"ttt.enable": True, "ttt.layers": [1, 2], "ttt.base_lr": 0.5}


def made(run_folder: Path, values: dict[str, Any] | None = None, metadata: dict[str, str] | None = None) -> Path:
    """Make a checkpoint with weights that nothing binds, and return the weights."""
    folder = trained(run_folder, {**TRAINED, **(values or {})}, MODEL)
    return filled(folder / "consolidated" / "consolidated.safetensors", metadata)


def filled(path: Path, metadata: dict[str, str] | None = None) -> Path:
    weights_file(path, TENSORS, metadata)
    with path.open("r+b") as file:
        file.seek(-len(DATA), os.SEEK_END)
        file.write(DATA)
    return path


def in_shards(run_folder: Path, *files: str) -> Path:
    """Make a sharded checkpoint that nothing binds, the tensors dealt out to `files`, and return its folder."""
    folder = made(run_folder).parent
    (folder / "consolidated.safetensors").unlink()
    dealt: dict[str, Tensors] = {
        file: {name: TENSORS[name] for name in list(TENSORS)[number :: len(files)]} for number, file in enumerate(files)
    }
    sharded(folder, dealt)
    return folder


def put(path: Path, configuration: Any) -> None:
    """Put a document where it may not belong, as copying a file does."""
    path.write_bytes(document_bytes(as_document(configuration)))


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
