"""TTT inside the layers of an existing model: the hybrid layer, adding it, and carrying its state."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from tttcfg.errors import ContradictionError, Problem
from tttcfg.nn.layers.blocks import NEEDED, around, blocks_of
from tttcfg.nn.layers.kernels import choose_kernel
from tttcfg.nn.layers.layer import TTTLayer
from tttcfg.nn.layers.scan import State
from tttcfg.nn.ranks.gather import inside
from tttcfg.ttt_moshi.ttt_config import TTTConfig

logger = logging.getLogger(__name__)

LARGEST_ALPHA = 3.0
"""The trainer clamps alpha to it before the tanh; beyond, alpha gets no gradient."""


class SSMGating(nn.Module):
    """A gate per channel: tanh of alpha [D], which starts at `initial_gating_alpha`."""

    def __init__(self, config: TTTConfig, device: torch.device | None = None) -> None:
        super().__init__()
        self.initial_alpha = config.initial_gating_alpha
        dtype = getattr(torch, config.dtype)
        self.gating_alpha = nn.Parameter(torch.empty(config.model_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set alpha back to where it starts."""
        nn.init.constant_(self.gating_alpha, self.initial_alpha)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.tanh(self.gating_alpha.clamp(-LARGEST_ALPHA, LARGEST_ALPHA))
        return gate.to(x.dtype) * x


