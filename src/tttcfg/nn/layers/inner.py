"""The inner model: what learns at test time, its gradient in closed form, and reading it out.

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

State = tuple[torch.Tensor, ...]


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
