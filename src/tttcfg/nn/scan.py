"""The inner scan over mini-batches, in plain PyTorch: what `kernel: torch` names."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from tttcfg.nn.inner import State, read_out, step


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


def torch_scan(state: State, inputs: ScanInputs, group_size: int) -> tuple[torch.Tensor, State]:
    """Return the outputs [B, H, N, K, d] and the state after the last mini-batch.

    Each mini-batch first updates the state, and then is read out with the updated one, so its tokens see one another.
    Computes in the dtype of its inputs.

    Args:
        group_size: Mini-batches per activation checkpoint: only the states between groups are kept for the backward
            pass, and the rest is computed again. 0 keeps everything. No size changes a value or a gradient.
    """
    count = inputs.queries.shape[2]
    if not group_size or not torch.is_grad_enabled():
        outputs, *carried = _mini_batches(inputs, 0, count, *state)
        return outputs, tuple(carried)
    groups = []
    for start in range(0, count, group_size):
        stop = min(start + group_size, count)
        outputs, *carried = checkpoint(
            _mini_batches, inputs, start, stop, *state, use_reentrant=False, preserve_rng_state=False
        )
        groups.append(outputs)
        state = tuple(carried)
    return torch.cat(groups, dim=2), state


def _mini_batches(inputs: ScanInputs, start: int, stop: int, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the outputs of the mini-batches from `start` to `stop`, and the state after them, flat."""
    norm = inputs.norm_weight.unsqueeze(-2), inputs.norm_bias.unsqueeze(-2)
    outputs = []
    for index in range(start, stop):
        keys, targets = inputs.keys[:, :, index], inputs.targets[:, :, index]
        state = step(state, keys, targets, inputs.eta[:, :, index].unsqueeze(-1), *norm)
        outputs.append(read_out(state, inputs.queries[:, :, index], *norm))
    return torch.stack(outputs, dim=2), *state
