"""What a save of a model holds, settled and held against the model before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tttcfg.documents.checkpoint import ADAPTERS_NAME
from tttcfg.documents.document import Document
from tttcfg.errors import ContradictionError, InputError, Problem, quote
from tttcfg.nn.checkpoints.agreement import contradictions, departures
from tttcfg.nn.checkpoints.tensor_file import DTYPES, header_of
from tttcfg.nn.layers.lora import adapter_state_dict, merged_state_dict
from tttcfg.nn.ranks.gather import tensors_of
from tttcfg.safetensors.header import Header
from tttcfg.schema.validation import validate
from tttcfg.ttt_moshi.ttt_config import TTTConfig

WHOLE_NAME = "consolidated.safetensors"
CHANGED = "changed_by_saving"
"""The key of a document's provenance with the values that training had and the saved weights no longer have."""


@dataclass(frozen=True)
class Contents:
    """What one save holds.

    Attributes:
        adapters: Whether only what was trained is saved, not the base model.
        dtype: The type of floating-point tensors in the file.
        document: The configuration that the saved weights have, which training may have had otherwise.
        model_config: The model's config.json.
        ttt: What the model's TTT layers read; None without TTT.
        header: The header that the weights file is going to have.
        sources: The names of the model's tensors that it is made of.
        merged: Whether adapters are folded in, so that the file does not hold them.
    """

    adapters: bool
    dtype: torch.dtype
    document: Document
    model_config: Mapping[str, Any]
    ttt: TTTConfig | None
    header: Header
    sources: tuple[str, ...]
    merged: bool

    @property
    def weights_name(self) -> str:
        return ADAPTERS_NAME if self.adapters else WHOLE_NAME


def settle_contents(
    model: nn.Module,
    document: Document,
    model_config: Mapping[str, Any],
    adapters: bool | None,
    dtype: torch.dtype | None,
) -> Contents:
    """Return what a save holds.

    Args:
        adapters: None takes what the configuration says.
        dtype: None takes the configuration's.

    Raises:
        InputError: There is nothing to save, or no such dtype.
        ContradictionError: The model is not of this configuration; all contradictions at once.
    """
    if dtype is not None and not (dtype in DTYPES and dtype.is_floating_point):
        raise InputError(Problem("rejected", f"is {dtype}, in which no weights are written", "dtype"))
    training, family = document.training, document.family
    trained = training.lora.enable or training.ttt.enable
    if adapters is None:
        adapters = bool(training.save_adapters and trained and not training.full_finetuning)
    live = tensors_of(model)
    tensors = selected(model, live, adapters, plan=True)
    if unsaved := sorted({str(one.dtype) for one in tensors.values()} - {str(one) for one in DTYPES}):
        raise InputError(Problem("rejected", f"has tensors of {', '.join(unsaved)}, which are not written", "model"))
    if not tensors or (adapters and training.full_finetuning):
        message = "trains no parameter that an adapter file would hold" if not tensors else "is trained in full"
        raise InputError(Problem("rejected", f"the model {message}; save with save_only_lora=False", "save_adapters"))
    given, dtype = dtype, dtype or getattr(torch, training.param_dtype)
    header = header_of(ADAPTERS_NAME if adapters else WHOLE_NAME, tensors, dtype)
    saved = _as_saved(document, adapters, dtype)
    config = _model_config(model_config, saved.training)
    derived = family.derive(training, model_config, "config.json")
    problems = [*_given(model_config, training)]
    problems += departures(model, training, derived, given)
    problems += contradictions(saved.training, family, header, (config, "config.json"))
    if problems:
        raise ContradictionError(dict.fromkeys(problems))
    sources = tuple(name for name in live if not adapters or name in header)
    merged = training.lora.enable and not adapters
    ttt = derived.config if isinstance(derived.config, TTTConfig) else None
    return Contents(adapters, dtype, saved, config, ttt, header, sources, merged)


def selected(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], adapters: bool, *, plan: bool = False
) -> dict[str, torch.Tensor]:
    """Return what a weights file holds of a model's tensors: what was trained, or everything with adapters folded in.

    Args:
        plan: Return tensors without data, of the shapes and types that the others would have.
    """
    if plan:
        tensors = {name: torch.empty(one.shape, dtype=one.dtype, device="meta") for name, one in tensors.items()}
    if adapters:
        return {name: tensors[name] for name in adapter_state_dict(model)}
    return merged_state_dict(model, tensors)


def _as_saved(document: Document, adapters: bool, dtype: torch.dtype) -> Document:
    """Return the configuration that describes the saved weights: merged ones have no adapters any more."""
    training, name = document.training, str(dtype).removeprefix("torch.")
    changes: dict[str, Any] = {}
    if name != training.param_dtype:
        changes["param_dtype"] = name
    if training.lora.enable and not adapters:
        changes["lora"] = {**training.lora.model_dump(), "enable": False}
    if not changes:
        return document
    values = {key: getattr(training, key) for key in type(training).model_fields}
    saved = validate(type(training), {**values, **changes}, lambda _: "save_checkpoint")
    fields = document.family.public_fields
    before = {field.name: field.get(training) for field in fields if field.get(training) != field.get(saved)}
    return replace(document, source=saved, provenance={**document.provenance, CHANGED: before})


def _model_config(given: Mapping[str, Any], training: Any) -> dict[str, Any]:
    """Return config.json as the trainer writes it: the base model's, and the adapters that the file has."""
    lora = training.lora
    return {**given, "lora": lora.enable, "lora_rank": lora.rank, "lora_scaling": lora.scaling}


def _given(model_config: Mapping[str, Any], training: Any) -> list[Problem]:
    """Say where the config.json that was given tells of other adapters than the configuration does."""
    if not model_config.get("lora"):
        return []
    wanted = _model_config({}, training)
    return [
        Problem(
            "contradiction",
            f"is {quote(model_config[key])} in config.json, but the configuration says {quote(one)}",
            key,
        )
        for key, one in wanted.items()
        if key in model_config and model_config[key] != one
    ]
