"""The test that every kernel has to pass: the same outputs, states and gradients as the float64 reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from tttcfg.nn.layers.kernels import Kernel, WrongKernelError, scan
from tttcfg.nn.layers.layer import TTTLayer
from tttcfg.nn.layers.reference import reference_scan
from tttcfg.nn.layers.scan import ScanInputs, ScanOptions, State, inner_names, inner_shapes
from tttcfg.ttt_moshi.kernels import KERNELS
from tttcfg.ttt_moshi.ttt_config import TTTConfig

LARGEST_ERROR = {"float32": 1e-4, "bfloat16": 3e-2}
"""By dtype: how far a tensor may be from the reference, as a part of the reference's own length.

Chosen: some rounding steps of a dtype with 24 and 8 bits, that pile up over the mini-batches.
"""
ROUNDED_ONCE = 2e-3
"""The same for outputs and states that are computed in float32 and rounded to bfloat16 where the reference rounds.

A bfloat16 number is off by 2e-3 on average; two that were rounded from nearly the same are the same but for a few.
"""


class Measured(NamedTuple):
    """How far one tensor of a trial is from the reference, as a part of the reference's length."""

    trial: str
    tensor: str
    error: float
    limit: float

    @property
    def passes(self) -> bool:
        return self.error <= self.limit  # false for NaN

    def __str__(self) -> str:
        return f"{self.tensor} is off by {self.error:.2g} of its length, and {self.limit:.2g} is allowed ({self.trial})"


class _Pass(NamedTuple):
    """One way to call a kernel: a number of mini-batches, and a state from the learned weights or an earlier piece."""

    mini_batches: int
    group_size: int
    continues: bool


_PASSES = (_Pass(1, 0, False), _Pass(3, 2, True), _Pass(9, 4, False))


def trial(
    sizes: tuple[int, ...],
    mini_batch_size: int,
    dtype: str = "float32",
    base_lr: float = 8.0,
    heads: int = 2,
    rope_mode: str = "off",
    **settings: Any,
) -> TTTConfig:
    """Return a configuration to try a kernel on: an inner model of these widths, in layers of a few heads.

    Args:
        settings: Other fields of the configuration; by default norm, read-out and types are the trainer's.
    """
    return TTTConfig.model_validate(
        {
            "inner_model": "linear" if len(sizes) == 2 else "mlp",
            "inner_layer_sizes": sizes,
            "mini_batch_size": mini_batch_size,
            "base_lr": base_lr,
            "rope_mode": rope_mode,
            "dtype": dtype,
            "model_dim": heads * sizes[0],
            "num_heads": heads,
            "head_dim": sizes[0],
            "num_layers": 1,
            "layer_indices": (0,),
            "ttt_layer_context": 1,
            "non_ttt_layer_context": 1,
            **settings,
        }
    )


FUSED: dict[str, Any] = {
    "inner_norm_eps": 1e-6,
    "read_out": "once",
    "scan_dtype": "float32",
    "state_dtype": "scan",
}
"""What the kernels of ttt-video-dit compute."""

TRIALS = tuple(
    trial(sizes, mini_batch_size, dtype, rope_mode=rope_mode)
    for sizes, mini_batch_size in (
        ((16, 16), 16),
        ((64, 64), 16),
        ((16, 64, 16), 1),
        ((16, 40, 16), 5),
        ((64, 256, 64), 64),
        ((16, 32, 48, 16), 8),
    )
    # Rotary positions leave queries and keys with other strides than the targets.
    for dtype, rope_mode in zip(LARGEST_ERROR, ("off", "mini_batch"), strict=True)
) + tuple(
    trial(sizes, mini_batch_size, dtype, rope_mode="mini_batch", **settings)
    for sizes, mini_batch_size, dtype, settings in (
        ((16, 16), 16, "float32", FUSED),
        ((64, 64), 16, "bfloat16", FUSED),
        ((64, 256, 64), 64, "bfloat16", FUSED),
        ((16, 64, 16), 4, "float32", {"read_out": "twice"}),
        ((16, 32, 48, 16), 8, "float32", {"read_out": "once"}),
        ((16, 32, 48, 16), 8, "bfloat16", {"scan_dtype": "float32"}),
    )
)


