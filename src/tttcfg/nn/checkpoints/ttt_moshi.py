"""The built-in family's live models: TTT layers, attention contexts, adapters, and what a save of them holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from tttcfg.errors import Problem, quote
from tttcfg.family.family import Derived, Family
from tttcfg.nn.checkpoints.training_side import BASE, TrainingSide
from tttcfg.nn.layers.hybrid import HybridLayer, SequenceModelingBlock
from tttcfg.nn.layers.lora import merged_state_dict
from tttcfg.nn.ranks.gather import inside
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig

_PLAIN = (bool, int, float, str, type(None))


class MoshiTrainingSide(TrainingSide):
    """What the Moshi TTT trainer saves: adapters and TTT, or the whole model with adapters merged."""

    dtype = "param_dtype"
    full_finetuning = "full_finetuning"
    reset_optimizer = "reset_optimizer"
    reset_step = "reset_step"

    def saves_trained_only(self, training: TrainingArgs) -> bool:
        trained = training.lora.enable or training.ttt.enable
        return training.save_adapters and trained and not training.full_finetuning

    def tensors(
        self, model: nn.Module, tensors: Mapping[str, torch.Tensor], trained_only: bool
    ) -> dict[str, torch.Tensor]:
        return super().tensors(model, tensors, True) if trained_only else merged_state_dict(model, tensors)

    def merged(self, training: TrainingArgs) -> dict[str, Any]:
        return {"lora.enable": False} if training.lora.enable else {}

    def model_config(self, given: Mapping[str, Any], training: TrainingArgs) -> dict[str, Any]:
        """Return config.json as the trainer writes it: the base model's, and the adapters that the file has."""
        lora = training.lora
        return {**given, "lora": lora.enable, "lora_rank": lora.rank, "lora_scaling": lora.scaling}

    def config_departures(self, given: Mapping[str, Any], training: TrainingArgs) -> Iterator[Problem]:
        """Yield where the config.json that was given has other adapters than the configuration."""
        for key, value in self.model_config({}, training).items() if given.get("lora") else ():
            if key in given and given[key] != value:
                message = f"is {quote(given[key])} in config.json, but the configuration has {quote(value)}"
                yield Problem("contradiction", message, key)

    def departures(self, model: nn.Module, training: TrainingArgs, derived: Derived) -> Iterator[Problem]:
        if not any(one.severity != "info" for one in derived.problems):  # else it builds nothing
            yield from _of_layers(model, derived.config)  # type: ignore[arg-type]  # derive returns a TTTConfig
        yield from _of_adapters(model, training)

    def group_of(self, name: str) -> str:
        """Return what a tensor belongs to: `lora`, `ttt`, or the `base` model."""
        if ".lora_A." in name or ".lora_B." in name:
            return "lora"
        return "ttt" if "seq_modeling_block." in name and ".original_layer." not in name else BASE


def training_side(family: Family) -> TrainingSide:
    """Return what a family knows of its live models.

    The built-in family cannot name its own in its declaration, as others do: that lies above `nn`, which imports it.
    """
    if family.training_side is not None:
        found: TrainingSide = family.training_side()
        return found
    return MoshiTrainingSide() if family is TTT_MOSHI else TrainingSide()


def _of_layers(model: nn.Module, config: TTTConfig | None) -> Iterator[Problem]:
    hybrids = {module.index: module for module in model.modules() if isinstance(module, HybridLayer)}
    if not hybrids:  # a trainer's own layers, of which only the tensors are known
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
    for stack in (one for one in model.modules() if isinstance(one, nn.ModuleList)):
        layers = [inside(layer) for layer in stack]
        if not any(isinstance(layer, HybridLayer) for layer in layers):
            continue
        for index, layer in enumerate(layers):
            hybrid = isinstance(layer, HybridLayer)
            attention = getattr(layer.original_layer if hybrid else layer, "self_attn", None)
            name = "ttt_layer_context" if hybrid else "non_ttt_layer_context"
            wanted, found = getattr(config, name), getattr(attention, "context", None)
            if found != wanted:
                message = f"is {wanted}, but layer {index} of the model has the context {quote(found)}"
                yield Problem("contradiction", message, f"ttt.{name}")


def _of_adapters(model: nn.Module, training: Any) -> Iterator[Problem]:
    """Yield where adapters, tttcfg's or moshi's own, are not those of the configuration."""
    adapters = [one for one in model.modules() if hasattr(one, "lora_A") and hasattr(one, "lora_B")]
    if bool(adapters) != training.lora.enable:
        found = "true, but the model has no adapters" if training.lora.enable else "false, but the model has adapters"
        yield Problem("contradiction", f"is {found}", "lora.enable")
    elif adapters:
        scalings = sorted({float(one.scaling) for one in adapters})  # type: ignore[arg-type]
        if scalings != [training.lora.scaling]:
            message = f"is {training.lora.scaling}, but the model's adapters have {scalings}"
            yield Problem("contradiction", message, "lora.scaling")
