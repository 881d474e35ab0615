"""TTT layers: tokens per second, peak memory, eager against compiled, and the error against the reference.

    python benchmarks/layers.py                # the shapes of this machine's device, one thing changed at a time
    python benchmarks/layers.py --every        # every combination
    python benchmarks/layers.py --device cpu --rounds 3

Needs `tttcfg[torch]`, and for `torch.compile` on a processor a C++ compiler. Prints a Markdown table. Every shape is
measured in a process of its own, so that none finds memory, threads or compiled code of another.

Times are medians of rounds, after two that do not count: on a GPU of the clock, with the device synchronised at both
ends; on a processor of the time that one thread computes, which other programs do not count into.
Memory is what a training step takes on top of the layer: on a GPU what torch allocated, on a processor the growth of
the process's peak. The error is |y - r| / |r| over the first tokens, with r of the reference, which computes in float64
and rounds where the layer's types do.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from measure import Figure

from tttcfg.nn import TTTLayer, reference_layer
from tttcfg.ttt_moshi.ttt_config import TTTConfig

LAYERS = {"TTT-Linear": 1, "2 layers": 2, "5 layers": 5}
REFERENCE_TOKENS = 256
WARM_UP = 2
COLUMNS = (
    *("inner model", "head_dim", "mini-batch", "tokens", "dtype"),
    *("forward", "compiled", "training", "compiled", "peak", "error"),
)


@dataclass(frozen=True)
class Shape:
    """What is measured: one sequence of `tokens` tokens, `width` channels wide."""

    inner: str
    head_dim: int
    mini_batch_size: int
    tokens: int
    dtype: str
    width: int


@dataclass(frozen=True)
class Grid:
    """The shapes of a kind of device: a centre, and the values that each thing takes instead."""

    centre: Shape
    head_dims: tuple[int, ...]
    mini_batch_sizes: tuple[int, ...]
    lengths: tuple[int, ...]

    def shapes(self, every: bool) -> list[Shape]:
        values = (tuple(LAYERS), self.head_dims, self.mini_batch_sizes, self.lengths, ("float32", "bfloat16"))
        centre = astuple(self.centre)[: len(values)]
        found = [Shape(*one, self.centre.width) for one in itertools.product(*values)]
        if every:
            return found
        return [one for one in found if sum(a != b for a, b in zip(astuple(one), centre, strict=False)) <= 1]


GRIDS = {
    "cuda": Grid(Shape("2 layers", 64, 64, 2048, "bfloat16", 1024), (16, 64, 128), (16, 64), (1024, 2048, 4096, 8192)),
    "cpu": Grid(Shape("2 layers", 64, 64, 512, "float32", 256), (16, 64, 128), (16, 64), (512, 1024, 2048)),
}


@dataclass(frozen=True)
class Row:
    """What came out; None where it was not measured."""

    shape: Shape
    forward: float
    training: float
    compiled_forward: float | None
    compiled_training: float | None
    peak_mib: float
    error: float


def config_of(shape: Shape) -> TTTConfig:
    count, width = LAYERS[shape.inner], shape.head_dim
    return TTTConfig.model_validate(
        {
            "inner_model": "linear" if count == 1 else "mlp",
            "inner_layer_sizes": (width, *[4 * width] * (count - 1), width),
            "mini_batch_size": shape.mini_batch_size,
            "model_dim": shape.width,
            "num_heads": shape.width // width,
            "head_dim": width,
            "num_layers": 1,
            "layer_indices": (0,),
            "ttt_layer_context": 1,
            "non_ttt_layer_context": 1,
            "dtype": shape.dtype,
            "kernel": "torch",
        }
    )


def measured(shape: Shape, device: str, rounds: int, most_unrolled: int) -> Row:
    """Measure one shape; meant to be called in a fresh process."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # of the processor
    config = config_of(shape)
    x = torch.randn(1, shape.tokens, shape.width).to(device, getattr(torch, shape.dtype))
    layer = TTTLayer(config, device)
    little = x[:, : shape.mini_batch_size]
    peak = _peak_mib(lambda: _train(layer, layer, x), lambda: _train(layer, layer, little), device)
    error = _error(layer, config, x)
    times = [_seconds(run, device, rounds) for run in _runs(layer, layer, x)]
    compiled: list[float | None] = [None, None]
    if shape.tokens // shape.mini_batch_size <= most_unrolled and _can_compile(device):
        made = torch.compile(layer)
        compiled = [shape.tokens / _seconds(run, device, rounds) for run in _runs(layer, made, x)]
    forward, training = (shape.tokens / one for one in times)
    return Row(shape, forward, training, compiled[0], compiled[1], peak, error)


