"""A configuration checked against a live model, and against the tensors that are saved or loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from tttcfg.documents.document import Document
from tttcfg.documents.effective import Origin, Weights
from tttcfg.errors import Problem
from tttcfg.evidence.evidence import gather
from tttcfg.family.family import Derived, Family
from tttcfg.nn.checkpoints.tensor_file import dtype_name
from tttcfg.nn.checkpoints.training_side import TrainingSide
from tttcfg.nn.checkpoints.ttt_moshi import MoshiTrainingSide
from tttcfg.safetensors.header import Header
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.verification import verify


def contradictions(
    training: Any,
    family: Family,
    header: Header,
    model: tuple[Mapping[str, Any] | None, str],
    *,
    derived: Derived | None = None,
    document: Document | None = None,
    origins: Mapping[str, tuple[Origin, ...]] | None = None,
) -> list[Problem]:
    """Return where a configuration contradicts the names, shapes and dtypes of `header`, all at once.

    What is missing to derive what the layers read is an error here: a model is built of it.

    Args:
        model: The model's config.json, if there is one, and what it is called in messages.
        derived: What its layers read, if that is known already.
        document: What lies beside the weights, for the binding.
        origins: Where each value comes from, if that is known; what an override chose may depart from what is stored.
    """
    evidence = gather(header)
    weights = Weights(header, evidence, family.knowledge.proved(evidence))
    derived = derived or family.derive(training, *model, weights.proved)
    needed = [one._replace(severity="error") for one in derived.problems if one.code == "model_config"]
    return needed + verify.contradictions(family, weights, training, model, document, origins=origins)


def departures(
    model: nn.Module, family: Family, training: Any, derived: Derived, dtype: torch.dtype | None = None
) -> Iterator[Problem]:
    """Yield where a live model is not what a configuration builds: what its family compares, and types.

    Args:
        dtype: The type that the parameters may have on purpose, beside the configuration's.
    """
    side = training_side(family)
    yield from side.departures(model, training, derived)
    if (wanted := side.parameters_dtype(training)) is not None:
        yield from _of_types(model, (wanted,) if dtype is None else (wanted, dtype), side.dtype)


def training_side(family: Family) -> TrainingSide:
    """Return what a family knows of its live models."""
    if family.training_side is not None:
        found: TrainingSide = family.training_side()
        return found
    return MoshiTrainingSide() if family is TTT_MOSHI else TrainingSide()


def _of_types(model: nn.Module, wanted: tuple[torch.dtype, ...], key: str) -> Iterator[Problem]:
    """Yield the types of parameters that round each of the types that were wanted; wider ones lose nothing."""
    live = Counter(one.dtype for one in model.parameters() if one.is_floating_point())
    name = dtype_name(wanted[0])
    for dtype, count in live.items():
        if not any(_holds(dtype, one) for one in wanted):
            found = dtype_name(dtype)
            counted = f"{count} of the model's {live.total()} parameters are {found}, which rounds them"
            advice = f"build the model in {name}, or override {key}={found} on purpose"
            yield Problem("contradiction", f"is {name}, but {counted}", key, advice=advice)


def _holds(wide: torch.dtype, narrow: torch.dtype) -> bool:
    """Whether every number of a type is one of another type."""
    one, other = torch.finfo(wide), torch.finfo(narrow)
    return one.eps <= other.eps and one.max >= other.max
