"""Implementations of the inner scan: how a kernel package registers one, and which one runs.

What a kernel can run is declared once, in `tttcfg.ttt_moshi.kernels`; a name that is unknown there brings its limits
along. A kernel package does this where it can run, and tests itself with the second line:

    tttcfg.nn.register(Kernel("triton", run, devices=("cuda",)))
    tttcfg.nn.check_kernel(Kernel("triton", run), device="cuda")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from tttcfg.errors import ContradictionError, Problem, TttcfgError
from tttcfg.nn.layers.scan import ScanInputs, ScanOptions, State, torch_scan
from tttcfg.ttt_moshi.kernels import KERNELS, Choice, Implementation, Limit, choose, declare, needs, unmet_limits
from tttcfg.ttt_moshi.ttt_config import TTTConfig


class ScanFunction(Protocol):
    """The signature of a kernel: what `torch_scan` computes, differentiable by every tensor it is given.

    Inputs have the dtype of the model's parameters, the state has its own; whatever the kernel computes in
    (`options.dtype`), outputs have the dtype of the queries, and the state is rounded to its own after every
    mini-batch. Tensors may have any strides: the layer hands over transposed views, and a learned state is expanded
    over the batch, so its sequences share memory. What is given has to stay as it is.
    """

    def __call__(self, state: State, inputs: ScanInputs, options: ScanOptions, /) -> tuple[torch.Tensor, State]: ...


@dataclass(frozen=True)
class Kernel:
    """An implementation of the inner scan.

    Args:
        name: One of those that `ttt.kernel` takes; under another name only `auto` finds it.
        devices: Types of device it runs on ("cuda"); none for every one.
        limits: What it needs of a configuration, where `name` is not declared in `tttcfg.ttt_moshi.kernels`.
        runs_on: The same in words, for the choice of `auto` to name.
    """

    name: str
    run: ScanFunction
    devices: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    runs_on: str = "any device"


class WrongKernelError(TttcfgError):
    """A kernel that returns something else than `ScanFunction` asks for, or does not compute what the reference does.

    `measured` holds all figures, where `check_kernel` has found any.
    """

    def __init__(self, kernel: str, messages: Iterable[str], measured: tuple[Any, ...] = ()) -> None:
        super().__init__(Problem("kernel", message, kernel) for message in messages)
        self.measured = measured


def scan(kernel: Kernel, state: State, inputs: ScanInputs, options: ScanOptions) -> tuple[torch.Tensor, State]:
    """Return what a kernel does, having checked that it has the form of a `ScanFunction`.

    Raises:
        WrongKernelError: It has not; the message has what was returned, and what has to be.
    """
    found: Any = kernel.run(state, inputs, options)
    if wrong := list(_misfits(found, state, inputs.queries)):
        raise WrongKernelError(kernel.name, wrong)
    outputs, last = found
    return outputs, tuple(last)


def _misfits(found: Any, state: State, queries: torch.Tensor) -> Iterator[str]:
    """Yield what is wrong with the form of a kernel's results."""
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], (tuple, list)):
        made = f"a tuple of {len(found)}" if isinstance(found, tuple) else f"one {type(found).__name__}"
        yield f"returned {made}, but must return outputs and a tuple with the last state"
        return
    outputs, last = found
    if len(last) != len(state):
        yield f"returned a last state of {len(last)} tensors, but must return {len(state)}, as it was given"
        return
    pairs = enumerate(zip(last, state, strict=True))
    named = [("outputs", outputs, queries), *((f"tensor {number} of the last state", *pair) for number, pair in pairs)]
    for name, one, due in named:
        if not isinstance(one, torch.Tensor):
            yield f"{name} is not a tensor but one {type(one).__name__}"
        elif one.shape != due.shape or one.dtype != due.dtype:
            yield f"{name} is {one.dtype} {list(one.shape)}, but must be {due.dtype} {list(due.shape)}"


_BUILT_IN = frozenset(KERNELS)
_registered: dict[str, Kernel] = {}


def register(kernel: Kernel) -> None:
    """Make a kernel known; `auto` tries those of unknown names first, the latest before all.

    Layers choose when they are built, so register before building a model.

    Raises:
        ValueError: The name is taken, or its limits are declared already.
    """
    if kernel.name in _registered:
        raise ValueError(f"a kernel named {kernel.name} is registered already; unregister it first")
    if kernel.name not in KERNELS:
        declare(kernel.name, Implementation(kernel.runs_on, kernel.limits))
    elif kernel.limits and KERNELS[kernel.name].limits != kernel.limits:
        raise ValueError(f"the limits of {kernel.name} are declared in tttcfg.ttt_moshi.kernels; register it without")
    _registered[kernel.name] = kernel


def unregister(name: str) -> None:
    """Forget a registered kernel, and the limits that it brought along."""
    del _registered[name]
    if name not in _BUILT_IN:
        del KERNELS[name]


def candidates(config: TTTConfig) -> tuple[Kernel, ...]:
    """Return the registered kernels whose limits `config` meets, in the order in which they are tried.

    Raises:
        ContradictionError: There is none.
    """
    names = KERNELS if config.kernel == "auto" else (config.kernel,)
    found = {name: _unmet(config, name) for name in names}
    if not (fitting := tuple(_registered[name] for name, unmet in found.items() if not unmet)):
        raise ContradictionError(one for unmet in found.values() for one in unmet)
    return fitting


def choose_kernel(config: TTTConfig, device: str | torch.device = "cpu") -> Choice:
    """Return which kernel runs the scan on a device, and why those before it were passed over.

    One that the configuration names is never replaced; `unmet` of the choice has what keeps it from running.

    Args:
        config: What the layers read, whose `kernel` is a name or `auto`.
        device: Where they run.
    """
    unusable = partial(_unusable, kind=torch.device(device).type)
    if config.kernel == "auto":
        return choose(config, config.mini_batch_size, unusable)
    unmet = _unmet(config, config.kernel) or unusable(config.kernel)
    return Choice(config.kernel, {config.kernel: unmet} if unmet else {})


def running(kernels: tuple[Kernel, ...], device: torch.device) -> Kernel:
    """Return the first of the kernels that runs on the device.

    Raises:
        ContradictionError: None does.
    """
    for kernel in kernels:
        if not kernel.devices or device.type in kernel.devices:
            return kernel
    raise ContradictionError(one for kernel in kernels for one in _unusable(kernel.name, device.type))


def _unmet(config: TTTConfig, name: str) -> list[Problem]:
    """Return what rules a kernel out wherever it runs: the layers fill up mini-batches, so every one is whole."""
    return unmet_limits(name, config, config.mini_batch_size) or _unusable(name)


def _unusable(name: str, kind: str = "") -> list[Problem]:
    """Return that a kernel has no implementation, or none for a kind of device, if one is given."""
    if name not in _registered:
        return [needs(name, "an implementation registered with tttcfg.nn (there is none)")]
    devices = _registered[name].devices
    if not kind or not devices or kind in devices:
        return []
    return [needs(name, f"a {' or '.join(devices)} device (not {kind})")]


register(Kernel("torch", torch_scan))
