"""A checkpoint's fingerprint: what its model returned for a fixed input, to be compared with a restored model."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from tttcfg.documents.checkpoint import Checkpoint, opened_checkpoint
from tttcfg.documents.document import DOCUMENT_CAP
from tttcfg.errors import ContradictionError, InputError, Place, Problem
from tttcfg.family.family import Family
from tttcfg.files.open_folder import inside, is_there
from tttcfg.files.storage import read_bytes
from tttcfg.nn.fingerprints.probe import (
    SHORT_EPS,
    ProbeInput,
    Reading,
    can_be_widened,
    closed,
    dtype_name,
    is_short,
    jittered,
    probe_input,
    read,
    rounded,
    unseen,
    widened,
)
from tttcfg.nn.ranks.gather import unwrapped
from tttcfg.nn.ranks.ranks import together
from tttcfg.resolving.families import family_in_bytes
from tttcfg.safetensors.shards import read_weights
from tttcfg.schema.paths import Tree
from tttcfg.ttt_moshi.ttt_config import TTTConfig

logger = logging.getLogger(__name__)
T = TypeVar("T")

FINGERPRINT_NAME = "fingerprint.json"
FORMAT = 2
BEFORE = 1
"""The format of tttcfg 0.1, whose TTT layers computed something else than the trainer's."""
NOT_FINITE = "the model's logits are not finite"
FACTOR, SHORT_FACTOR = 16.0, 2.0
"""How much further than one unit in the last place of every module another machine's arithmetic may go: sums in full
precision lose several units, those of short types are added up in full precision and rounded once."""
LEAST = 4.0
"""The least tolerance, in units in the last place of the largest number; in short types it would hide settings."""


@dataclass(frozen=True)
class Computation:
    """Whether a model computes what was saved.

    Attributes:
        agrees: None where nothing could be compared.
        largest: The largest difference of a log-probability, in nats.
        tolerance: What another machine's arithmetic may make of it, in nats.
        compared: How many numbers there were.
        reason: Why nothing was compared, or why a difference was to be expected; else empty.
        unseen: What the comparison cannot see.
    """

    agrees: bool | None
    largest: float = 0.0
    tolerance: float = 0.0
    compared: int = 0
    reason: str = ""
    unseen: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.agrees is None:
            return f"not compared with what was saved: {self.reason}"
        figures = f"{self.compared} log-probabilities differ by at most {self.largest:.2g} nats"
        limit = f"arithmetic alone may make {self.tolerance:.2g}"
        if self.agrees:
            subjects = ", ".join(one.partition(":")[0] for one in self.unseen)
            return f"computes what was saved: {figures}; {limit}" + (f"; not seen: {subjects}" if subjects else "")
        return f"does not compute what was saved: {figures}; {limit}" + (f"; {self.reason}" if self.reason else "")


