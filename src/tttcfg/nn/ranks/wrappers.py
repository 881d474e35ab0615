"""Modules inside wrappers, and the names that tensors have without them.

Activation checkpoints and `torch.compile` put a module of their own in the place of a layer, and so a part of their own
into the names of its tensors. Files hold the names that the model has without them.
"""

from __future__ import annotations

from torch import nn

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
