"""A checkpoint as it was evaluated before its configuration was saved with it: its weights, and any given file.

The trainer's evaluation built its model from the given configuration file, and loaded with `strict=False`. If it found
the configuration of the training, it restored five of its settings only; it did not find it if the path ended in
`consolidated`. It also converted all parameters to bfloat16, which is left out here, so that every difference is due to
the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

import tttcfg
from tttcfg import ContradictionError, find_checkpoint, read_model_config
from tttcfg import nn as tttnn

from .model import TinyMoshi, build

_SHOWN = 200


@dataclass(frozen=True)
class Loading:
    """How a model takes tensors.

    Attributes:
        strict: The error of `load_state_dict`; empty if it loads.
        lenient: The same with `strict=False`, which skips tensors that do not match by name.
        missing: Tensors of the model that are in no file, and stay as they were drawn.
        unexpected: Tensors of the file that the model does not have.
    """

    strict: str
    lenient: str
    missing: int
    unexpected: int


@dataclass(frozen=True)
class OldModel:
    """A model of any configuration with the tensors of a checkpoint.

    Attributes:
        model: None where not even `strict=False` loads.
        contradicting: The settings at which `tttcfg.nn.load_checkpoint` refuses it; none where it does not.
    """

    model: TinyMoshi | None
    training: tttcfg.TrainingArgs
    loading: Loading
    contradicting: tuple[str, ...]


def old_model(checkpoint: str, config: Sequence[Any], model_settings: Mapping[str, Any]) -> OldModel:
    """Return the model of any configuration with the tensors of a checkpoint.

    Args:
        config: Configuration files or mappings, merged left to right; the checkpoint's own counts only if it is one.
        model_settings: What is to be different in the model's config.json.
    """
    found = find_checkpoint(checkpoint)
    effective = tttcfg.resolve(config=config, model_config=found.model_config)
    model_config = {**read_model_config(found.model_config or ""), **model_settings}
    model = build(model_config, effective)
    contradicting = _refused(model, checkpoint, effective)
    loading = _load(model, load_file(found.weights[0]))
    return OldModel(None if loading.lenient else model, effective.training, loading, contradicting)


def restored_settings(training: tttcfg.TrainingArgs) -> dict[str, Any]:
    """Return the five settings that the trainer's evaluation took from the checkpoint."""
    ttt = training.ttt
    five = {"enable": ttt.enable, "layers": ttt.layers, "mini_batch_size": ttt.mini_batch_size, "base_lr": ttt.base_lr}
    return {"ttt": five, "batch_size": training.batch_size}


def _refused(model: nn.Module, checkpoint: str, effective: tttcfg.Effective) -> tuple[str, ...]:
    try:
        tttnn.load_checkpoint(model, checkpoint, effective)
    except ContradictionError as error:
        return tuple(dict.fromkeys(problem.key or "tensors" for problem in error.problems))
    return ()


def _load(model: nn.Module, tensors: Mapping[str, Tensor]) -> Loading:
    strict = lenient = ""
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        strict = shortened(str(error))
    names = model.state_dict().keys()
    try:
        model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        lenient = shortened(str(error))
    return Loading(strict, lenient, len(names - tensors.keys()), len(tensors.keys() - names))


def shortened(message: str) -> str:
    """Return torch's error about a state dict as counts, each with the first name."""
    found = []
    for kind, pattern in (
        ("missing", r"Missing key\(s\) in state_dict: (.*?)\. ?$"),
        ("unexpected", r"Unexpected key\(s\) in state_dict: (.*?)\. ?$"),
    ):
        for listed in re.findall(pattern, message, re.MULTILINE):
            names = re.findall(r'"([^"]+)"', listed)
            found.append(f"{len(names)} {kind} ({names[0]})")
    shapes = re.findall(r"size mismatch for (\S+):", message)
    if shapes:
        found.append(f"{len(shapes)} of another shape ({shapes[0]})")
    return ", ".join(found) or " ".join(message.split())[:_SHOWN]
