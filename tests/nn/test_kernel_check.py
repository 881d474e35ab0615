"""The check that ships with the kernel protocol: the right one passes, wrong ones fail with figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.nn.models import MLP
from tttcfg.nn import Kernel, WrongKernelError, check_kernel, torch_scan
from tttcfg.nn.kernel_check import LARGEST_ERROR, TRIALS, trial

QUICK = [trial(MLP, 5), trial((16, 24, 40, 16), 3, "bfloat16")]


def test_our_scan_is_far_inside_of_what_is_allowed() -> None:
    measured = check_kernel(Kernel("torch", torch_scan))
    assert {one.limit for one in measured} == set(LARGEST_ERROR.values())
    assert max(one.error for one in measured) < 5e-6
    assert {one.tensor for one in measured} >= {"outputs", "last W1", "gradient by eta", "gradient by biases.2"}


def _slower(state: Any, inputs: Any, group_size: int) -> Any:
    return torch_scan(state, inputs._replace(eta=0.99 * inputs.eta), group_size)


def _read_too_early(state: Any, inputs: Any, group_size: int) -> Any:
    """Read out with the weights from before the mini-batch."""
    first = inputs._replace(eta=torch.cat([0 * inputs.eta[:, :, :1], inputs.eta[:, :, :-1]], dim=2))
    shifted = [torch.cat([one[:, :, :1], one[:, :, :-1]], dim=2) for one in (inputs.keys, inputs.targets)]
    outputs, _ = torch_scan(state, first._replace(keys=shifted[0], targets=shifted[1]), group_size)
    return outputs, torch_scan(state, inputs, group_size)[1]


def _no_gradient_by_keys(state: Any, inputs: Any, group_size: int) -> Any:
    return torch_scan(state, inputs._replace(keys=inputs.keys.detach()), group_size)


def _no_gradient(state: Any, inputs: Any, group_size: int) -> Any:
    with torch.no_grad():
        return torch_scan(state, inputs, group_size)


def _other_shape(state: Any, inputs: Any, group_size: int) -> Any:
    outputs, last = torch_scan(state, inputs, group_size)
    return outputs[:, :1], last


def _nan(state: Any, inputs: Any, group_size: int) -> Any:
    outputs, last = torch_scan(state, inputs, group_size)
    return outputs * float("nan"), last


@pytest.mark.parametrize(
    ("run", "tensor"),
    [
        (_slower, "last W1"),
        (_read_too_early, "outputs"),
        (_no_gradient_by_keys, "gradient by keys"),
        (_no_gradient, "gradient by W1"),
        (_other_shape, "outputs"),
        (_nan, "outputs"),
    ],
)
def test_a_wrong_kernel_is_told_what_is_off_and_by_how_much(run: Any, tensor: str) -> None:
    with pytest.raises(WrongKernelError) as caught:
        check_kernel(Kernel("wrong", run), trials=QUICK)
    problems = caught.value.problems
    assert any(f"{tensor} is off by" in one.message and "is allowed (float32" in one.message for one in problems)
    assert {one.key for one in problems} == {"wrong"}
    assert len([one for one in caught.value.measured if not one.passes]) == len(problems)


def test_a_kernel_is_tried_on_what_it_can_run() -> None:
    seen = []

    def run(state: Any, inputs: Any, group_size: int) -> Any:
        seen.append((len(state), inputs.keys.shape[-2:]))
        return torch_scan(state, inputs, group_size)

    check_kernel(Kernel("triton", run))
    assert set(seen) == {(2, (16, 16)), (2, (16, 64))}
    seen.clear()
    check_kernel(Kernel("thunderkittens", run))
    assert set(seen) == {(4, (64, 64))}
    with pytest.raises(ValueError, match="no trial meets the limits of thunderkittens"):
        check_kernel(Kernel("thunderkittens", run), trials=QUICK)
    assert len(TRIALS) > len(QUICK)
