"""The figures of a result follow their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from ttt_moshi.evaluation.summary import curve_of, interval_of, loss_at, mean_of, slope_of, window_of


def test_the_standard_error_is_that_of_the_mean() -> None:
    assert mean_of([1.0, 0.0, 0.5, 1.0]) == pytest.approx((0.625, math.sqrt(0.6875 / 3 / 4)))


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0, 1.0, 1.0]])
def test_one_value_or_equal_values_have_no_spread(values: list[float]) -> None:
    assert mean_of(values) == (1.0, None)


@pytest.mark.parametrize(("share", "count"), [(1.0, 4), (0.0, 4), (0.5, 100), (0.9, 1000), (1.0, 1)])
def test_the_interval_of_a_share_holds_what_it_is_within_1_96_standard_deviations_of(share: float, count: int) -> None:
    low, high = interval_of(share, count)
    assert 0 <= low <= share <= high <= 1
    assert high - low > 0.03
    for bound in (low, high):
        deviation = math.sqrt(bound * (1 - bound) / count)
        assert bound in (0, 1) or abs(bound - share) == pytest.approx(1.96 * deviation, rel=1e-4)


def test_four_pairs_all_right_are_hardly_better_than_chance() -> None:
    assert interval_of(1.0, 4) == pytest.approx((0.51, 1.0), abs=0.001)


def test_the_slope_of_a_line_is_its_own_per_thousand_positions() -> None:
    line = 3 - 0.25 * torch.arange(5_000, dtype=torch.float64) / 1_000
    assert slope_of(line) == pytest.approx(-0.25)
    assert slope_of(line[:1]) is None


def test_the_slope_is_that_of_least_squares() -> None:
    losses = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    assert slope_of(losses) == pytest.approx(500.0)


@pytest.mark.parametrize("position", [8_000, 16_000, 24_000])
def test_the_loss_at_a_position_is_the_mean_of_the_thousand_up_to_it(position: int) -> None:
    losses = torch.arange(24_000, dtype=torch.float64)
    assert loss_at(losses, position) == pytest.approx(position - 500.5)
    assert loss_at(losses[: position - 1], position) is None


def test_the_curve_is_made_of_whole_windows() -> None:
    assert [window_of(length) for length in (1, 79, 80, 7_999, 8_000, 30_000)] == [1, 9, 10, 999, 1_000, 1_000]
    assert curve_of(torch.arange(17, dtype=torch.float64))[:2] == [(2, 0.5), (4, 2.5)]
    assert [end for end, _ in curve_of(torch.zeros(8_500))] == list(range(1_000, 9_000, 1_000))
