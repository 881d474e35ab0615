"""Sketches keep inner products: exactly where there are few numbers, else on average and closely."""

from __future__ import annotations

import torch

from tttcfg.nn.recovery.sketches import SIZE, sketch


def sketched(vector: torch.Tensor) -> torch.Tensor:
    parts = dict(zip("abc", vector.split(100_000), strict=False))
    return sketch(parts, {name: len(one) for name, one in parts.items()})


def test_few_numbers_are_kept_as_they_are() -> None:
    parts = {"b": torch.arange(3.0), "a": None, "c": torch.tensor([7.0], dtype=torch.float64)}
    found = sketch(parts, {"a": 2, "b": 3, "c": 1})
    assert found.tolist() == [0, 0, 0, 1, 2, 7]
    assert found.dtype == torch.float64


def test_inner_products_of_many_numbers_are_kept_closely() -> None:
    """The standard deviation that the module states is not exceeded: in 30 pairs, by no more than three of it."""
    generator = torch.Generator().manual_seed(1)
    common = torch.randn(250_000, generator=generator)
    for share in (0.0, 0.1, 1.0):
        for _ in range(10):
            one, other = (share * common + torch.randn(250_000, generator=generator) for _ in range(2))
            exact = float(one.double() @ other.double())
            bound = (float(one.norm() * other.norm()) ** 2 + exact**2) ** 0.5 / SIZE**0.5
            assert abs(float(sketched(one) @ sketched(other)) - exact) < 3 * bound


def test_a_column_of_a_matrix_is_spread_over_many_sums() -> None:
    """As it is where the number of sums and the width have no common divisor."""
    matrix = torch.zeros(4096, 64)
    matrix[:, 5] = 1
    found = sketch({"a": matrix.reshape(-1)}, {"a": matrix.numel()})
    assert int((found != 0).sum()) > 4000


def test_a_sketch_is_linear_and_the_same_every_time() -> None:
    one, other = torch.randn(2, 200_000, generator=torch.Generator().manual_seed(2))
    assert torch.equal(sketched(one), sketched(one))
    assert torch.allclose(sketched(one) + sketched(other), sketched(one + other), atol=1e-4)
