"""The inner model's tensors, its closed-form gradient step, and reading it out."""

from __future__ import annotations

import pytest
import torch

from tests.evidence.dialects.tensors import Size, many_layers, scan
from tests.nn.models import DEEP, LINEAR, MLP, MULTI
from tttcfg.nn.layers.inner import InnerNorm, inner_names, inner_shapes, read_out, read_out_again, slopes, step

KINDS = pytest.mark.parametrize("sizes", [LINEAR, MLP, MULTI, DEEP], ids=["linear", "mlp", "multi", "deep"])


@KINDS
def test_tensors_are_named_and_shaped_as_in_the_trainer(sizes: tuple[int, ...]) -> None:
    expected = scan if len(sizes) < 4 else many_layers
    shapes = dict(zip(inner_names(sizes), map(list, inner_shapes(4, sizes)), strict=True))
    assert shapes == expected(Size(heads=4, head_dim=16), sizes[1:-1])


@KINDS
def test_a_step_is_one_gradient_step_of_the_inner_loss(sizes: tuple[int, ...]) -> None:
    """And reading out again takes it once more, without the weights that it would lead to."""
    torch.manual_seed(0)
    state = [torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in inner_shapes(4, sizes)]
    queries, keys, targets = torch.randn(3, 2, 4, 5, 16, dtype=torch.float64)
    eta = torch.rand(2, 4, 5, 1, dtype=torch.float64)
    norm = InnerNorm(*torch.randn(2, 4, 1, 16, dtype=torch.float64), 1e-3)
    misses = read_out(tuple(state), keys, norm) - keys - (targets - keys)
    loss = (eta * misses.square() / 2).sum()
    steps = torch.autograd.grad(loss, state)
    found = slopes(tuple(state), keys, targets, norm)
    stepped = step(tuple(state), found, eta)
    torch.testing.assert_close(list(stepped), [one - slope for one, slope in zip(state, steps, strict=True)])
    assert not torch.allclose(read_out(stepped, queries, norm), read_out(tuple(state), queries, norm))
    again = tuple(one - 2 * slope for one, slope in zip(state, steps, strict=True))
    torch.testing.assert_close(read_out_again(stepped, queries, norm, found, eta), read_out(again, queries, norm))


def test_the_norm_s_eps_is_added_to_the_variance_of_every_dtype() -> None:
    """In bfloat16 the variance is that of the values, not of differences that were rounded."""
    values, one, zero = torch.randn(3, 2, 5, 16).bfloat16(), torch.ones(2, 1, 16), torch.zeros(2, 1, 16)
    for eps in (1e-8, 0.5):
        norm = InnerNorm(one.bfloat16(), zero.bfloat16(), eps)
        state = torch.eye(16).bfloat16().expand(3, 2, 16, 16), zero.bfloat16().expand(3, 2, 1, 16)
        deviation = (values.var(dim=-1, keepdim=True, unbiased=False) + eps).sqrt()
        expected = values + (values - values.mean(dim=-1, keepdim=True)) / deviation
        torch.testing.assert_close(read_out(state, values, norm), expected, rtol=0, atol=0)
