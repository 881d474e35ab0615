"""The families of `examples/`, the extension, and a real distributed checkpoint of the second."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
IN_PLACE, VIDEO, NOISE = EXAMPLES / "moshi_in_place", EXAMPLES / "ttt_video_dit", EXAMPLES / "extension"
FLAVOURS = EXAMPLES / "flavours"
sys.path += [str(IN_PLACE), str(VIDEO), str(NOISE), str(FLAVOURS)]


def save_distributed(folder: Path, shapes: Mapping[str, Sequence[int]]) -> Path:
    """Let torch save a training state with the tensors of a model, as the trainer does."""
    import torch

    model = {name: torch.zeros(list(shape), dtype=torch.bfloat16) for name, shape in shapes.items()}
    first = next(iter(model))
    optimizer = {"state": {first: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-5, "params": [first]}]}
    state = {"model": model, "optimizer": optimizer, "lr_scheduler": {}, "metadata": {"wandb_id": None}}
    return save_state(folder, state)


def save_state(folder: Path, state: Mapping[str, Any]) -> Path:
    """Let torch save anything, of one process alone, which it warns of."""
    from torch.distributed import checkpoint

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        checkpoint.save(dict(state), checkpoint_id=folder, no_dist=True)
    return folder


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the smallest model that the program has, saved by torch; not to be changed."""
    from tests.evidence.dialects.tensors import Size, video_dit

    shapes = video_dit(Size(heads=8, head_dim=64, layers=6), (256,))
    return save_distributed(tmp_path_factory.mktemp("jobs") / "step-8", shapes)


@pytest.fixture
def step(saved: Path, tmp_path: Path) -> Path:
    """That checkpoint, to be changed: its tensors are the same files."""
    shutil.copytree(saved, tmp_path / "step-8", copy_function=lambda a, b: Path(b).hardlink_to(a))
    return tmp_path / "step-8"


if not find_spec("torch"):
    collect_ignore = ["test_sidecar.py", "test_distributed.py", "test_distributed_commands.py"]
