"""Generated input through every parser: an answer or an error of ours, and no time to speak of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hostile.clock import seconds
from tests.hostile.doors import DOORS, SEEDS, enter
from tests.hostile.mutation import generated

FEW, ALL, PARTS = 1_100, 100_000, 20
MOST = 1.0
Record = Callable[[str, object], None]


@pytest.mark.parametrize("door", DOORS)
def test_good_input_is_taken(door: str) -> None:
    assert [enter(door, data) for data in SEEDS[door]] == [()] * len(SEEDS[door])


def hold(seed: int, count: int) -> int:
    """Give generated input to its doors; return how much of it was refused."""
    refused = 0
    for door, data in generated(seed, count):
        found: list[bool] = []
        try:
            taken = seconds(lambda door=door, data=data, found=found: found.append(bool(enter(door, data))), MOST)  # type: ignore[misc]
        except Exception as error:
            raise AssertionError(f"{door}: {data[:2000]!r}") from error
        assert taken < MOST, f"{door} took too long: {data[:2000]!r}"
        refused += found[-1]
    return refused


def test_generated_input_is_taken_or_refused(record_property: Record) -> None:
    assert FEW / 4 < hold(1, FEW) < FEW
    record_property("generated inputs", FEW)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_much_generated_input_is_taken_or_refused(part: int, record_property: Record) -> None:
    assert 0 < hold(part + 2, ALL // PARTS) < ALL // PARTS
    record_property("generated inputs", ALL // PARTS)
