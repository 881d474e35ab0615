"""The check that ships with the kernel protocol: the right one passes, wrong ones fail with figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.builders import ROOT
from tests.launcher import python
from tests.nn.models import MLP
from tttcfg.nn import Kernel, WrongKernelError, check_kernel, torch_scan
from tttcfg.nn.layers.kernel_check import LARGEST_ERROR, ROUNDED_ONCE, TRIALS, Measured, trial

QUICK = [trial(MLP, 5), trial((16, 24, 40, 16), 3, "bfloat16")]
SMALL = [one for one in TRIALS if one.head_dim < 64]
ALL = """
import json, torch
from tttcfg.nn import Kernel, check_kernel, torch_scan

torch.set_num_threads(1)

def tried(name):
    seen = set()

    def run(state, inputs, options):
        seen.add((len(state), *inputs.keys.shape[-2:]))
        return torch_scan(state, inputs, options)

    return check_kernel(Kernel(name, run)), sorted(seen)

print(json.dumps({name: tried(name) for name in ("torch", "triton", "thunderkittens")}))
"""


@pytest.fixture(scope="module")
def tried() -> Any:
    """Our scan under three names in all trials, as a process, as they take 150 MB: the figures, and what it ran on."""
    return python("-c", ALL, cwd=ROOT).json


def test_our_scan_is_far_inside_of_what_is_allowed(tried: Any) -> None:
    measured = [Measured(*one) for one in tried["torch"][0]]
    assert {one.limit for one in measured} == {*LARGEST_ERROR.values(), ROUNDED_ONCE}
    assert max(one.error / one.limit for one in measured) < 0.8
    assert max(one.error for one in measured if one.limit == LARGEST_ERROR["float32"]) < 5e-6
    assert {one.tensor for one in measured} >= {"outputs", "last W1", "gradient by eta", "gradient by biases.2"}


def _slower(state: Any, inputs: Any, options: Any) -> Any:
    return torch_scan(state, inputs._replace(eta=0.99 * inputs.eta), options)


def _read_too_early(state: Any, inputs: Any, options: Any) -> Any:
    """Read out with the weights from before the mini-batch."""
    first = inputs._replace(eta=torch.cat([0 * inputs.eta[:, :, :1], inputs.eta[:, :, :-1]], dim=2))
    shifted = [torch.cat([one[:, :, :1], one[:, :, :-1]], dim=2) for one in (inputs.keys, inputs.targets)]
    outputs, _ = torch_scan(state, first._replace(keys=shifted[0], targets=shifted[1]), options)
    return outputs, torch_scan(state, inputs, options)[1]


def _no_gradient_by_keys(state: Any, inputs: Any, options: Any) -> Any:
    return torch_scan(state, inputs._replace(keys=inputs.keys.detach()), options)


def _no_gradient(state: Any, inputs: Any, options: Any) -> Any:
    with torch.no_grad():
        return torch_scan(state, inputs, options)


def _other_shape(state: Any, inputs: Any, options: Any) -> Any:
    outputs, last = torch_scan(state, inputs, options)
    return outputs[:, :1], last


def _nan(state: Any, inputs: Any, options: Any) -> Any:
    outputs, last = torch_scan(state, inputs, options)
    return outputs * float("nan"), last


def _as_if_contiguous(state: Any, inputs: Any, options: Any) -> Any:
    """Read memory as a kernel does that takes pointers and no strides."""
    read = [one.as_strided(one.shape, torch.empty(one.shape).stride()) for one in inputs]
    return torch_scan(state, type(inputs)(*read), options)


def _targets_strided_as_queries(state: Any, inputs: Any, options: Any) -> Any:
    targets = inputs.targets.as_strided(inputs.targets.shape, inputs.queries.stride())
    return torch_scan(state, inputs._replace(targets=targets), options)


def _zeros_beyond_three(state: Any, inputs: Any, options: Any) -> Any:
    outputs, last = torch_scan(state, inputs, options)
    return outputs * (outputs.shape[2] <= 3), last


def _first_sequence_for_all(state: Any, inputs: Any, options: Any) -> Any:
    return torch_scan(tuple(one[:1].expand_as(one) for one in state), inputs, options)


def _wrong_without_gradients(state: Any, inputs: Any, options: Any) -> Any:
    start = state if torch.is_grad_enabled() else tuple(0 * one for one in state)
    return torch_scan(start, inputs, options)


def _state_that_is_not_rounded(state: Any, inputs: Any, options: Any) -> Any:
    outputs, last = torch_scan(tuple(one.float() for one in state), inputs, options)
    return outputs, tuple(one.to(given.dtype) for one, given in zip(last, state, strict=True))


def _other_norm(state: Any, inputs: Any, options: Any) -> Any:
    return torch_scan(state, inputs, options._replace(norm_eps=1e-2))


def _read_as_it_likes(state: Any, inputs: Any, options: Any) -> Any:
    return torch_scan(state, inputs, options._replace(read_twice=not options.read_twice))


def _short(state: Any, inputs: Any, options: Any) -> Any:
    return torch_scan(state, inputs, options._replace(dtype=torch.bfloat16))


def _changes_its_inputs(state: Any, inputs: Any, options: Any) -> Any:
    result = torch_scan(state, inputs, options)
    if not torch.is_grad_enabled():
        inputs.eta.mul_(2)
    return result


@pytest.mark.parametrize(
    ("run", "tensor"),
    [
        (_slower, "last W1"),
        (_read_too_early, "outputs"),
        (_no_gradient_by_keys, "gradient by keys"),
        (_no_gradient, "gradient by W1"),
        (_as_if_contiguous, "outputs"),
        (_zeros_beyond_three, "outputs"),
        (_first_sequence_for_all, "outputs"),
        (_wrong_without_gradients, "outputs"),
        (_changes_its_inputs, "last W1"),
        (_other_norm, "last W1"),
        (_read_as_it_likes, "outputs"),
        (_short, "outputs"),
        (_nan, "outputs"),
    ],
)
def test_the_error_for_a_wrong_kernel_says_what_is_off_and_by_how_much(run: Any, tensor: str) -> None:
    with pytest.raises(WrongKernelError) as caught:
        check_kernel(Kernel("wrong", run), trials=QUICK)
    problems = caught.value.problems
    assert any(f"{tensor} is off by" in one.message and "is allowed (float32" in one.message for one in problems)
    assert {one.key for one in problems} == {"wrong"}
    assert len([one for one in caught.value.measured if not one.passes]) == len(problems)


def test_a_kernel_has_to_round_the_state_where_the_configuration_does() -> None:
    with pytest.raises(WrongKernelError, match="last W1 is off by"):
        check_kernel(Kernel("wrong", _state_that_is_not_rounded), trials=[trial((16, 64, 16), 5, "bfloat16")])


def test_only_the_pass_that_is_wrong_is_named() -> None:
    with pytest.raises(WrongKernelError) as caught:
        check_kernel(Kernel("wrong", _wrong_without_gradients), trials=QUICK)
    assert all("under no_grad)" in one.message for one in caught.value.problems)
    with pytest.raises(WrongKernelError) as caught:
        check_kernel(Kernel("wrong", _zeros_beyond_three), trials=QUICK)
    assert all("9 mini-batches" in one.message for one in caught.value.problems)


def test_rotary_positions_give_queries_and_targets_other_strides() -> None:
    with pytest.raises(WrongKernelError, match="outputs is off by"):
        check_kernel(Kernel("wrong", _targets_strided_as_queries), trials=SMALL)


def _float64(state: Any, inputs: Any, options: Any) -> Any:
    outputs, last = torch_scan(state, inputs, options)
    return outputs.double(), tuple(one.double() for one in last)


def _float64_state(state: Any, inputs: Any, options: Any) -> Any:
    outputs, last = torch_scan(state, inputs, options)
    return outputs, (last[0].double(), *last[1:])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (_float64, "outputs is torch.float64 [2, 2, 1, 5, 16], but must be torch.float32 [2, 2, 1, 5, 16]"),
        (
            _float64_state,
            "tensor 0 of the last state is torch.float64 [2, 2, 16, 64], but must be torch.float32 [2, 2, 16, 64]",
        ),
        (_other_shape, "outputs is torch.float32 [2, 1, 1, 5, 16], but must be torch.float32 [2, 2, 1, 5, 16]"),
    ],
)
def test_results_of_another_dtype_or_shape_are_refused_before_any_is_measured(run: Any, message: str) -> None:
    with pytest.raises(WrongKernelError) as caught:
        check_kernel(Kernel("wrong", run), trials=QUICK)
    assert caught.value.problems[0].message == message
    assert caught.value.measured == ()


def test_a_kernel_is_tried_on_what_it_can_run(tried: Any) -> None:
    assert tried["triton"][1] == [[2, 16, 16], [2, 16, 64]]
    assert tried["thunderkittens"][1] == [[4, 64, 64]]
    with pytest.raises(ValueError, match="no trial meets the limits of thunderkittens"):
        check_kernel(Kernel("thunderkittens", torch_scan), trials=QUICK)
    assert len(TRIALS) > len(QUICK)