def _runs(layer: TTTLayer, called: Callable[..., Any], x: torch.Tensor) -> Iterator[Callable[[], None]]:
    """Yield an evaluation and a training step, each with the layer in that mode."""

    def evaluate() -> None:
        with torch.no_grad():
            called(x)

    layer.eval()
    yield evaluate
    layer.train()
    yield lambda: _train(layer, called, x)


def _train(layer: TTTLayer, called: Callable[..., Any], x: torch.Tensor) -> None:
    layer.zero_grad(set_to_none=True)
    y, _ = called(x)
    y.float().square().mean().backward()


def _seconds(run: Callable[[], None], device: str, rounds: int) -> float:
    for _ in range(WARM_UP):
        run()
    found = []
    for _ in range(rounds):
        start = _now(device)
        run()
        found.append(_now(device) - start)
    return median(found)


def _now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _peak_mib(run: Callable[[], None], small: Callable[[], None], device: str) -> float:
    """Return what `run` takes on top; `small` is run before, so that what libraries set up once does not count."""
    small()
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return (torch.cuda.max_memory_allocated() - before) / (1 << 20)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / (1 << 20)


def _error(layer: TTTLayer, config: TTTConfig, x: torch.Tensor) -> float:
    """Return the error of the first tokens; those after them cannot reach back beyond their own mini-batch."""
    parameters = {name: one.detach().cpu() for name, one in layer.named_parameters()}
    with torch.no_grad():
        got = layer(x)[0][:, :REFERENCE_TOKENS].cpu().double()
        want = reference_layer(config, parameters, x[:, :REFERENCE_TOKENS].cpu())
    return float((got - want).norm() / want.norm())


def _can_compile(device: str) -> bool:
    return device == "cuda" or any(map(shutil.which, ("g++", "clang++", "c++")))


def rows(device: str, shapes: Sequence[Shape], rounds: int, most_unrolled: int) -> Iterator[Row]:
    """Yield what is measured of each shape, each in a new process."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for shape in shapes:
            yield pool.apply(measured, (shape, device, rounds, most_unrolled))


def device_name(device: str) -> str:
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return "processor, one thread"


def markdown(found: Iterator[Row]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for row in found:
        shape = row.shape
        speeds = (row.forward, row.compiled_forward, row.training, row.compiled_training)
        cells = (
            *astuple(shape)[:-1],
            *("-" if one is None else f"{one:,.0f}" for one in speeds),
            f"{row.peak_mib:,.0f} MiB",
            f"{row.error:.1e}",
        )
        yield f"| {' | '.join(map(str, cells))} |"


def figures(work: Path, checkpoints: int) -> Iterator[Figure]:
    """Yield the centre of this machine's shapes, in both dtypes, as the other parts do."""
    del work, checkpoints
    device = default_device()
    centre = GRIDS[device].centre
    for row in rows(device, [replace(centre, dtype=dtype) for dtype in ("float32", "bfloat16")], 5, 0):
        name = f"TTT layer, {centre.inner}, {row.shape.dtype}, {device_name(device)}"
        yield Figure(name, f"{row.training:,.0f} trained tokens/s, error {row.error:.1e}", "", None)


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the TTT layers.")
    parser.add_argument("--device", choices=GRIDS, default=default_device())
    parser.add_argument("--every", action="store_true", help="every combination of the values")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds that each median is of (7)")
    message = "compile up to so many mini-batches (8); the compiler unrolls them, which takes minutes"
    parser.add_argument("--most-unrolled", type=int, default=8, metavar="N", help=message)
    options = parser.parse_args()
    grid = GRIDS[options.device]
    name = device_name(options.device)
    sys.stdout.write(f"{name}; torch {torch.__version__}, Python {platform.python_version()}\n")
    sys.stdout.write(f"One sequence, {grid.centre.width} channels; speeds in tokens per second.\n\n")
    shapes = grid.shapes(options.every)
    for line in markdown(rows(options.device, shapes, options.rounds, options.most_unrolled)):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
