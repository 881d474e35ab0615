"""A configuration held against a model that exists, and against the tensors that it saves or loads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from tttcfg.documents.document import Document
from tttcfg.documents.effective import Origin, Weights
from tttcfg.errors import Problem, quote
from tttcfg.evidence.evidence import gather
from tttcfg.family.family import Derived, Family
from tttcfg.nn.layers.hybrid import HybridLayer, SequenceModelingBlock
from tttcfg.nn.ranks.wrappers import inside
from tttcfg.safetensors.header import Header
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.verification import verify

_PLAIN = (bool, int, float, str, type(None))


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
    model: nn.Module, training: Any, derived: Derived, dtype: torch.dtype | None = None
) -> Iterator[Problem]:
    """Yield where a live model is not what a configuration builds: TTT layers, contexts, adapters, types.

    Args:
        dtype: The type that the parameters may have on purpose, beside the configuration's `param_dtype`.
    """
    if not any(one.severity != "info" for one in derived.problems):  # else it builds nothing
        yield from _of_layers(model, derived.config)  # type: ignore[arg-type]  # the only family has a TTTConfig
    yield from _of_adapters(model, training)
    wanted: torch.dtype = getattr(torch, training.param_dtype)
    yield from _of_types(model, (wanted,) if dtype is None else (wanted, dtype))


def _of_types(model: nn.Module, wanted: tuple[torch.dtype, ...]) -> Iterator[Problem]:
    """Yield the types of parameters that round each of the types that were wanted; wider ones lose nothing."""
    live = Counter(one.dtype for one in model.parameters() if one.is_floating_point())
    name = str(wanted[0]).removeprefix("torch.")
    for dtype, count in live.items():
        if not any(_holds(dtype, one) for one in wanted):
            found = str(dtype).removeprefix("torch.")
            counted = f"{count} of the model's {live.total()} parameters are {found}, which rounds them"
            advice = f"build the model in {name}, or override param_dtype={found} on purpose"
            yield Problem("contradiction", f"is {name}, but {counted}; {advice}", "param_dtype")


def _holds(wide: torch.dtype, narrow: torch.dtype) -> bool:
    """Whether every number of a type is one of another type."""
    one, other = torch.finfo(wide), torch.finfo(narrow)
    return one.eps <= other.eps and one.max >= other.max


def _of_layers(model: nn.Module, config: TTTConfig | None) -> Iterator[Problem]:
    hybrids = {module.index: module for module in model.modules() if isinstance(module, HybridLayer)}
    if not hybrids:  # a trainer's own layers, of which only the tensors tell
        return
    wanted = config.layer_indices if config is not None else ()
    if tuple(sorted(hybrids)) != tuple(wanted):
        message = f"means layers {list(wanted)}, but the model has TTT in layers {sorted(hybrids)}"
        yield Problem("contradiction", message, "ttt.layers")
        return
    if config is None:
        return
    made = _made(config)
    for index, hybrid in sorted(hybrids.items()):
        block = hybrid.seq_modeling_block
        yield from _differing(index, block, made, ("carrying",))
        yield from _differing(index, block.ttt_layer.ttt, made.ttt_layer.ttt)
    yield from _of_contexts(model, config)


@lru_cache(maxsize=8)
def _made(config: TTTConfig) -> SequenceModelingBlock:
    """Return what a configuration builds, without data."""
    return SequenceModelingBlock(nn.Identity(), config, torch.device("meta"))


def _differing(index: int, live: nn.Module, made: nn.Module, apart: Collection[str] = ()) -> Iterator[Problem]:
    """Yield every plain attribute in which a live module departs from one that was built of the configuration."""
    for name, value in vars(made).items():
        if name.startswith("_") or name in ("training", *apart) or not isinstance(value, _PLAIN):
            continue
        if (found := getattr(live, name, None)) != value:
            message = f"layer {index} of the model has {name} {quote(found)}; the configuration makes it {quote(value)}"
            yield Problem("contradiction", message, "ttt")


def _of_contexts(model: nn.Module, config: TTTConfig) -> Iterator[Problem]:
    stacks = [one for one in model.modules() if isinstance(one, nn.ModuleList)]
    for stack in stacks:
        layers = [inside(layer) for layer in stack]
        if not any(isinstance(layer, HybridLayer) for layer in layers):
            continue
        for index, layer in enumerate(layers):
            hybrid = isinstance(layer, HybridLayer)
            attention = getattr(layer.original_layer if hybrid else layer, "self_attn", None)
            name = "ttt_layer_context" if hybrid else "non_ttt_layer_context"
            wanted, found = getattr(config, name), getattr(attention, "context", None)
            if found != wanted:
                message = f"is {wanted}, but layer {index} of the model looks back {quote(found)} tokens"
                yield Problem("contradiction", message, f"ttt.{name}")


def _of_adapters(model: nn.Module, training: Any) -> Iterator[Problem]:
    """Yield where adapters, tttcfg's or moshi's own, are not those of the configuration."""
    adapters = [one for one in model.modules() if hasattr(one, "lora_A") and hasattr(one, "lora_B")]
    if bool(adapters) != training.lora.enable:
        said = "true, but the model has no adapters" if training.lora.enable else "false, but the model has adapters"
        yield Problem("contradiction", f"is {said}", "lora.enable")
    elif adapters:
        scalings = sorted({float(one.scaling) for one in adapters})  # type: ignore[arg-type]
        if scalings != [training.lora.scaling]:
            message = f"is {training.lora.scaling}, but the model's adapters have {scalings}"
            yield Problem("contradiction", message, "lora.scaling")
