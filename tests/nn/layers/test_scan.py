"""The scan over mini-batches: order, activation checkpoints, and its dtype; and the steps of the inner model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.dialects.tensors import Size, many_layers, scan
from tests.nn.models import DEEP, LINEAR, MLP, MULTI
from tttcfg.nn import ScanInputs, ScanOptions, torch_scan
from tttcfg.nn.layers.scan import InnerNorm, State, inner_names, inner_shapes, read_out, read_out_again, slopes, step

KINDS = pytest.mark.parametrize("sizes", [LINEAR, MLP, MULTI, DEEP], ids=["linear", "mlp", "multi", "deep"])


def options(group_size: int = 0, *, twice: bool = False) -> ScanOptions:
    return ScanOptions(torch.float64, 1e-6, twice, group_size)


def made(sizes: tuple[int, ...], count: int, size: int, grad: bool = False) -> tuple[State, ScanInputs]:
    """Return a random state of 2 sequences with 4 heads, and `count` mini-batches of `size` tokens, in float64."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_(grad)

    state = tuple(normal(2, *shape) for shape in inner_shapes(4, sizes))
    tokens = [normal(2, 4, count, size, sizes[0]) for _ in range(3)]
    eta = torch.rand(2, 4, count, size, generator=generator, dtype=torch.float64).requires_grad_(grad)
    return state, ScanInputs(*tokens, eta, normal(4, sizes[0]), normal(4, sizes[0]))


@pytest.mark.parametrize("twice", [False, True])
def test_each_mini_batch_updates_the_state_before_it_is_read_out(twice: bool) -> None:
    state, inputs = made(MLP, 3, 5)
    outputs, last = torch_scan(state, inputs, options(twice=twice))
    norm = InnerNorm(inputs.norm_weight.unsqueeze(-2), inputs.norm_bias.unsqueeze(-2), 1e-6)
    for index in range(3):
        found = slopes(state, inputs.keys[:, :, index], inputs.targets[:, :, index], norm)
        eta, queries = inputs.eta[:, :, index, :, None], inputs.queries[:, :, index]
        state = step(state, found, eta)
        read = read_out_again(state, queries, norm, found, eta) if twice else read_out(state, queries, norm)
        torch.testing.assert_close(outputs[:, :, index], read)
    torch.testing.assert_close(last, state)


def test_the_state_is_rounded_to_its_own_dtype_after_every_mini_batch() -> None:
    state, inputs = made(MLP, 3, 5)
    short = tuple(one.bfloat16() for one in state)
    outputs, last = torch_scan(short, inputs, options())
    assert {one.dtype for one in last} == {torch.bfloat16}
    assert outputs.dtype == torch.float64
    for index in range(3):
        one = ScanInputs(*(tensor[:, :, index : index + 1] for tensor in inputs[:4]), *inputs[4:])
        piece, short = torch_scan(short, one, options())
        torch.testing.assert_close(outputs[:, :, index : index + 1], piece, rtol=0, atol=0)
    torch.testing.assert_close(last, short, rtol=0, atol=0)


def test_outputs_have_the_dtype_of_the_queries_whatever_is_computed_in() -> None:
    state, inputs = made(MLP, 2, 3)
    narrow = ScanInputs(*(one.bfloat16() for one in inputs))
    outputs, last = torch_scan(state, narrow, options()._replace(dtype=torch.float32))
    assert outputs.dtype == torch.bfloat16
    assert {one.dtype for one in last} == {torch.float64}


@given(
    sizes=st.sampled_from([LINEAR, MLP, MULTI]),
    count=st.integers(1, 5),
    size=st.integers(1, 4),
    group=st.integers(1, 6),
    twice=st.booleans(),
)
def test_activation_checkpoints_change_neither_values_nor_gradients(
    sizes: tuple[int, ...], count: int, size: int, group: int, twice: bool
) -> None:
    found = []
    for group_size in (0, group):
        state, inputs = made(sizes, count, size, grad=True)
        outputs, last = torch_scan(state, inputs, options(group_size, twice=twice))
        results = [outputs, *last]
        slopes = torch.autograd.grad(sum(one.sin().sum() for one in results), [*state, *inputs])
        found.append([*results, *slopes])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize(("group", "expected"), [(0, 6), (2, 12)])
def test_activation_checkpoints_compute_again_instead_of_keeping(
    monkeypatch: pytest.MonkeyPatch, group: int, expected: int
) -> None:
    steps = []
    monkeypatch.setattr("tttcfg.nn.layers.scan.step", lambda *given: steps.append(1) or step(*given))
    outputs, _ = torch_scan(*made(MLP, 6, 2, grad=True), options(group))
    assert len(steps) == 6
    outputs.sum().backward()
    assert len(steps) == expected


def test_without_gradients_there_is_nothing_to_keep() -> None:
    state, inputs = made(MLP, 4, 2, grad=True)
    with torch.no_grad():
        outputs, _ = torch_scan(state, inputs, options(2))
    torch.testing.assert_close(outputs, torch_scan(state, inputs, options())[0])
    assert not outputs.requires_grad


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
