"""The tensors of a model as one process would have them, from one that is wrapped, or that several ranks share.

Activation checkpoints and `torch.compile` put a module of their own in the place of a layer, and so a part of their own
into the names of its tensors. Files hold the names that the model has without them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import nn

from tttcfg.errors import InputError, Problem
from tttcfg.nn.ranks.ranks import all_present, rank

if TYPE_CHECKING:  # they take a second to import, a third of all that torch takes
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

_INSIDE = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
    "OffloadWrapper": "_checkpoint_wrapped_module",
}
_PARTS = {"_orig_mod", "_checkpoint_wrapped_module"}


def inside(module: nn.Module) -> nn.Module:
    """Return the module inside wrappers, or the module itself."""
    while names := [_INSIDE[kind.__name__] for kind in type(module).__mro__ if kind.__name__ in _INSIDE]:
        module = getattr(module, names[0])  # of a class, not of the type alone: sharding makes classes below it
    return module


def plain_name(name: str) -> str:
    """Return the dotted name that a module or tensor has without wrappers."""
    return ".".join(part for part in name.split(".") if part not in _PARTS)


def is_sharded_module(module: nn.Module) -> TypeGuard[FSDPModule]:
    """Whether `fully_shard` was applied to a module: by a program that has imported it, then."""
    if "torch.distributed.fsdp" not in sys.modules:
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(module, FSDPModule)


def is_sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Whether ranks share a tensor: of a program that has imported what makes such tensors, then."""
    if "torch.distributed.tensor" not in sys.modules:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel and torch.compile.

    Raises:
        InputError: It is sharded by the first FSDP, whose flat parameters have lost their names.
    """
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        message = "is wrapped in FullyShardedDataParallel"
        advice = "shard it by torch.distributed.fsdp.fully_shard instead"
        raise InputError(Problem("rejected", message, "model", advice=advice))
    sharded: bool = is_sharded_module(model)
    return model if sharded else inside(model)  # what is sharded runs from outside only


def at_rest(model: nn.Module) -> nn.Module:
    """Return a sharded model with every rank holding its own part again; a forward pass leaves some of it whole."""
    for module in model.modules():
        if is_sharded_module(module):
            module.reshard()
    return model


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict of a model as it is, without wrappers in names: a tensor under two names is one object."""
    return {plain_name(name): one for name, one in at_rest(model).state_dict(keep_vars=True).items()}


def gathered(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors whole, on rank 0; elsewhere nothing. A collective where some are sharded.

    What is sharded comes to the CPU, everything else stays where it is and is not copied.

    Raises:
        RankError: A rank has ended.
    """
    whole: dict[int, torch.Tensor] = {}
    for tensor in tensors.values():
        if id(tensor) in whole:
            continue
        if is_sharded(tensor):
            with all_present():
                full: torch.Tensor = tensor.full_tensor().detach()
            whole[id(tensor)] = full.cpu() if rank() == 0 else full.new_empty(0)
        else:
            whole[id(tensor)] = tensor.detach()
    return {name: whole[id(tensor)] for name, tensor in tensors.items()} if rank() == 0 else {}


def put(target: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a whole tensor, which every rank has, into one of a model, sharded or not. Ranks do not meet here."""
    with torch.no_grad():
        target.copy_(like(target, value))


def like(target: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor where, and sharded as, `target` is: each rank takes its part of what it has read."""
    value = value.to(target.device)
    if not is_sharded(target):
        return value
    from torch.distributed.tensor import DTensor, Replicate  # imported already, as `target` is one

    mesh = target.device_mesh
    whole = DTensor.from_local(value, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return whole.redistribute(mesh, target.placements)