def check_kernel(
    kernel: Kernel, device: str | torch.device = "cpu", trials: Iterable[TTTConfig] = TRIALS
) -> tuple[Measured, ...]:
    """Compare a kernel with the float64 reference and return the figures; it need not be registered.

    Its tensors come out of a `TTTLayer`, with that layer's strides. Outputs, last states, and the gradients by
    everything it is given are compared, for one mini-batch and for several, with and without activation checkpoints,
    from the learned state and from one of an earlier piece; outputs and last states under `torch.no_grad` too.
    Trials that break a limit of the kernel are left out.

    Args:
        kernel: The kernel.
        device: Where it runs.
        trials: Configurations of layers that it is tried in.

    Raises:
        WrongKernelError: Something is further off than `LARGEST_ERROR` allows, or has another dtype or shape.
        ContradictionError: A trial is no configuration that a `TTTLayer` can be built from.
        ValueError: No trial meets the kernel's limits; give some that do.
    """
    limits = KERNELS[kernel.name].limits if kernel.name in KERNELS else kernel.limits
    fitting = [one for one in trials if not any(limit.found(one, one.mini_batch_size) for limit in limits)]
    if not fitting:
        raise ValueError(f"no trial meets the limits of {kernel.name}; give trials that do")
    measured = tuple(found for config in fitting for one in _PASSES for found in _try(kernel, config, one, device))
    if wrong := [str(one) for one in measured if not one.passes]:
        raise WrongKernelError(kernel.name, wrong, measured)
    return measured


def _try(kernel: Kernel, config: TTTConfig, one: _Pass, device: str | torch.device) -> list[Measured]:
    state, inputs, options = _handed_over(config, one, device)
    options = options._replace(group_size=one.group_size)
    given = [tensor.detach().requires_grad_() for tensor in (*state, *inputs)]
    exact = [tensor.detach().cpu().requires_grad_() for tensor in given]
    call = tuple(given[: len(state)]), ScanInputs(*given[len(state) :]), options
    # First, so that the pass with gradients finds out when this one changes its inputs.
    with torch.no_grad():
        quiet = _flat(scan(kernel, *call))
    got = _flat(scan(kernel, *call))
    want = _flat(reference_scan(tuple(exact[: len(state)]), ScanInputs(*exact[len(state) :]), options))
    names = inner_names(config.inner_layer_sizes)
    results = ["outputs", *(f"last {name}" for name in names)]
    slopes = [f"gradient by {name}" for name in (*names, *ScanInputs._fields)]
    sizes = "-".join(map(str, config.inner_layer_sizes))
    what = f"{config.dtype}, widths {sizes}, {one.mini_batches} mini-batches of {config.mini_batch_size}"
    compared = (
        (f"{what}, under no_grad", results, quiet, want),
        (what, results, got, want),
        (what, slopes, _gradients(got, given), _gradients(want, exact)),
    )
    once = config.dtype == "bfloat16" and config.scan_dtype == "float32"
    limits = {False: LARGEST_ERROR[config.dtype], True: ROUNDED_ONCE if once else LARGEST_ERROR[config.dtype]}
    return [
        _measure(where, name, found, due, limits[tensors is results])
        for where, tensors, left, right in compared
        for name, found, due in zip(tensors, left, right, strict=True)
    ]


def _handed_over(config: TTTConfig, one: _Pass, device: str | torch.device) -> tuple[State, ScanInputs, ScanOptions]:
    """Return what a layer of this configuration gives its kernel, always from the same numbers."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    layer = TTTLayer(config.model_copy(update={"kernel": "torch"}), device)
    shapes = inner_shapes(config.num_heads, config.inner_layer_sizes)
    seen: list[tuple[State, ScanInputs, ScanOptions]] = []

    def keep(state: State, inputs: ScanInputs, options: ScanOptions) -> tuple[torch.Tensor, State]:
        seen.append((state, inputs, options))
        return inputs.queries, state

    layer.kernels = (Kernel("keep", keep),)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            spread = 0.25 if parameter.ndim == 1 or "norm" in name else parameter.shape[-1] ** -0.5
            parameter.copy_(float(name == "ttt_norm_weight") + spread * normal(*parameter.shape))
        tokens = normal(2, one.mini_batches * config.mini_batch_size, config.model_dim).to(device)
        earlier = tuple((normal(2, *shape) / shape[1] ** 0.5).to(device, layer.state_dtype) for shape in shapes)
        layer(tokens, earlier if one.continues else None)
    return seen[0]


def _flat(result: tuple[torch.Tensor, State]) -> list[torch.Tensor]:
    outputs, state = result
    return [outputs, *state]


def _gradients(results: list[torch.Tensor], by: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradients of all results at once, each weighted by the same random numbers in every dtype.

    What nothing depends on has the gradient 0.
    """
    generator = torch.Generator().manual_seed(1)
    along = [torch.randn(one.shape, generator=generator).to(one) for one in results]
    tracked = [index for index, one in enumerate(results) if one.requires_grad]
    if not tracked:
        return [torch.zeros_like(one) for one in by]
    weighted = [results[index] for index in tracked], by, [along[index] for index in tracked]
    return list(torch.autograd.grad(*weighted, materialize_grads=True))


def _measure(where: str, name: str, got: torch.Tensor, want: torch.Tensor, limit: float) -> Measured:
    got, want = got.detach().cpu().double(), want.detach()
    return Measured(where, name, float((got - want).norm() / want.norm()), limit)
