"""The benchmarks that the `evaluation` section of a configuration enables: each done, not run, or in error.

Every setting of the section is read here except `enable` and `freq`, which are for training runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from tttcfg import Effective, InputError, Problem, TttcfgError
from tttcfg.ttt_moshi.evaluation import EvaluationArgs, Streaming

from .accuracy import accuracy
from .identity import declared_name
from .long_context import long_context, piece_of
from .pairs import Pair, read_gold, read_stories
from .recordings import Recording, read_librilight, read_recordings
from .scoring import NORMALISATION, codebook_weights
from .streams import Model, Streams, Tokenizer, streams_of

logger = logging.getLogger(__name__)

MAX_PROBLEMS = 20
"""Most problems that an entry lists."""
FAILURES = (TttcfgError, RuntimeError, OSError)
"""The errors with which an evaluation may fail without a bug in the program."""
DONE, NOT_RUN, ERROR = "done", "not run", "error"
LAYOUTS = {
    "sblimp": "sBLIMP",
    "swuggy": "sWUGGY",
    "tstory": "tStoryCloze",
    "sstory": "sStoryCloze",
    "librilight": "LibriLight",
    "long_context": "long recordings",
}
"""The layout of the data of every benchmark, by its section in the configuration."""


@dataclass(frozen=True)
class Session:
    """What the benchmarks of one evaluation share."""

    streams: Streams
    weights: Tensor
    settings: EvaluationArgs
    mini_batch_size: int | None
    figure_dir: Path | None


def evaluate(
    model: Model, tokenizer: Tokenizer, effective: Effective, *, figure_dir: Path | None = None
) -> dict[str, Any]:
    """Run the benchmarks that a configuration enables and return the section `paper_metrics` of the results.

    A benchmark that fails, because of a missing file or a non-finite loss, has an entry with status `error` and all its
    problems; the others run. One without an audio folder has status `not run`.

    Args:
        figure_dir: The folder of figures; without it, none are drawn.
    """
    settings = effective.training.evaluation
    entries: dict[str, Any] = {}
    scoring: dict[str, Any] = {"normalisation": NORMALISATION, "ties": "count half", "text_stream": "padding"}
    try:
        streams = streams_of(model, tokenizer, settings)
        first_weight = effective.training.first_codebook_weight_multiplier
        weights = codebook_weights(tokenizer.codebooks, first_weight)
    except InputError as error:
        session, refusal = None, _error(error)
    else:
        ttt = effective.ttt
        session, refusal = Session(streams, weights, settings, ttt and ttt.mini_batch_size, figure_dir), {}
        scoring["codebook_weights"] = weights.tolist()
        scoring["audio_streams"] = "user" if settings.use_user_stream else "own"
        scoring["other_streams"] = streams.other
    was_training = model.training
    model.train(False)
    try:
        with torch.no_grad():
            for name, layout in LAYOUTS.items():
                entry = _not_requested(name, settings) or refusal or _attempt(name, layout, cast(Session, session))
                entries[name] = {"layout": layout, **entry}
    finally:
        model.train(was_training)
    return {"tokenizer": tokenizer.describe(), "scoring": scoring, "benchmarks": entries}


def _attempt(name: str, layout: str, session: Session) -> dict[str, Any]:
    audio_dir, key = getattr(session.settings, name).audio_dir, f"evaluation.{name}.audio_dir"
    try:
        if audio_dir is None:
            raise InputError(Problem("missing", "is needed beside gold_csv", key))
        return {"status": DONE, "name": declared_name(Path(audio_dir), layout), **_RUN[name](name, layout, session)}
    except FAILURES as error:
        logger.error("%s: %s", layout, error)
        return _error(error)


def _not_requested(name: str, settings: EvaluationArgs) -> dict[str, Any] | None:
    section = getattr(settings, name)
    if getattr(section, "max_pairs", None) == 0:
        return {"status": NOT_RUN, "reason": f"evaluation.{name}.max_pairs is 0"}
    if section.audio_dir is not None or getattr(section, "gold_csv", None) is not None:
        return None
    return {"status": NOT_RUN, "reason": f"evaluation.{name}.audio_dir is not set"}


def _error(error: Exception) -> dict[str, Any]:
    problems = [str(problem) for problem in error.problems] if isinstance(error, TttcfgError) else [str(error)]
    more = len(problems) - MAX_PROBLEMS
    shown = problems[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
    return {"status": ERROR, "problems": shown}


def _with_gold(name: str, layout: str, session: Session) -> dict[str, Any]:
    section = getattr(session.settings, name)
    if section.gold_csv is None:
        raise InputError(Problem("missing", "is needed beside audio_dir", f"evaluation.{name}.gold_csv"))
    gold = Path(section.gold_csv)
    pairs = read_gold(layout, gold, Path(section.audio_dir))
    return _pairs(session, pairs, section.max_pairs, gold)


def _stories(name: str, layout: str, session: Session) -> dict[str, Any]:
    del layout
    section = getattr(session.settings, name)
    pairs = read_stories(Path(section.audio_dir))
    return _pairs(session, pairs, section.max_pairs, None)


def _pairs(session: Session, pairs: list[Pair], most: int | None, gold: Path | None) -> dict[str, Any]:
    figures = accuracy(session.streams, session.weights, pairs, most, gold)
    return {**figures, "causal": session.mini_batch_size in (None, 1)}


def _librilight(name: str, layout: str, session: Session) -> dict[str, Any]:
    del layout
    section = session.settings.librilight
    return _long(name, session, read_librilight(section), section.streaming)


def _recordings(name: str, layout: str, session: Session) -> dict[str, Any]:
    del layout
    return _long(name, session, read_recordings(session.settings.long_context), session.settings.librilight.streaming)


def _long(name: str, session: Session, recordings: list[Recording], streaming: Streaming) -> dict[str, Any]:
    piece = piece_of(session.mini_batch_size, streaming)
    figure = session.figure_dir and session.figure_dir / f"{name}.png"
    figures = long_context(session.streams, session.weights, recordings, piece, streaming, figure)
    return {**figures, "causal": piece == 1 or session.mini_batch_size in (None, 1)}


_RUN: dict[str, Callable[[str, str, Session], dict[str, Any]]] = {
    "sblimp": _with_gold,
    "swuggy": _with_gold,
    "tstory": _stories,
    "sstory": _stories,
    "librilight": _librilight,
    "long_context": _recordings,
}
