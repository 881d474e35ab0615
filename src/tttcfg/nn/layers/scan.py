"""The inner scan over mini-batches, in plain PyTorch: what `kernel: torch` names.

The inner model is what learns at test time: its gradient is in closed form, and it is read out after every step.
A state is the inner weights of every sequence of a batch, flat: W1, b1, W2, b2, …, with W [B, H, in, out] and
b [B, H, 1, out]. Sequences and heads are independent: here they may as well be one dimension.

Sources: the TTT paper (arXiv 2407.04620) and `ops/ttt_mlp.py`, `ops/utils.py` of ttt-video-dit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

State = tuple[torch.Tensor, ...]


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


class InnerNorm(NamedTuple):
    """The layer norm at the end of the inner model: weight and bias [H, 1, d], and what is added to the variance."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float


def inner_names(sizes: tuple[int, ...]) -> list[str]:
    """Return the tensor names of an inner model of these widths, in the order of a state.

    The trainer calls them W1, b1, W2, b2 for one and two layers, weights.0, biases.0 and so on for more.
    """
    layers = range(len(sizes) - 1)
    if len(layers) < 3:
        return [f"{kind}{layer + 1}" for layer in layers for kind in "Wb"]
    return [f"{kind}.{layer}" for layer in layers for kind in ("weights", "biases")]


def inner_shapes(heads: int, sizes: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return the shapes of the same tensors: [H, in, out] and [H, 1, out]."""
    return [(heads, rows, width) for given, width in pairwise(sizes) for rows in (given, 1)]


class Slope(NamedTuple):
    """What one mini-batch's gradient of one inner layer is made of: what the layer got, and the gradient of its result.

    `given` is [B, H, K, in] and `gradient` [B, H, K, out], of every token alone, before its learning rate.
    """

    given: torch.Tensor
    gradient: torch.Tensor


def slopes(state: State, keys: torch.Tensor, targets: torch.Tensor, norm: InnerNorm) -> list[Slope]:
    """Return the gradient of every inner layer on a whole mini-batch.

    The loss is the sum over tokens of eta / 2 * |LN(f(k)) - (target - k)|^2, so every token's gradient is taken at
    the same weights, and all of them count at once: the step is not causal inside the mini-batch.

    Args:
        keys: [B, H, K, d]; `targets` the same.
    """
    *before, last = _activations(state, keys)
    gradient = _norm_gradient(last, targets - keys, norm)
    found: list[Slope] = []
    for layer in reversed(range(len(before))):
        given = functional.gelu(before[layer], approximate="tanh") if layer else keys
        found.insert(0, Slope(given, gradient))
        if layer:
            gradient = _through_gelu(gradient @ state[2 * layer].mT, before[layer])
    return found


def step(state: State, found: Sequence[Slope], eta: torch.Tensor) -> State:
    """Return the state after the step of a mini-batch; `eta` [B, H, K, 1] is the learning rate of every token."""
    stepped: list[torch.Tensor] = []
    for layer, (given, gradient) in enumerate(found):
        weight, bias = state[2 * layer], state[2 * layer + 1]
        stepped.append(weight - (eta * given).mT @ gradient)
        stepped.append(bias - (eta * gradient).sum(dim=-2, keepdim=True))
    return tuple(stepped)


def read_out(state: State, queries: torch.Tensor, norm: InnerNorm) -> torch.Tensor:
    """Return q + LN(f(q)) for queries [B, H, K, d]."""
    return _normed(queries, _activations(state, queries)[-1], norm)


def read_out_again(
    state: State, queries: torch.Tensor, norm: InnerNorm, found: Sequence[Slope], eta: torch.Tensor
) -> torch.Tensor:
    """Return q + LN(f(q)) with the weights of a state less the step of `found`, which it has taken once already.

    Written without those weights, as the trainer has it: in bfloat16 the order of operations decides the result.
    """
    rates, values = eta.mT, queries
    for layer, (keys, gradient) in enumerate(found):
        given = functional.gelu(values, approximate="tanh") if layer else queries
        bias = state[2 * layer + 1] - rates @ gradient
        values = given @ state[2 * layer] - (rates * (given @ keys.mT)) @ gradient + bias
    return _normed(queries, values, norm)


def _normed(queries: torch.Tensor, values: torch.Tensor, norm: InnerNorm) -> torch.Tensor:
    normal, _ = _normal(values, norm.eps)
    return queries + (norm.weight * normal + norm.bias)


def _activations(state: State, tokens: torch.Tensor) -> list[torch.Tensor]:
    """Return the tokens and what every layer makes of them, each before its non-linearity."""
    found = [tokens]
    for layer in range(0, len(state), 2):
        given = functional.gelu(found[-1], approximate="tanh") if layer else tokens
        found.append(given @ state[layer] + state[layer + 1])
    return found


def _normal(values: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values with mean 0 and deviation 1 over the head's width, and the deviation that they had.

    As with `torch.var`, which takes six times as long on a processor, the variance is not that of rounded differences.
    """
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    mean = wide.mean(dim=-1, keepdim=True)
    centred = wide - mean
    deviation = (centred.square().mean(dim=-1, keepdim=True).to(values.dtype) + eps).sqrt()
    if wide is not values:
        centred = values - mean.to(values.dtype)
    return centred / deviation, deviation


def _norm_gradient(values: torch.Tensor, targets: torch.Tensor, norm: InnerNorm) -> torch.Tensor:
    """Return the gradient of half the squared distance between LN(values) and the targets, by the values."""
    normal, deviation = _normal(values, norm.eps)
    gradient = (norm.weight * normal + norm.bias - targets) * norm.weight
    along = (gradient * normal).mean(dim=-1, keepdim=True)
    return (gradient - gradient.mean(dim=-1, keepdim=True) - normal * along) / deviation


def _through_gelu(gradient: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return a gradient by gelu's result, in its tanh form, as one by the values that it was given."""
    if values.dtype != torch.bfloat16:
        found: torch.Tensor = torch.ops.aten.gelu_backward(gradient, values, approximate="tanh")
        return found
    # One operation after the other, as the trainer has it: in bfloat16 every one of them rounds.
    factor, cubic = math.sqrt(2 / math.pi), 0.044715
    bent = torch.tanh(factor * (values + cubic * values**3))
    inside = factor * (1 + 3 * cubic * values.square())
    return gradient * (0.5 * (1 + bent) + 0.5 * values * (1 - bent.square()) * inside)
