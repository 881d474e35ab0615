"""What a save of a model holds, and whether a configuration agrees with a live model and with tensors.

What is given is checked, and the contents are decided, before anything is written; loading checks the same.
"""

from __future__ import annotations

import contextlib
import json
import operator
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tttcfg.documents.checkpoint import ADAPTERS_NAME
from tttcfg.documents.document import Document
from tttcfg.documents.effective import Origin, Weights
from tttcfg.errors import ContradictionError, InputError, Problem, quote
from tttcfg.family.family import Derived, Family
from tttcfg.nn.checkpoints.tensor_file import DTYPES, header_of
from tttcfg.nn.checkpoints.ttt_moshi import training_side
from tttcfg.nn.fingerprints.probe import dtype_name
from tttcfg.nn.ranks.gather import tensors_of
from tttcfg.resolving.families import as_document
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import present
from tttcfg.schema.paths import set_path, split
from tttcfg.schema.validation import validate
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.verification import verify

WHOLE_NAME = "consolidated.safetensors"
CHANGED = "changed_by_saving"
"""The key of a document's provenance with the values that training had and the saved weights no longer have."""


def configuration_of(training_args: Any, full_finetuning: bool, family: Family[Any, Any] | None = None) -> Document:
    """Return the configuration that was given as a document.

    Raises:
        InputError: There is none, or it is not a configuration.
        ContradictionError: In it not the whole model is trained, and `full_finetuning` was given.
    """
    if training_args is None:
        message = "is missing, and a checkpoint without its configuration cannot be restored"
        raise InputError(Problem("missing", message, "training_args", advice="give what tttcfg.resolve returned"))
    document = as_document(training_args, family)
    side = training_side(document.family)
    if full_finetuning and side.setting(document.training, side.full_finetuning) is False:
        message = "is false in the configuration, but Checkpointer was given full_finetuning=True"
        raise ContradictionError([Problem("contradiction", message, side.full_finetuning)])
    return document