def fingerprint(
    model: nn.Module,
    model_config: Mapping[str, Any],
    ttt: TTTConfig | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> Tree:
    """Return what a checkpoint keeps of what its model computes, as JSON values.

    It runs one short sequence, whole and, as the second of a batch, in two pieces, without gradients, in evaluation
    mode, three times: as the model is, with its rounding moved, and with every gate of TTT closed. The model stays as
    it is.

    In bfloat16 rounding hides most settings of TTT. So a model of up to `WIDENED_BYTES` of parameters in 16 bits that
    is not sharded is read with float32 copies of them, where it runs so, and `computed_in` is float32. Of others
    `unseen` has how large a change goes unseen, and whether all that TTT computes is as small.

    Args:
        model: Takes codes [B, 1 + n_q, T] and returns `text_logits` [B, 1, T, text_card] and `logits` [B, K, T, card];
            `text_mask` and `mask`, if there are any, have which positions are valid. B is 1, and 2 where there is TTT.
        model_config: Its config.json; `n_q`, `card` and `text_card` decide what the input is made of.
        ttt: What its TTT layers read, so that the input is long enough for their mini-batches and contexts.
        dtype: The type that the weights are saved in; they are rounded to it meanwhile.
    """
    probe = probe_input(model_config, ttt)
    if probe is None:
        return unavailable("the model's config.json has no n_q, card and text_card")
    model = unwrapped(model)
    with rounded(model, dtype or torch.float64):
        reading, tolerance, hidden = _finest(model, lambda: _measured(model, probe))
    if not all(map(math.isfinite, [*reading.numbers, tolerance])):
        return unavailable(NOT_FINITE)
    return {
        "format": FORMAT,
        "input": probe._asdict(),
        "numbers": reading.numbers,
        "tolerance": tolerance,
        "computed_in": dtype_name(reading.dtype),
        "parameters_in": dtype_name(_coarsest(model, dtype)),
        "unseen": [*unseen(probe, ttt, reading.dtype), *hidden],
        "torch": torch.__version__,
        "device": next(model.parameters()).device.type,
    }


def unavailable(reason: str) -> Tree:
    """Return what a checkpoint keeps in place of a fingerprint that cannot be made."""
    return {"format": FORMAT, "unavailable": reason}


def check_computation(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    deviations: Collection[str] = (),
    family: Family[Any, Any] | None = None,
) -> Computation:
    """Show by one look that `model` computes what the model of a checkpoint did when it was saved.

    A model in 16 bits is read in float32 where that was done when weights in 16 bits were saved. Of weights in float32
    it is not: that it has them in 16 bits is rounding, and `tolerance` allows for it.

    Args:
        model: The model, in DistributedDataParallel, sharded by `fully_shard`, or as it is.
        path: Any path into the checkpoint.
        deviations: Settings that were changed on purpose. If architecture or computation is among them, a difference is
            no error; others decide nothing of what is computed, and excuse none.
        family: Whose settings these are; by default the family that the checkpoint's document names.

    Raises:
        InputError: The fingerprint cannot be read.
        ContradictionError: The model computes something else, or the fingerprint is of other weights.
    """
    saved = together(lambda: _saved(path))
    if saved is None or "unavailable" in saved:
        return Computation(None, reason=saved["unavailable"] if saved else "the checkpoint has no fingerprint")
    model, probe = unwrapped(model), ProbeInput(**saved["input"])
    computed_in, tolerance = getattr(torch, saved["computed_in"]), saved["tolerance"]
    parameters_in = getattr(torch, saved["parameters_in"])
    was_widened = is_short(parameters_in) and not is_short(computed_in)
    reading = _finest(model, lambda: read(model, probe)) if was_widened else read(model, probe)
    if _eps(reading.dtype) > _eps(computed_in):
        tolerance = max(tolerance, _tolerance(model, probe, reading))
    own = family or together(lambda: _family_of(path))
    model_defining = {field.name for field in own.model_defining_fields}
    found = _compared(saved, reading, tolerance, [name for name in deviations if name in model_defining])
    if found.agrees is False and not found.reason:
        raise ContradictionError([Problem("computation", str(found), place=Place(os.fspath(path)))])
    return found


def _compared(saved: Tree, reading: Reading, tolerance: float, deviations: Collection[str]) -> Computation:
    if len(saved["numbers"]) != len(reading.numbers):
        largest = math.inf
    else:
        pairs = zip(saved["numbers"], reading.numbers, strict=True)
        largest = max(abs(one - other) if math.isfinite(other) else math.inf for one, other in pairs)
    reason = f"changed on purpose: {', '.join(deviations)}" if deviations else ""
    return Computation(largest <= tolerance, largest, tolerance, len(reading.numbers), reason, tuple(saved["unseen"]))


def _family_of(path: str | os.PathLike[str]) -> Family:
    with opened_checkpoint(path) as found:
        return family_in_bytes(read_bytes(found.document, DOCUMENT_CAP) if found.document is not None else b"")


def _saved(path: str | os.PathLike[str]) -> Tree | None:
    """Return the fingerprint of a checkpoint, having seen that it is of the weights beside it."""
    with opened_checkpoint(path) as found:
        name = inside(found.folder, FINGERPRINT_NAME)
        return _of_these_weights(name, found) if is_there(name) else None


def _of_these_weights(name: str, found: Checkpoint) -> Tree:
    try:
        saved = json.loads(read_bytes(name))
        if saved["format"] == BEFORE:
            reason = "which read it otherwise, and computed other TTT layers"
            return unavailable(f"its fingerprint is of tttcfg 0.1, {reason}")
        if saved["format"] != FORMAT:
            advice = "pip install --upgrade tttcfg"
            raise InputError(Problem("version", "is of a later tttcfg", place=name, advice=advice))
        if "unavailable" not in saved:
            ProbeInput(**saved["input"])
            [getattr(torch, one) for one in (saved["computed_in"], saved["parameters_in"])]
            [float(one) for one in (saved["tolerance"], *saved["numbers"])]
            [str.strip(one) for one in saved["unseen"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(Problem("rejected", f"is not a fingerprint: {error!r}", place=name)) from None
    if found.weights and saved.get("weights") not in (None, read_weights(found.weights[0]).digest):
        message = f"was made of weights of other names, shapes or dtypes than {found.weights[0]}"
        raise ContradictionError([Problem("binding", message, place=name)])
    checked: Tree = saved
    return checked


def _finest(model: nn.Module, measured: Callable[[], T]) -> T:
    """Return what is measured of a model in float32 where it is in 16 bits, small enough and runs so; else as it is."""
    if can_be_widened(model):
        try:
            with widened(model):
                return measured()
        except RuntimeError as error:  # it casts to a type of its own somewhere, or memory is short
            logger.info("the fingerprint is read in the model's own type, not in float32: %s", error)
    return measured()


def _measured(model: nn.Module, probe: ProbeInput) -> tuple[Reading, float, list[str]]:
    """Return a reading, its tolerance, and what hides behind the tolerance."""
    reading = read(model, probe)
    tolerance = _tolerance(model, probe, reading)
    with closed(model) as gates:
        without = read(model, probe).numbers if gates else []
    most = max((abs(one - other) for one, other in zip(reading.numbers, without, strict=bool(gates))), default=0.0)
    hidden = []
    if is_short(reading.dtype):
        limit = f"{tolerance:.2g} nats, as rounding in {dtype_name(reading.dtype)} may"
        hidden.append(f"what moves no log-probability by more than {limit}")
    if gates and most <= tolerance:
        message = "what TTT computes is within rounding here: closing every gate moves the log-probabilities by"
        hidden.append(f"{message} {most:.2g} nats at most")
    return reading, tolerance, hidden


def _tolerance(model: nn.Module, probe: ProbeInput, reading: Reading) -> float:
    """Return what other arithmetic of the same dtype may make of a reading, from what its last digit makes of it."""
    eps = _eps(reading.dtype)
    with jittered(model, eps):
        moved = read(model, probe).numbers
    most = max(abs(one - other) for one, other in zip(reading.numbers, moved, strict=True))
    factor = SHORT_FACTOR if eps > SHORT_EPS else FACTOR
    least = 0.0 if is_short(reading.dtype) else LEAST * eps * max(map(abs, reading.numbers))
    return max(factor * most, least)


def _coarsest(model: nn.Module, dtype: torch.dtype | None) -> torch.dtype:
    """Return the coarsest type that weights come back in from a file of `dtype`, or of each one's own."""
    kinds = {one.dtype for one in model.parameters() if one.is_floating_point()} | ({dtype} if dtype else set())
    return max(kinds, key=lambda kind: torch.finfo(kind).eps)


def _eps(dtype: torch.dtype) -> float:
    """Return the distance from 1 to the next number of a type, as matrices are multiplied in it here."""
    tensor_cores = dtype == torch.float32 and torch.cuda.is_available() and torch.backends.cuda.matmul.allow_tf32
    return 2.0**-10 if tensor_cores else float(torch.finfo(dtype).eps)
