"""The loss along long sequences: at 8k, 16k and 24k positions, its slope, and its curve as a figure."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from tttcfg import InputError, Problem
from tttcfg.nn import SequenceModelingBlock
from tttcfg.ttt_moshi.evaluation import Streaming

from .figure import draw
from .identity import digest
from .recordings import Recording
from .scoring import Losses, in_pieces, whole
from .streams import Streams
from .summary import POSITIONS, WINDOW, curve_of, loss_at, mean_of, slope_of, window_of

logger = logging.getLogger(__name__)

MAX_POSITIONS = 25_000
"""Longest sequence where `streaming.max_sequence_length` is null; the trainer's evaluator had it hard-coded."""
SLOPE = "nats per 1000 positions, least squares over all positions"
PIECE = 512
"""Most positions of a piece; a longer mini-batch is a piece of its own."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Nats by which a token's loss may differ when it is computed a second way."""


def long_context(
    streams: Streams, weights: Tensor, recordings: list[Recording], piece: int, settings: Streaming, figure: Path | None
) -> dict[str, Any]:
    """Score long sequences in pieces and return the figures of their result.

    Args:
        piece: Positions per piece.
        figure: The PNG file to draw into; None draws nothing.

    Raises:
        InputError: A recording cannot be scored, or a check that the configuration asks for fails.
    """
    if settings.use_fixed_method is False:
        message = "the uncorrected loss, one position off, is no longer available; use null or true"
        raise InputError(Problem("rejected", message, "evaluation.librilight.streaming.use_fixed_method"))
    most = settings.max_sequence_length or MAX_POSITIONS
    losses: dict[str, Tensor] = {}
    checks: dict[str, Any] = {}
    for recording in recordings:
        codes = streams.codes(recording.files, most)
        monitor = _Monitor(streams, settings)
        found = in_pieces(streams, codes, piece, monitor).checked(recording.name)
        if settings.verify_loss_computation:
            checks["loss_computed_twice"] = _compared(streams, codes, found, piece, recording.name)
        checks.update(monitor.findings())
        losses[recording.name] = found.by_position(weights)
        if not len(losses[recording.name]):
            raise InputError(Problem("empty", "is too short: no position has all codebooks", place=recording.name))
    slopes = [slope for one in losses.values() if (slope := slope_of(one)) is not None]
    return {
        "loss": {name: _loss_at(position, losses) for name, position in POSITIONS.items()},
        "slope": {"definition": SLOPE, **_mean(slopes)} if slopes else None,
        "window": WINDOW,
        "sequences": [_sequence(name, one) for name, one in losses.items()],
        "max_positions": most,
        "piece": piece,
        "checks": checks,
        "figure": _figure(losses, figure),
        "data": {"audio": digest(file for recording in recordings for file in recording.files)},
    }


def piece_of(mini_batch_size: int | None, settings: Streaming) -> int:
    """Return the positions per piece: 1 when streaming frame by frame, else the most whole mini-batches within 512.

    With whole inner mini-batches, the inner steps are those of the whole sequence.
    """
    unit = mini_batch_size or 1
    return 1 if settings.enabled else max(1, PIECE // unit) * unit


def _figure(losses: dict[str, Tensor], path: Path | None) -> str:
    if path is None:
        return "not drawn (no folder was given)"
    return draw({name: curve_of(one) for name, one in losses.items()}, path)


def _loss_at(position: int, losses: dict[str, Tensor]) -> dict[str, Any]:
    values = [value for one in losses.values() if (value := loss_at(one, position)) is not None]
    if not values:
        return {"status": "too short", "longest": max(map(len, losses.values()))}
    return {"status": "done", **_mean(values)}


def _mean(values: list[float]) -> dict[str, Any]:
    mean = mean_of(values)
    return {"mean": mean.value, "standard_error": mean.standard_error, "sequences": len(values)}


def _sequence(name: str, losses: Tensor) -> dict[str, Any]:
    return {
        "name": name,
        "positions": len(losses),
        "mean": float(losses.mean()),
        "slope": slope_of(losses),
        "window": window_of(len(losses)),
        "curve": [list(point) for point in curve_of(losses)],
    }


def _compared(streams: Streams, codes: Tensor, found: Losses, piece: int, name: str) -> float:
    """Return by how many nats the first piece differs when it is computed as a whole sequence."""
    other = whole(streams, codes[:, :, :piece])
    valid = other.mask & found.mask[:, :piece]
    difference = float((other.nats - found.nats[:, :piece])[valid].abs().max()) if bool(valid.any()) else 0.0
    tolerance = TOLERANCE.get(next(iter(streams.model.parameters())).dtype, 0.1)
    if difference > tolerance:
        message = f"the loss in pieces and as a whole differ by {difference:.3g} nats in the first {piece} positions"
        raise InputError(Problem("contradiction", message, place=name))
    return difference


class _Monitor:
    """Called after every piece: clears caches and checks memory and inner weights, as `streaming` has it."""

    def __init__(self, streams: Streams, settings: Streaming) -> None:
        self.settings = settings
        modules = cast(nn.Module, streams.model).modules()
        self.blocks = [module for module in modules if isinstance(module, SequenceModelingBlock)]
        self.on_gpu = next(iter(streams.model.parameters())).is_cuda
        self.done = self.pieces = 0
        self.before: list[Any] = [block.ttt_layer.ttt.learned_state(1) for block in self.blocks]
        self.changes: list[bool] = []
        self.peak: int | None = None

    def __call__(self, done: int) -> None:
        if self._is_due(self.settings.cache_clear_interval, done) and self.on_gpu:
            torch.cuda.empty_cache()
        if self._is_due(self.settings.memory_log_interval, done):
            logger.info("%d positions, peak memory %s MB", done, _megabytes(_peak_memory(self.on_gpu)))
        if self.settings.ttt_verification:
            self._watch()
        self.done, self.pieces = done, self.pieces + 1

    def _is_due(self, interval: int | None, done: int) -> bool:
        return interval is not None and done // interval > self.done // interval

    def _watch(self) -> None:
        states = [block.state for block in self.blocks]
        self.changes.append(all(map(_differ, self.before, states)))
        self.before = states

    def findings(self) -> dict[str, Any]:
        """Return what was checked.

        Raises:
            InputError: The inner weights do not change from piece to piece, though they should.
        """
        found: dict[str, Any] = {}
        if self.settings.memory_check:
            found["peak_memory_bytes"] = _peak_memory(self.on_gpu)
        if self.settings.ttt_verification:
            found["inner_weights"] = self._verdict()
        return found

    def _verdict(self) -> str:
        if not self.blocks:
            return "none: the model has no TTT layers"
        if any(block.persistent_states == "never" for block in self.blocks):
            return "start afresh with every piece: ttt.persistent_states is never"
        if not all(self.changes):
            message = f"the inner weights stay as they are after {self.changes.count(False)} of {self.pieces} pieces"
            raise InputError(Problem("contradiction", message, "evaluation.librilight.streaming.ttt_verification"))
        return "change with every piece"


def _differ(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return False
    return any(not torch.equal(one, other) for one, other in zip(old, new, strict=True))


def _peak_memory(on_gpu: bool) -> int | None:
    """Return the peak memory in bytes, of tensors on the GPU or of the process; None where it is not known."""
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return None
    resource = import_module("resource")
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _megabytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e6:.0f}"
