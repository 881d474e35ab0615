"""The digest of batches: equal for equal contents, however they are made, and for no others."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

from tttcfg import InputError
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
        [ONE, ONE + 1],
        [ONE.numpy(), ONE + 1],
        [(2 * ONE).to_sparse(), ONE + 1],
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


class Opaque:
    pass


def test_an_array_counts_as_the_tensor_that_it_is_and_a_sparse_one_as_the_dense() -> None:
    assert digest_of_batches([ONE.numpy()]) == digest_of_batches([ONE]) == digest_of_batches([ONE.to_sparse()])


def test_a_batch_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InputError, match="batches: number 2 is the same as number 0; they have to be disjoint"):
        digest_of_batches([Pair(ONE, ("a",)), Pair(ONE, ("b",)), Pair(ONE.clone(), ("a",))])
    assert digest_of_batches([Opaque(), Opaque()])  # which may differ in what is not known


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_what_is_no_array_of_numbers_is_opaque() -> None:
    """Nothing of it counts, and a batch with it is never taken for another one."""
    import numpy as np

    odd = [np.array(["a", "b"]), np.array(["2026-01-01"], "datetime64[D]"), np.array([object()], dtype=object)]
    nested: list[Any] = []
    nested.append(nested)
    assert digest_of_batches([*odd, nested, nested])
    rows = torch.eye(3)
    assert digest_of_batches([rows.to_sparse_csr()]) == digest_of_batches([rows])
