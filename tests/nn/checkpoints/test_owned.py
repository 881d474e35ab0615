"""What was read from a checkpoint lives on without its files: they may be overwritten in place, cut, or removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nn import other_family
from tests.nn.language import LORA, Training, build, equal, resolved
from tttcfg.nn import load_checkpoint, restore

Live = dict[str, torch.Tensor]


def resumed(folder: Path, path: Path, changes: dict[str, Any]) -> Live:
    run = Training(folder, changes)
    run.checkpointer.resume(path)
    return {**run.model.state_dict(), **of_optimizer(run.optimizer)}


def loaded(folder: Path, path: Path, changes: dict[str, Any]) -> Live:
    effective = resolved(folder, changes)
    model = build({"delays": [0] * 5}, effective)
    load_checkpoint(model, path, effective)
    return dict(model.state_dict())


def restored(_: Path, path: Path, __: dict[str, Any]) -> Live:
    return dict(restore(path, build=build).model.state_dict())


def of_optimizer(optimizer: torch.optim.Optimizer) -> Live:
    """Return all tensors of an optimiser's state and groups."""
    found = dict(tensors_in(optimizer.state_dict(), "optimizer"))
    assert found, "the optimiser has a state"
    return found


def tensors_in(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, below in pairs:
        yield from tensors_in(below, f"{name}.{key}")


def spoil(folder: Path) -> None:
    """Overwrite every file in place, then cut it."""
    for path in folder.rglob("*.*"):
        with path.open("r+b") as file:
            file.write(b"\x7f" * path.stat().st_size)
            os.fsync(file.fileno())


def cut(folder: Path) -> None:
    for path in folder.rglob("*.*"):
        os.truncate(path, 0)


@pytest.mark.parametrize(
    ("door", "changes", "options"),
    [
        (resumed, {}, {}),
        (resumed, LORA, {"save_only_lora": False}),
        (resumed, LORA, {"dtype": torch.bfloat16}),
        (resumed, {"full_finetuning": True}, {}),
        (loaded, LORA, {}),
        (loaded, {"full_finetuning": True}, {}),
        (restored, {"full_finetuning": True}, {}),
        (restored, LORA, {"save_only_lora": False}),
    ],
)
def test_live_tensors_are_not_the_file(
    door: Callable[..., Live], changes: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    path = Training(tmp_path / "run", changes).save(1, **options)
    live = door(tmp_path / "other", path, changes)
    before = {name: tensor.detach().clone() for name, tensor in live.items()}
    spoil(path)
    assert equal(live, before)
    cut(path)  # what is mapped to a file kills the process now
    assert equal(live, before)


def test_live_tensors_of_another_family_are_not_the_file(tmp_path: Path) -> None:
    run = other_family.Training(tmp_path, other_family.PLAIN)
    path = run.save(2, save_only_lora=False)
    run.checkpointer.resume(path)
    live = {**run.model.state_dict(), **of_optimizer(run.optimizer)}
    before = {name: tensor.detach().clone() for name, tensor in live.items()}
    spoil(path)
    assert equal(live, before)
