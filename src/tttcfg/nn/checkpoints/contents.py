"""What a save of a model holds, decided and checked against the model before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tttcfg.documents.checkpoint import ADAPTERS_NAME
from tttcfg.documents.document import Document
from tttcfg.errors import ContradictionError, InputError, Problem
from tttcfg.nn.checkpoints.agreement import contradictions, departures, training_side
from tttcfg.nn.checkpoints.tensor_file import DTYPES, dtype_name, header_of
from tttcfg.nn.ranks.gather import tensors_of
from tttcfg.safetensors.header import Header
from tttcfg.schema.paths import set_path, split
from tttcfg.schema.validation import validate
from tttcfg.ttt_moshi.ttt_config import TTTConfig

WHOLE_NAME = "consolidated.safetensors"
CHANGED = "changed_by_saving"
"""The key of a document's provenance with the values that training had and the saved weights no longer have."""


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

    @property
    def weights_name(self) -> str:
        return ADAPTERS_NAME if self.trained_only else WHOLE_NAME


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
    problems += contradictions(saved.training, family, header, (config, "config.json"))
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
    fields = family.public_fields
    before = {field.name: field.get(training) for field in fields if field.get(training) != field.get(saved)}
    return replace(document, source=saved, provenance={**document.provenance, CHANGED: before})
