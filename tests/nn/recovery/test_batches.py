"""The digest of batches: equal for equal contents, however they are made, and for no others."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

from tttcfg.nn.recovery.batches import digest_of_batches

ONE = torch.arange(6)


class Pair(NamedTuple):
    codes: torch.Tensor
    names: tuple[str, ...]


def test_equal_batches_have_equal_digests() -> None:
    given = [Pair(ONE.view(2, 3).T.contiguous().T, ("a", "b")), {"x": ONE, "y": 1}]
    again = [Pair(ONE.clone().view(2, 3), ("a", "b")), {"y": 1, "x": ONE.clone()}]
    assert digest_of_batches(given) == digest_of_batches(again)


@pytest.mark.parametrize(
    "other",
    [
        [ONE.float()],
        [ONE.view(2, 3)],
        [ONE.flip(0)],
        [ONE, ONE],
        [[ONE]],
        [{"x": ONE}],
        [(ONE, "a")],
        [(ONE, None)],
        [],
        [ONE.bfloat16()],
    ],
    ids=str,
)
def test_other_batches_have_other_digests(other: list[Any]) -> None:
    assert digest_of_batches(other) != digest_of_batches([ONE])
    assert digest_of_batches(other) == digest_of_batches(other)
