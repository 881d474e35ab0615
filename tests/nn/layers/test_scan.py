"""The scan over mini-batches: order, activation checkpoints, and the dtype it computes in."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.nn.models import LINEAR, MLP, MULTI
from tttcfg.nn import ScanInputs, ScanOptions, torch_scan
from tttcfg.nn.layers.inner import InnerNorm, State, inner_shapes, read_out, read_out_again, slopes, step


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
