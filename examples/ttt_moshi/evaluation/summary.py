"""The few figures that results hold: means, shares and how sure they are, windows of a curve, and its slope."""

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


Z95 = 1.959964
"""Standard deviations to each side that hold 95 % of a normal distribution."""


class Mean(NamedTuple):
    """A mean and its standard error; None where it cannot be estimated: of one value, or of values all the same."""

    value: float
    standard_error: float | None


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of at least one value; its standard error is the sample deviation over the root of the count."""
    mean = sum(values) / len(values)
    if len(set(values)) < 2:
        return Mean(mean, None)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Mean(mean, sqrt(variance / len(values)))


def interval_of(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of `count` outcomes.

    Unlike a standard error it has a width where all outcomes are the same, and stays within 0 and 1 (Wilson, "Probable
    inference, the law of succession, and statistical inference", 1927).
    """
    square = Z95 * Z95 / count
    middle = share + square / 2
    half = Z95 * sqrt(share * (1 - share) / count + square / (4 * count))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return max(0.0, min(low, share)), min(1.0, max(high, share))  # where they meet, rounding may have parted them


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
