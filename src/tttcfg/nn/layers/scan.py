"""The inner scan over mini-batches, in plain PyTorch: what `kernel: torch` names."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from tttcfg.nn.layers.inner import InnerNorm, State, read_out, read_out_again, slopes, step


class ScanInputs(NamedTuple):
    """What a kernel scans: N mini-batches of K tokens, for every sequence B and head H.

    `queries`, `keys` and `targets` are [B, H, N, K, d], `eta` is [B, H, N, K], and `norm_weight`, `norm_bias` are
    [H, d]. The inner model learns LN(f(k)) = target - k, so `targets` is what ttt-video-dit hands to its kernels as XV.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    targets: torch.Tensor
    eta: torch.Tensor
    norm_weight: torch.Tensor
    norm_bias: torch.Tensor


class ScanOptions(NamedTuple):
    """How a kernel scans.

    Attributes:
        dtype: In which it computes.
        norm_eps: Added to the variance in the inner layer norm.
        read_twice: Whether the step is taken off once more for reading out; the state that goes on has it once.
        group_size: Mini-batches per activation checkpoint: only the states between groups are kept for the backward
            pass, and the rest is computed again. 0 keeps everything. No size changes a value or a gradient.
    """

    dtype: torch.dtype
    norm_eps: float
    read_twice: bool
    group_size: int


def torch_scan(state: State, inputs: ScanInputs, options: ScanOptions) -> tuple[torch.Tensor, State]:
    """Return the outputs [B, H, N, K, d] and the state after the last mini-batch.

    Each mini-batch first updates the state, and then is read out with the updated one, so its tokens see one another.
    Outputs have the dtype of the queries. The state keeps its own: it is rounded to it after every mini-batch.
    """
    heads = inputs.queries.shape[:2]
    # Sequences and heads as one dimension: a product of three dimensions takes no reshaping, of four it does each time.
    norm = (one.expand(*heads, -1).flatten(0, 1) for one in (inputs.norm_weight, inputs.norm_bias))
    inputs = ScanInputs(*(one.flatten(0, 1) for one in inputs[:4]), *norm)
    outputs, state = _scanned(tuple(one.flatten(0, 1) for one in state), inputs, options)
    return outputs.unflatten(0, heads), tuple(one.unflatten(0, heads) for one in state)


def _scanned(state: State, inputs: ScanInputs, options: ScanOptions) -> tuple[torch.Tensor, State]:
    count, size = inputs.queries.shape[1], options.group_size
    if not size or not torch.is_grad_enabled():
        outputs, *stepped = _mini_batches(inputs, options, 0, count, *state)
        return outputs, tuple(stepped)
    groups = []
    for start in range(0, count, size):
        stop = min(start + size, count)
        outputs, *stepped = checkpoint(
            _mini_batches, inputs, options, start, stop, *state, use_reentrant=False, preserve_rng_state=False
        )
        groups.append(outputs)
        state = tuple(stepped)
    return torch.cat(groups, dim=1), state


def _mini_batches(
    inputs: ScanInputs, options: ScanOptions, start: int, stop: int, *state: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return the outputs of the mini-batches from `start` to `stop`, and the state after them, flat."""
    dtype, rounded = options.dtype, state[0].dtype
    tokens = [one[:, start:stop].to(dtype).unbind(dim=1) for one in (inputs.queries, inputs.keys, inputs.targets)]
    etas = inputs.eta[:, start:stop].to(dtype).unsqueeze(-1).unbind(dim=1)
    weight, bias = (one.to(dtype).unsqueeze(-2) for one in (inputs.norm_weight, inputs.norm_bias))
    norm = InnerNorm(weight, bias, options.norm_eps)
    outputs = []
    for queries, keys, targets, eta in zip(*tokens, etas, strict=True):
        state = tuple(one.to(dtype) for one in state)
        found = slopes(state, keys, targets, norm)
        state = step(state, found, eta)
        if options.read_twice:
            outputs.append(read_out_again(state, queries, norm, found, eta))
        else:
            outputs.append(read_out(state, queries, norm))
        state = tuple(one.to(rounded) for one in state)
    return torch.stack(outputs, dim=1).to(inputs.queries.dtype), *state
