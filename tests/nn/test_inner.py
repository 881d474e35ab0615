"""The inner model's tensors, its closed-form gradient step, and reading it out."""

from __future__ import annotations

import pytest
import torch

from tests.dialects.tensors import Size, many_layers, scan
from tests.nn.models import DEEP, LINEAR, MLP, MULTI
from tttcfg.nn.inner import inner_names, inner_shapes, read_out, step

KINDS = pytest.mark.parametrize("sizes", [LINEAR, MLP, MULTI, DEEP], ids=["linear", "mlp", "multi", "deep"])


@KINDS
def test_tensors_are_named_and_shaped_as_in_the_trainer(sizes: tuple[int, ...]) -> None:
    expected = scan if len(sizes) < 4 else many_layers
    shapes = dict(zip(inner_names(sizes), map(list, inner_shapes(4, sizes)), strict=True))
    assert shapes == expected(Size(heads=4, head_dim=16), sizes[1:-1])


@KINDS
def test_a_step_is_one_gradient_step_of_the_inner_loss(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    state = [torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in inner_shapes(4, sizes)]
    queries, keys, targets = torch.randn(3, 2, 4, 5, 16, dtype=torch.float64)
    eta, norm = torch.rand(2, 4, 5, 1, dtype=torch.float64), torch.randn(2, 4, 1, 16, dtype=torch.float64)
    misses = read_out(tuple(state), keys, *norm) - keys - (targets - keys)
    loss = (eta * misses.square() / 2).sum()
    expected = [one - slope for one, slope in zip(state, torch.autograd.grad(loss, state), strict=True)]
    stepped = step(tuple(state), keys, targets, eta, *norm)
    torch.testing.assert_close(list(stepped), expected)
    assert not torch.allclose(read_out(stepped, queries, *norm), read_out(tuple(state), queries, *norm))
