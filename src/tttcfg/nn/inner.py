"""The inner model: what learns at test time, its gradient step in closed form, and reading it out.

A state is the inner weights of every sequence of a batch, flat: W1, b1, W2, b2, …, with W [B, H, in, out] and
b [B, H, 1, out]. Sources: the TTT paper (arXiv 2407.04620) and `ops/ttt_mlp.py`, `ops/ttt_linear.py` of ttt-video-dit.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch.nn import functional

State = tuple[torch.Tensor, ...]

NORM_EPS = 1e-6
"""Added to the variance in the inner layer norm, as in ttt-lm-pytorch and the Moshi trainer; ttt-video-dit has 1e-8."""


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


def read_out(state: State, queries: torch.Tensor, norm_weight: torch.Tensor, norm_bias: torch.Tensor) -> torch.Tensor:
    """Return q + LN(f(q)) for queries [B, H, K, d]; norm tensors are [H, 1, d]."""
    normal, _ = _normal(_activations(state, queries)[-1])
    return queries + norm_weight * normal + norm_bias


def step(
    state: State,
    keys: torch.Tensor,
    targets: torch.Tensor,
    eta: torch.Tensor,
    norm_weight: torch.Tensor,
    norm_bias: torch.Tensor,
) -> State:
    """Return the state after one gradient step on a whole mini-batch.

    The loss is the sum over tokens of eta / 2 * |LN(f(k)) - (target - k)|^2, so every token's gradient is taken at
    the same weights, and all of them count at once: the step is not causal inside the mini-batch.

    Args:
        keys: [B, H, K, d]; `targets` the same.
        eta: Learning rate of every token, [B, H, K, 1].
        norm_weight: [H, 1, d]; `norm_bias` the same.
    """
    *before, last = _activations(state, keys)
    gradient = _norm_gradient(last, targets - keys, norm_weight, norm_bias)
    stepped: list[torch.Tensor] = []
    for layer in reversed(range(len(before))):
        weight, bias = state[2 * layer], state[2 * layer + 1]
        given = functional.gelu(before[layer], approximate="tanh") if layer else keys
        scaled = eta * gradient
        stepped = [weight - given.mT @ scaled, bias - scaled.sum(dim=-2, keepdim=True), *stepped]
        if layer:
            gradient = (gradient @ weight.mT) * _gelu_slope(before[layer])
    return tuple(stepped)


def _activations(state: State, tokens: torch.Tensor) -> list[torch.Tensor]:
    """Return the tokens and what every layer makes of them, each before its non-linearity."""
    found = [tokens]
    for layer in range(0, len(state), 2):
        given = functional.gelu(found[-1], approximate="tanh") if layer else tokens
        found.append(given @ state[layer] + state[layer + 1])
    return found


def _normal(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values with mean 0 and deviation 1 over the head's width, and the deviation that they had."""
    centred = values - values.mean(dim=-1, keepdim=True)
    deviation = (centred.square().mean(dim=-1, keepdim=True) + NORM_EPS).sqrt()
    return centred / deviation, deviation


def _norm_gradient(
    values: torch.Tensor, targets: torch.Tensor, norm_weight: torch.Tensor, norm_bias: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of half the squared distance between LN(values) and the targets, by the values."""
    normal, deviation = _normal(values)
    gradient = (norm_weight * normal + norm_bias - targets) * norm_weight
    along = (gradient * normal).mean(dim=-1, keepdim=True)
    return (gradient - gradient.mean(dim=-1, keepdim=True) - normal * along) / deviation


def _gelu_slope(values: torch.Tensor) -> torch.Tensor:
    """Return the derivative of gelu in its tanh form."""
    factor, cubic = math.sqrt(2 / math.pi), 0.044715
    bent = torch.tanh(factor * (values + cubic * values**3))
    inside = factor * (1 + 3 * cubic * values.square())
    return 0.5 * (1 + bent) + 0.5 * values * (1 - bent.square()) * inside
