"""Which kernel runs: what is registered, what the configuration meets, and the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.nn.models import LINEAR, MLP, layer, tokens, ttt_config
from tttcfg.errors import ContradictionError
from tttcfg.nn import Kernel, TTTLayer, WrongKernelError, choose_kernel, register, torch_scan, unregister
from tttcfg.ttt_moshi.kernels import KERNELS, Limit

Register = Callable[..., list[int]]
NOT_LONG = Limit("mini-batches of 8 tokens at most", lambda config, _: str(config.mini_batch_size // 9 or ""))


@pytest.fixture
def registered() -> Iterator[Register]:
    """Register a kernel that counts its calls, for the length of a test."""
    names = []

    def add(name: str, **more: Any) -> list[int]:
        calls: list[int] = []
        register(Kernel(name, lambda *given: calls.append(given[2].group_size) or torch_scan(*given), **more))
        names.append(name)
        return calls

    yield add
    for name in names:
        unregister(name)


def test_torch_is_always_there_and_the_rest_only_where_it_is_registered() -> None:
    missing = "an implementation registered with tttcfg.nn (there is none)"
    config = ttt_config(LINEAR, mini_batch_size=16)
    reasons = str(choose_kernel(config)).split("; ")
    assert reasons[0].startswith("auto takes torch")
    assert [one.partition(" needs ")[0] for one in reasons[1:]] == ["thunderkittens", "triton"]
    config = ttt_config(LINEAR, mini_batch_size=16, inner_norm_eps=1e-6)
    assert str(choose_kernel(config)).endswith(f"; triton needs {missing}")
    config = ttt_config(LINEAR, mini_batch_size=16, dtype="bfloat16", read_out="twice")
    assert len(choose_kernel(config).ruled_out["triton"]) == 4


def test_auto_takes_a_registered_kernel_whose_limits_are_met(registered: Register) -> None:
    calls = registered("triton")
    TTTLayer(ttt_config(LINEAR, mini_batch_size=16, inner_norm_eps=1e-6))(tokens(2, 20))
    TTTLayer(ttt_config(MLP, mini_batch_size=16))(tokens(2, 20))
    TTTLayer(ttt_config(LINEAR, mini_batch_size=16, kernel="torch"))(tokens(2, 20))
    assert calls == [16]


def test_another_package_brings_a_name_and_limits_of_its_own(registered: Register) -> None:
    calls = registered("mine", limits=(NOT_LONG,), runs_on="a desk")
    short, long = ttt_config(mini_batch_size=8), ttt_config(mini_batch_size=16)
    assert str(choose_kernel(short)).startswith("auto takes mine")
    assert "mine needs mini-batches of 8 tokens at most (not 1)" in str(choose_kernel(long))
    for config in (short, long):
        TTTLayer(config)(tokens(1, 32))
    assert len(calls) == 1


def test_a_kernel_is_passed_over_on_a_device_where_it_does_not_run(registered: Register) -> None:
    calls = registered("triton", devices=("cuda",))
    config = ttt_config(LINEAR, mini_batch_size=16, inner_norm_eps=1e-6)
    assert choose_kernel(config, "cuda").name == "triton"
    assert str(choose_kernel(config, "cpu")).endswith("triton needs a cuda device (not cpu)")
    TTTLayer(config)(tokens(1, 4))
    assert calls == []


def test_a_kernel_that_was_asked_for_is_never_replaced(registered: Register) -> None:
    config = ttt_config(LINEAR, mini_batch_size=16, inner_norm_eps=1e-6, kernel="triton")
    with pytest.raises(ContradictionError, match="triton needs an implementation registered") as caught:
        TTTLayer(config)
    assert [one.key for one in caught.value.problems] == ["ttt.kernel"]
    registered("triton", devices=("cuda",))
    with pytest.raises(ContradictionError, match=r"needs a cuda device"):
        TTTLayer(config)(tokens(1, 4))
    assert choose_kernel(config).unmet
    with pytest.raises(ContradictionError, match="mini_batch_size a power of"):
        TTTLayer(ttt_config(LINEAR, kernel="triton"))


@pytest.mark.parametrize("state_dtype", ["parameters", "scan"])
def test_what_a_kernel_is_given_has_the_dtypes_of_the_configuration(state_dtype: str) -> None:
    dtypes = set()

    def run(state: Any, inputs: Any, options: Any) -> Any:
        dtypes.add((*(one.dtype for one in (state[0], inputs.queries, inputs.eta, inputs.norm_bias)), options.dtype))
        return torch_scan(state, inputs, options)

    register(Kernel("mine", run))
    try:
        made = layer(ttt_config(dtype="bfloat16", state_dtype=state_dtype))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made(tokens(1, 4).bfloat16())
            made(tokens(1, 4))
    finally:
        unregister("mine")
    short, wide = torch.bfloat16, torch.float32
    assert dtypes == {(short if state_dtype == "parameters" else wide, short, short, short, wide)}


def test_a_name_is_registered_once_and_its_limits_are_declared_once() -> None:
    with pytest.raises(ValueError, match="a kernel named torch is registered already"):
        register(Kernel("torch", torch_scan))
    with pytest.raises(ValueError, match="the limits of triton are declared in"):
        register(Kernel("triton", torch_scan, limits=(NOT_LONG,)))


def test_a_kernel_that_is_forgotten_takes_its_limits_along() -> None:
    before = list(KERNELS)
    register(Kernel("mine", torch_scan))
    assert list(KERNELS) == ["mine", *before]
    unregister("mine")
    assert list(KERNELS) == before


RETURNS = pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y, _: y, "returned one Tensor, but must return outputs and a tuple with the last state"),
        (lambda y, last: (y, *last), "returned a tuple of 5, but must return outputs and a tuple with the last"),
        (lambda y, last: (y, last[:3]), "returned a last state of 3 tensors, but must return 4, as it was given"),
        (
            lambda y, last: (y[:, :, :1], last),
            r"outputs is torch\.float32 \[2, 4, 1, 4, 16\]",
        ),
        (lambda y, last: (y, (*last[:3], last[2])), r"tensor 3 of the last state is torch\.float32 \[2, 4, 64, 16\]"),
        (lambda y, last: (y, (*last[:3], None)), "tensor 3 of the last state is not a tensor but one NoneType"),
        (lambda y, last: (y.bfloat16(), last), r"outputs is torch\.bfloat16 "),
    ],
    ids=["outputs alone", "flat", "too few", "outputs", "state", "none", "type"],
)


@RETURNS
def test_a_kernel_that_returns_something_else_is_named(wrong: Any, message: str) -> None:
    register(Kernel("mine", lambda *given: wrong(*torch_scan(*given))))
    try:
        made = layer(ttt_config(MLP))
        with torch.no_grad(), pytest.raises(WrongKernelError, match=f"mine: {message}"):
            made(tokens(2, 8))
    finally:
        unregister("mine")