class TTTWrapper(nn.Module):
    """Gives the TTT layer the name `ttt`, as in the trainer."""

    def __init__(self, config: TTTConfig, device: torch.device | None = None) -> None:
        super().__init__()
        self.ttt = TTTLayer(config, device)

    def forward(self, x: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        found: tuple[torch.Tensor, State] = self.ttt(x, state)
        return found


class SequenceModelingBlock(nn.Module):
    """A layer with gated TTT between its attention block and its feed-forward block, without a norm of its own.

    x1 = attention(x); x2 = x1 + tanh(alpha) * TTT(x1); the output is feed_forward(x2), as in the trainer.
    `backward_ssm_gating` exists, is saved and has no effect, as in the trainer, where it never got a gradient.
    """

    def __init__(self, original_layer: nn.Module, config: TTTConfig, device: torch.device | None = None) -> None:
        super().__init__()
        self.original_layer = original_layer
        self.ttt_layer = TTTWrapper(config, device)
        self.forward_ssm_gating = SSMGating(config, device)
        self.backward_ssm_gating = SSMGating(config, device)
        self.persistent_states = config.persistent_states
        self.carrying = False
        self.state: State | None = None
        self._kind, self._blocks = type(original_layer), blocks_of(original_layer)

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield what the block alone has: who walks a model meets the original layer once, as the hybrid layer's.

        Moshi starts streaming by such a walk, and refuses a module that it meets twice.
        """
        return ((name, child) for name, child in super().named_children() if child is not self.original_layer)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self._blocks is None or type(self.original_layer) is not self._kind:
            # Its blocks are called one by one, so that nothing around the whole of it would run.
            name = type(self.original_layer).__name__
            raise TypeError(f"{name} took the place of a layer inside a HybridLayer; wrap or shard the HybridLayer")
        x = self._blocks.attention(self.original_layer, x, *args, **kwargs)
        x = x + self.forward_ssm_gating(self._adapted(x))
        return self._blocks.feed_forward(self.original_layer, x)

    def _adapted(self, x: torch.Tensor) -> torch.Tensor:
        """Return what TTT makes of x, from the state that goes on, if one does, and keep the next."""
        first = self.persistent_states == "first_sequence"
        if not self.carrying or self.persistent_states == "never" or (first and self.training):
            plain: torch.Tensor = self.ttt_layer(x)[0]
            return plain
        start = self.state
        if first and start is not None:
            start = tuple(one.expand(len(x), *one.shape[1:]) for one in start)
        found: torch.Tensor
        found, state = self.ttt_layer(x, start)
        self.state = tuple((one[:1] if first else one).detach() for one in state)
        return found


class HybridLayer(nn.Module):
    """A layer of the model with TTT in it, registered twice under the two names that the trainer's files have.

    Args:
        original_layer: The layer as it was: a `SplitLayer`, or moshi's.
        index: Which layer of the model it is.

    Raises:
        ContradictionError: The configuration has no TTT in this layer, or cannot be built, or the layer has no two
            blocks for TTT to go between.
    """

    def __init__(self, original_layer: nn.Module, config: TTTConfig, index: int) -> None:
        super().__init__()
        if index not in config.layer_indices:
            message = f"layer {index} is not among the layers with TTT, {list(config.layer_indices)}"
            raise ContradictionError([Problem("contradiction", message, "ttt.layer_indices")])
        if blocks_of(original_layer) is None:
            raise ContradictionError([Problem("contradiction", _cannot_be_split(original_layer, index))])
        device = next((one.device for one in original_layer.parameters()), None)
        self.original_layer = original_layer
        self.seq_modeling_block = SequenceModelingBlock(original_layer, config, device)
        self.index = index
        self.train(original_layer.training)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        found: torch.Tensor = self.seq_modeling_block(x, *args, **kwargs)
        return found

    def extra_repr(self) -> str:
        return f"index={self.index}"


def add_ttt(layers: nn.ModuleList, config: TTTConfig) -> None:
    """Replace the layers of `config.layer_indices` by hybrid layers in place, and set every layer's context.

    Args:
        layers: All transformer layers of the model, each with an attention `self_attn` that has a `context` in tokens;
            those that get TTT are moshi's or a `SplitLayer`.
        config: What the layers read: `Effective.ttt`.

    Raises:
        ContradictionError: The configuration is for another model, or a layer cannot be split; nothing has been
            changed.
    """
    if problems := [Problem("contradiction", message, key) for key, message in _mismatches(layers, config)]:
        raise ContradictionError(problems)
    hybrids = {index: HybridLayer(layers[index], config, index) for index in config.layer_indices}
    for index, layer in enumerate(layers):
        context = config.ttt_layer_context if index in hybrids else config.non_ttt_layer_context
        layer.self_attn.context = context  # type: ignore[union-attr]
    for index, hybrid in hybrids.items():
        layers[index] = hybrid
    if config.kernel == "auto":
        logger.info("ttt.kernel: %s", choose_kernel(config, next(layers.parameters()).device))


def _mismatches(layers: nn.ModuleList, config: TTTConfig) -> Iterator[tuple[str, str]]:
    if len(layers) != config.num_layers:
        yield "ttt.num_layers", f"{config.num_layers} is for another model: this one has {len(layers)} layers"
    if beyond := [index for index in config.layer_indices if index >= len(layers)]:
        yield "ttt.layer_indices", f"layers {beyond} do not exist: the model has {len(layers)}"
    for index, layer in enumerate(layers):
        if isinstance(inside(layer), HybridLayer):
            yield "ttt.layer_indices", f"layer {index} has TTT already"
        elif not hasattr(getattr(layer, "self_attn", None), "context"):
            yield "ttt.ttt_layer_context", f"layer {index} has no self_attn.context to set"
        elif index in config.layer_indices and blocks_of(layer) is None:
            yield "", _cannot_be_split(layer, index)
        elif all(one.shape[-1] != config.model_dim for one in layer.parameters()):
            yield "ttt.model_dim", f"{config.model_dim} is for another model: no tensor of layer {index} is that wide"


@lru_cache(maxsize=1)
def warn_of_order() -> None:
    """Log once in a program that what is evaluated depends on what came before it."""
    logger.warning("ttt.persistent_states is first_sequence: what is evaluated depends on order and batches")


def _cannot_be_split(layer: nn.Module, index: int) -> str:
    name = type(layer).__name__
    if found := around(layer):
        return f"layer {index} {found}, around both of its blocks: add TTT first, and that to the HybridLayer then"
    return f"layer {index} ({name}) has no two blocks for TTT to go between: {NEEDED}"


@contextmanager
def carrying_states(model: nn.Module) -> Iterator[int]:
    """Inside it, consecutive forwards of `model` are pieces of one batch of sequences; outside, each starts afresh.

    `persistent_states` decides what goes on from piece to piece in a TTT layer: `never`, every piece starts from the
    learned weights; `each_sequence`, every sequence from its own; `first_sequence`, while evaluating, all from those
    of the first sequence of the piece before, whatever its batch: once a warning is logged, since results then depend
    on the order and the batches. States are plain tensors outside parameters and state dict, and gradients end between
    pieces. Not for a model in training whose layers are under activation checkpointing: computing one again would
    carry its state on again. Yields how many TTT layers there are.
    """
    blocks = _blocks(model)
    if any(block.persistent_states == "first_sequence" for block in blocks):
        warn_of_order()
    before = [(block, block.carrying, block.state) for block in blocks]
    for block in blocks:
        block.carrying, block.state = True, None
    try:
        yield len(blocks)
    finally:
        for block, carrying, state in before:
            block.carrying, block.state = carrying, state


def reset_states(model: nn.Module) -> None:
    """Let the next piece start from the learned inner weights: another sequence begins."""
    for block in _blocks(model):
        block.state = None


def _blocks(model: nn.Module) -> list[SequenceModelingBlock]:
    return [module for module in model.modules() if isinstance(module, SequenceModelingBlock)]
