"""Setting what a built model computes by and no tensor holds, without building it again."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from tttcfg.documents.effective import Effective
from tttcfg.errors import ContradictionError, InputError, Problem
from tttcfg.nn.layers.hybrid import HybridLayer
from tttcfg.nn.layers.layer import TTTLayer
from tttcfg.nn.ranks.gather import inside
from tttcfg.ttt_moshi.ttt_config import TTTConfig


def set_computation(model: nn.Module, effective: Effective) -> None:
    """Let a model compute by another configuration with the same tensors: its weights stay as they are.

    Set are all settings of its TTT layers, which inner weights persist, the attention contexts and the scaling of
    adapters (modules with `lora_A`, `lora_B` and `scaling`). What was built from other settings stays as it is.

    Args:
        model: One that `add_ttt` has put TTT into, wrapped or not.
        effective: With layers whose tensors have the same names, shapes and dtypes.

    Raises:
        InputError: The layers' configuration is none of these layers.
        ContradictionError: The configuration is for other tensors, or cannot be built; nothing has been changed.
    """
    config = effective.ttt
    if not isinstance(config, TTTConfig):
        message = f"is {type(config).__name__}, and the TTT layers here read TTTConfig"
        raise InputError(Problem("rejected", message, "ttt", advice="build the model again instead"))
    lists = [one for one in model.modules() if isinstance(one, nn.ModuleList) and any(map(_hybrid, one))]
    if problems := [Problem("contradiction", message, key) for key, message in _mismatches(lists, config)]:
        raise ContradictionError(problems)
    for module in model.modules():
        if isinstance(module, TTTLayer):
            module.set_computation(config)
        elif hasattr(module, "lora_A") and hasattr(module, "lora_B") and hasattr(module, "scaling"):
            module.scaling = effective.training.lora.scaling
    for layer in (layer for layers in lists for layer in layers):
        hybrid = _hybrid(layer)
        if hybrid is not None:
            hybrid.seq_modeling_block.persistent_states = config.persistent_states
        own = inside(layer) if hybrid is None else hybrid.original_layer
        own.self_attn.context = (  # type: ignore[union-attr]
            config.non_ttt_layer_context if hybrid is None else config.ttt_layer_context
        )


def _hybrid(layer: nn.Module) -> HybridLayer | None:
    found = inside(layer)
    return found if isinstance(found, HybridLayer) else None


def _mismatches(lists: list[nn.ModuleList], config: TTTConfig) -> Iterator[tuple[str, str]]:
    """Yield what the layers of a model have otherwise than a configuration, by the tensors that they have."""
    if not lists:
        yield "ttt.enable", "the model has no TTT layers"
    for layers in lists:
        found = [index for index, layer in enumerate(layers) if _hybrid(layer) is not None]
        if found != list(config.layer_indices):
            yield "ttt.layer_indices", f"is {list(config.layer_indices)}, and the model has TTT in layers {found}"
        for module in (module for layer in layers for module in layer.modules() if isinstance(module, TTTLayer)):
            expected = TTTLayer(config, "meta").state_dict()
            own = module.state_dict()
            if {name: one.shape for name, one in own.items()} != {name: one.shape for name, one in expected.items()}:
                yield "ttt.inner_layer_sizes", "is of layers with other tensors than the model has"
            elif own["wq.weight"].dtype != expected["wq.weight"].dtype:
                yield "param_dtype", f"is {config.dtype}, and the model has {own['wq.weight'].dtype}"
            else:
                continue
            break
