"""The tensors of a model as one process would have them, from a model that several ranks share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from tttcfg.errors import InputError, Problem
from tttcfg.nn.ranks import rank

_WRAPPED = {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod"}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel and torch.compile: its tensors have the names that are saved.

    Raises:
        InputError: It is sharded by the first FSDP, whose flat parameters have lost their names.
    """
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        message = (
            "is wrapped in FullyShardedDataParallel, which is not supported; use torch.distributed.fsdp.fully_shard"
        )
        raise InputError(Problem("rejected", message, "model"))
    while (inside := _WRAPPED.get(type(model).__name__)) is not None:
        model = getattr(model, inside)
    return model


def at_rest(model: nn.Module) -> nn.Module:
    """Return a sharded model with every rank holding its own part again; a forward pass leaves some of it whole."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    return model


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict of a model as it is: what stands under two names is one object."""
    return dict(at_rest(model).state_dict(keep_vars=True))


def gathered(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors whole, on rank 0; elsewhere nothing. A collective where some are sharded.

    What is sharded comes to the CPU, everything else stays where it is and is not copied.
    """
    whole: dict[int, torch.Tensor] = {}
    for tensor in tensors.values():
        if id(tensor) in whole:
            continue
        if isinstance(tensor, DTensor):
            full: torch.Tensor = tensor.full_tensor().detach()
            whole[id(tensor)] = full.cpu() if rank() == 0 else full.new_empty(0)
        else:
            whole[id(tensor)] = tensor.detach()
    return {name: whole[id(tensor)] for name, tensor in tensors.items()} if rank() == 0 else {}


def put(target: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a whole tensor into one of a model, sharded or not. A collective where it is sharded."""
    with torch.no_grad():
        target.copy_(like(target, value))


def like(target: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor where, and sharded as, `target` is. A collective where it is sharded."""
    value = value.to(target.device)
    return distribute_tensor(value, target.device_mesh, target.placements) if isinstance(target, DTensor) else value
