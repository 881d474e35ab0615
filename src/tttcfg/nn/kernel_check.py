"""The test that every kernel has to pass: the same outputs, states and gradients as the float64 reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from tttcfg.errors import Problem, TttcfgError
from tttcfg.nn.inner import State, inner_names, inner_shapes
from tttcfg.nn.kernels import Kernel
from tttcfg.nn.reference import reference_scan
from tttcfg.nn.scan import ScanInputs
from tttcfg.ttt_moshi.kernels import KERNELS
from tttcfg.ttt_moshi.ttt_config import TTTConfig

LARGEST_ERROR = {"float32": 1e-4, "bfloat16": 3e-2}
"""By the dtype of the model: how far a tensor may be from the reference, as a part of the reference's own length.

Chosen: some rounding steps of a dtype with 24 and 8 bits, that pile up over the mini-batches.
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


class WrongKernelError(TttcfgError):
    """A kernel that does not compute what the reference does; `measured` holds all figures."""

    def __init__(self, kernel: str, measured: tuple[Measured, ...]) -> None:
        super().__init__(Problem("kernel", str(one), kernel) for one in measured if not one.passes)
        self.measured = measured


def trial(
    sizes: tuple[int, ...], mini_batch_size: int, dtype: str = "float32", base_lr: float = 8.0, heads: int = 2
) -> TTTConfig:
    """Return a configuration to try a kernel on: an inner model of these widths, in layers of a few heads."""
    return TTTConfig.model_validate(
        {
            "inner_model": "linear" if len(sizes) == 2 else "mlp",
            "inner_layer_sizes": sizes,
            "mini_batch_size": mini_batch_size,
            "base_lr": base_lr,
            "dtype": dtype,
            "model_dim": heads * sizes[0],
            "num_heads": heads,
            "head_dim": sizes[0],
            "num_layers": 1,
            "layer_indices": (0,),
            "ttt_layer_context": 1,
            "non_ttt_layer_context": 1,
        }
    )


TRIALS = tuple(
    trial(sizes, mini_batch_size, dtype)
    for sizes, mini_batch_size in (
        ((16, 16), 16),
        ((64, 64), 16),
        ((16, 64, 16), 1),
        ((16, 40, 16), 5),
        ((64, 256, 64), 64),
        ((16, 32, 48, 16), 8),
    )
    for dtype in LARGEST_ERROR
)


def check_kernel(
    kernel: Kernel, device: str | torch.device = "cpu", trials: Iterable[TTTConfig] = TRIALS
) -> tuple[Measured, ...]:
    """Hold a kernel against the float64 reference and return the figures; it need not be registered.

    Outputs, last states, and the gradients by everything it is given are compared, for one mini-batch and for
    several, with and without activation checkpoints. Trials that break a limit of the kernel are left out.

    Raises:
        WrongKernelError: Something is further off than `LARGEST_ERROR` allows.
        ValueError: No trial meets the kernel's limits; give some that do.
    """
    limits = KERNELS[kernel.name].limits if kernel.name in KERNELS else kernel.limits
    fitting = [one for one in trials if not any(limit.found(one, one.mini_batch_size) for limit in limits)]
    if not fitting:
        raise ValueError(f"no trial meets the limits of {kernel.name}; give trials that do")
    measured = tuple(
        found
        for config in fitting
        for count, group in ((1, 0), (3, 2))
        for found in _try(kernel, config, count, group, device)
    )
    if not all(one.passes for one in measured):
        raise WrongKernelError(kernel.name, measured)
    return measured


def _try(kernel: Kernel, config: TTTConfig, count: int, group_size: int, device: str | torch.device) -> list[Measured]:
    state, inputs = _random(config, count)
    given = [tensor.to(device).requires_grad_() for tensor in (*state, *inputs)]
    exact = [tensor.double().requires_grad_() for tensor in (*state, *inputs)]
    got = kernel.run(tuple(given[: len(state)]), ScanInputs(*given[len(state) :]), group_size)
    want = reference_scan(tuple(exact[: len(state)]), ScanInputs(*exact[len(state) :]))
    names = inner_names(config.inner_layer_sizes)
    pairs = dict(
        zip(["outputs", *(f"last {name}" for name in names)], zip(_flat(got), _flat(want), strict=True), strict=True)
    )
    slopes = (_gradients(_flat(got), given), _gradients(_flat(want), exact))
    of = [f"gradient by {name}" for name in (*names, *ScanInputs._fields)]
    pairs |= dict(zip(of, zip(*slopes, strict=True), strict=True))
    sizes = "-".join(map(str, config.inner_layer_sizes))
    what = f"{config.dtype}, widths {sizes}, {count} mini-batches of {config.mini_batch_size}"
    limit = LARGEST_ERROR[config.dtype]
    return [Measured(what, name, _distance(*pair), limit) for name, pair in pairs.items()]


def _random(config: TTTConfig, count: int) -> tuple[State, ScanInputs]:
    """Return a state and inputs as a model of the configuration's dtype would hand them over, always the same."""
    generator = torch.Generator().manual_seed(0)
    dtype: torch.dtype = getattr(torch, config.dtype)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    def rounded(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(dtype).float()

    heads, width = config.num_heads, config.head_dim
    shapes = inner_shapes(heads, config.inner_layer_sizes)
    tokens = (2, heads, count, config.mini_batch_size)
    queries, keys, targets = (normal(*tokens, width) for _ in range(3))
    eta = config.base_lr / width / config.mini_batch_size * torch.sigmoid(normal(*tokens))
    state = tuple(rounded(normal(2, *shape) / shape[1] ** 0.5) for shape in shapes)
    return state, ScanInputs(
        rounded(queries / queries.norm(dim=-1, keepdim=True)),
        rounded(keys / keys.norm(dim=-1, keepdim=True)),
        rounded(targets),
        rounded(eta),
        rounded(1 + normal(heads, width) / 4),
        rounded(normal(heads, width) / 4),
    )


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
    found = torch.autograd.grad(*weighted, allow_unused=True)
    return [torch.zeros_like(one) if slope is None else slope for one, slope in zip(by, found, strict=True)]


def _distance(got: torch.Tensor, want: torch.Tensor) -> float:
    got, want = got.detach().cpu().double(), want.detach()
    return float((got - want).norm() / want.norm()) if got.shape == want.shape else float("inf")
