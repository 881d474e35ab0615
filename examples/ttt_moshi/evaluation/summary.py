"""The few figures that results hold: a mean with its standard error, windows of a curve, and its slope."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

POSITIONS = {"8k": 8_000, "16k": 16_000, "24k": 24_000}
"""Where the loss of a long sequence is reported, in positions (12.5 a second)."""
WINDOW = 1_000
"""Positions that a point of the curve is the mean of."""


class Mean(NamedTuple):
    """A mean and its standard error; None of a single value."""

    value: float
    standard_error: float | None


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of at least one value; its standard error is the sample deviation over the root of the count."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return Mean(mean, None)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Mean(mean, sqrt(variance / len(values)))


def window_of(positions: int) -> int:
    """Return the window for a curve of that many positions: 1000, or an eighth of it where that is less."""
    return WINDOW if positions >= 8 * WINDOW else max(1, positions // 8)


def curve_of(losses: Tensor) -> list[tuple[int, float]]:
    """Return losses [T] as means over whole windows, each with the position at which its window ends."""
    window = window_of(len(losses))
    means = losses[: len(losses) // window * window].view(-1, window).mean(1)
    return [((index + 1) * window, float(mean)) for index, mean in enumerate(means)]


def loss_at(losses: Tensor, position: int) -> float | None:
    """Return the mean over the 1000 positions up to `position`; None of a sequence that ends before it."""
    return float(losses[position - WINDOW : position].mean()) if len(losses) >= position else None


def slope_of(losses: Tensor) -> float | None:
    """Return the slope in nats per 1000 positions: least squares of the loss at every position against the position."""
    if len(losses) < 2:
        return None
    at = torch.arange(len(losses), dtype=torch.float64) / 1000
    at -= at.mean()
    return float((at * losses).sum() / (at * at).sum())
