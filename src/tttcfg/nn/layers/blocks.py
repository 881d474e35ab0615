"""The two halves of a transformer layer, between which TTT goes: its attention block and its feed-forward block."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from tttcfg.nn.ranks.gather import inside, is_sharded_module

NEEDED = (
    "it has to provide attention_block(x, ...) and feed_forward_block(x), each with its norm and residual, or to be a "
    "StreamingTransformerLayer of moshi with moshi's own forward"
)


@runtime_checkable
class SplitLayer(Protocol):
    """What a transformer layer provides for TTT to go into it.

    Each method is one block with its norm and its residual, and the layer's own forward is the one after the other.
    `attention_block` gets everything that the layer is called with; cross-attention belongs to it.
    """

    def attention_block(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return x [B, L, D] after attention, cross-attention included, with its norm and residual; same shape."""
        ...

    def feed_forward_block(self, x: torch.Tensor) -> torch.Tensor:
        """Return x [B, L, D] after the feed-forward network, with its norm and residual; same shape."""
        ...


class Blocks(NamedTuple):
    """How the blocks of one kind of layer are called: each with the layer first."""

    attention: Callable[..., torch.Tensor]
    feed_forward: Callable[[Any, torch.Tensor], torch.Tensor]


def blocks_of(layer: nn.Module) -> Blocks | None:
    """Return how the blocks of a layer are called; None where TTT cannot go between them."""
    if around(layer):
        return None
    if isinstance(layer, SplitLayer):
        return _OWN
    return _MOSHI if _is_moshi(layer) else None


def around(layer: nn.Module) -> str:
    """Return what is around the whole of a layer, and would not run where its blocks are called one by one."""
    if inside(layer) is not layer:
        return f"is wrapped ({type(layer).__name__})"
    if is_sharded_module(layer):
        return "is sharded alone"
    if "forward" in vars(layer):
        return "has a forward that was put in the place of its class's"
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return "has hooks" if any(getattr(layer, name, None) for name in hooks) else ""


def _is_moshi(layer: nn.Module) -> bool:
    """Whether it is moshi's layer, whose forward is written out below; one that changed it is another layer."""
    loaded = sys.modules.get("moshi.modules.transformer")  # who has such a layer has imported it
    kind = getattr(loaded, "StreamingTransformerLayer", None)
    return kind is not None and isinstance(layer, kind) and type(layer).forward is kind.forward


def _uncompiled(x: torch.Tensor) -> AbstractContextManager[None]:
    """Moshi compiles its kernels on a GPU only."""
    from moshi.utils.compile import no_compile  # only who has moshi's layers has it

    return nullcontext() if x.device.type == "cuda" else no_compile()


def _moshi_attention(layer: Any, x: torch.Tensor, cross_attention_src: torch.Tensor | None = None) -> torch.Tensor:
    """The first half of the forward of moshi 0.2.13's `StreamingTransformerLayer`."""
    if (layer.cross_attention is None) != (cross_attention_src is None):
        raise ValueError("cross_attention_src is missing for a layer with cross-attention, or given to one without")
    with _uncompiled(x):
        found: torch.Tensor = layer._sa_block(x)
        if cross_attention_src is not None:
            found = layer._cross_attention_block(found, cross_attention_src)
        return found


def _moshi_feed_forward(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """The second half of the same, which ends with the count of streamed tokens."""
    with _uncompiled(x):
        found: torch.Tensor = layer._ff_block(x)
    if layer._streaming_state:
        layer._streaming_state.offset_cpu += x.shape[1]
    return found


_OWN = Blocks(
    attention=lambda layer, x, *args, **kwargs: layer.attention_block(x, *args, **kwargs),
    feed_forward=lambda layer, x: layer.feed_forward_block(x),
)
_MOSHI = Blocks(_moshi_attention, _moshi_feed_forward)
