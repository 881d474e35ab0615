"""Low-rank adapters with moshi's tensor names, and the two state dicts that a checkpoint of them holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import nn

from tttcfg.nn.ranks.gather import plain_name

TTT = "seq_modeling_block.ttt_layer"
"""Below it are the TTT layers, which have no adapters: the trainer puts LoRA in before TTT."""


class LoRALinear(nn.Module):
    """A frozen linear module plus `scaling` times a trained one of low rank, named as in moshi.

    `lora_B` starts at zero, so that a fresh adapter changes nothing; moshi leaves it random.
    """

    def __init__(self, linear: nn.Linear, rank: int, scaling: float) -> None:
        super().__init__()
        device, dtype = linear.weight.device, linear.weight.dtype
        self.lora_A = nn.Linear(linear.in_features, rank, bias=False, device=device, dtype=dtype)
        self.lora_B = nn.Linear(rank, linear.out_features, bias=False, device=device, dtype=dtype)
        self.frozen_W = linear.requires_grad_(False)
        self.scaling = scaling
        nn.init.zeros_(self.lora_B.weight)
        self.train(linear.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.frozen_W(x) + self.scaling * self.lora_B(self.lora_A(x))
        return found

    def extra_repr(self) -> str:
        return f"rank={self.lora_A.out_features}, scaling={self.scaling}"


def add_lora(
    model: nn.Module,
    rank: int,
    scaling: float,
    skip: Collection[str] = (TTT,),
    make: Callable[[nn.Linear, int, float], nn.Module] = LoRALinear,
) -> None:
    """Replace every linear module of `model` by one with an adapter, in place; it does not matter if TTT is in yet.

    Only what an adapter wraps is frozen: what else is to be trained is the trainer's business.

    Args:
        model: The model; of wrapped or sharded ones, before that.
        rank: The rank of the adapters, in channels.
        scaling: The factor on their output.
        skip: Modules whose dotted name contains one of these are left as they are.
        make: What wraps a linear module: called with it, the rank and the scaling. moshi's attention streams with
            moshi's own LoRALinear only, so its models need one that makes those.
    """
    wrapped: dict[nn.Module, nn.Module] = {}
    for name, module in list(model.named_modules()):
        if _has_adapter(module):
            continue
        for last, child in list(module.named_children()):
            if type(child) is nn.Linear and not any(part in f"{name}.{last}" for part in skip):
                if child not in wrapped:
                    wrapped[child] = make(child, rank, scaling)
                setattr(module, last, wrapped[child])


def adapter_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what an adapter file holds: every trained parameter, each once, under its first name.

    So a layer with TTT has its adapters under `original_layer`, and its TTT tensors are in the file.
    """
    return {plain_name(name): one.detach() for name, one in model.named_parameters() if one.requires_grad}


def merged_state_dict(model: nn.Module, state: Mapping[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """Return the state dict with every adapter folded in: W + scaling * B A, under the name of the plain module.

    Computed in float32 and rounded to the dtype of W once.

    Args:
        model: The model with adapters, its own or moshi's.
        state: The model's own state dict where it was gathered elsewhere (sharded over ranks); None takes it here.
    """
    found = {plain_name(name): one for name, one in (model.state_dict() if state is None else state).items()}
    modules = {plain_name(name): module for name, module in model.named_modules(remove_duplicate=False)}
    for name, module in modules.items():
        if not _has_adapter(module):
            continue
        frozen, up, down = (found.pop(f"{name}.{part}.weight") for part in ("frozen_W", "lora_B", "lora_A"))
        scaling: Any = module.scaling
        found[f"{name}.weight"] = (frozen.float() + scaling * up.float() @ down.float()).to(frozen.dtype)
        if (bias := found.pop(f"{name}.frozen_W.bias", None)) is not None:
            found[f"{name}.bias"] = bias
    return found


def _has_adapter(module: nn.Module) -> bool:
    """Whether it is a linear module with an adapter, tttcfg's or moshi's."""
    return hasattr(module, "lora_A") and hasattr(module, "frozen_W")