def kept(number: Any) -> int | None:
    """Return how many checkpoints stay, as a number of Python's, whichever library's was given; None keeps all.

    Raises:
        InputError: It is not a whole number from 1.
    """
    if number is None:
        return None
    with contextlib.suppress(TypeError):
        if (found := operator.index(number)) >= 1:
            return found
    raise InputError(Problem("rejected", f"must be an integer of at least 1, or None, not {number!r}", "num_ckpt_keep"))


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's config.json as it was given.

    Raises:
        InputError: It has values that JSON does not have; all of them are named.
    """
    unknown = {name: quote(value) for name, value in config.items() if not _is_json({name: value})}
    message = "which JSON does not have"
    if unknown:
        raise InputError(Problem("rejected", f"is {one}, {message}", f"config.{name}") for name, one in unknown.items())
    return dict(config)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True)
class Contents:
    """What one save holds.

    Attributes:
        trained_only: Whether only what was trained is saved, not the base model.
        dtype: The type of floating-point tensors in the file; None where each has the model's.
        document: The configuration that the saved weights have, which training may have had otherwise.
        model_config: The model's config.json.
        ttt: What the model's TTT layers read; None without TTT, and for other families.
        header: The header that the weights file is going to have.
        sources: The names of the model's tensors that it is made of.
        merged: Whether something of the model is merged, as adapters are, so that the file does not hold it.
    """

    trained_only: bool
    dtype: torch.dtype | None
    document: Document
    model_config: Mapping[str, Any]
    ttt: TTTConfig | None
    header: Header
    sources: tuple[str, ...]
    merged: bool


def contents_of_save(
    model: nn.Module,
    document: Document,
    model_config: Mapping[str, Any],
    trained_only: bool | None,
    dtype: torch.dtype | None,
) -> Contents:
    """Return what a save holds.

    Args:
        trained_only: None takes what the configuration has.
        dtype: None takes the configuration's.

    Raises:
        InputError: There is nothing to save, or no such dtype.
        ContradictionError: The model is not of this configuration; all contradictions at once.
    """
    if dtype is not None and not (dtype in DTYPES and dtype.is_floating_point):
        raise InputError(Problem("rejected", f"{dtype} is not a type that weights can be saved in", "dtype"))
    training, family = document.training, document.family
    side = training_side(family)
    if trained_only is None:
        trained_only = side.saves_trained_only(training)
    live = tensors_of(model)
    plan = {name: torch.empty(one.shape, dtype=one.dtype, device="meta") for name, one in live.items()}
    tensors = side.tensors(model, plan, trained_only)
    _check_savable(tensors, trained_only, side.setting(training, side.full_finetuning))
    given, dtype = dtype, dtype or side.parameters_dtype(training)
    header = header_of(ADAPTERS_NAME if trained_only else WHOLE_NAME, tensors, dtype)
    merged = {} if trained_only else side.merged(training)
    saved = _as_saved(document, merged, dtype)
    config = side.model_config(model_config, saved.training)
    derived = family.derive(training, model_config, "config.json")
    problems = [*side.config_departures(model_config, training)]
    problems += departures(model, family, training, derived, given)
    weights, named = verify.weights_in(header, family), (config, "config.json")
    of_saved = family.derive(saved.training, *named, weights.proved)
    problems += contradictions(saved.training, family, weights, named, of_saved)
    if problems:
        raise ContradictionError(dict.fromkeys(problems))
    sources = tuple(name for name in live if not trained_only or name in header)
    ttt = derived.config if isinstance(derived.config, TTTConfig) else None
    return Contents(trained_only, dtype, saved, config, ttt, header, sources, bool(merged))


def _check_savable(tensors: Mapping[str, torch.Tensor], trained_only: bool, full_finetuning: object) -> None:
    if unsaved := sorted({str(one.dtype) for one in tensors.values()} - {str(one) for one in DTYPES}):
        raise InputError(Problem("rejected", f"has tensors of {', '.join(unsaved)}, which cannot be saved", "model"))
    if not tensors and not trained_only:
        raise InputError(Problem("rejected", "has no tensors to save", "model"))
    if not tensors or (trained_only and full_finetuning):
        message = "the whole model is trained" if tensors else "no parameter of the model requires a gradient"
        raise InputError(Problem("rejected", message, "save_only_lora", advice="save with save_only_lora=False"))


def _as_saved(document: Document, merged: Mapping[str, Any], dtype: torch.dtype | None) -> Document:
    """Return the configuration that describes the saved weights, in their type and without what was merged."""
    training, family = document.training, document.family
    changes, side = dict(merged), training_side(family)
    if side.dtype and dtype is not None and dtype != side.parameters_dtype(training):
        changes[side.dtype] = dtype_name(dtype)
    if not changes:
        return document
    values = training.model_dump()
    for name, value in changes.items():
        set_path(values, split(name), value)
    saved = validate(type(training), values, lambda _: "save_checkpoint")
    fields = present(family.public_fields, training)
    before = {field.name: field.get(training) for field in fields if field.get(training) != field.get(saved)}
    return replace(document, source=saved, provenance={**document.provenance, CHANGED: before})


def contradictions(
    training: Any,
    family: Family,
    weights: Weights,
    model: tuple[Mapping[str, Any] | None, str],
    derived: Derived,
    *,
    document: Document | None = None,
    origins: Mapping[str, tuple[Origin, ...]] | None = None,
) -> list[Problem]:
    """Return where a configuration contradicts the names, shapes and dtypes of weights, all at once.

    What is missing to derive what the layers read is an error here: a model is built of it.

    Args:
        model: The model's config.json, if there is one, and what it is called in messages.
        derived: What its layers read.
        document: What lies beside the weights, for the binding.
        origins: Where each value comes from, if that is known; what an override chose may depart from what is stored.
    """
    needed = [one._replace(severity="error") for one in derived.problems if one.code == "model_config"]
    return needed + verify.contradictions(family, weights, training, model, document, derived=derived, origins=origins)


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
