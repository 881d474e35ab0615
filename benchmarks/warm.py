"""Calls inside a program: resolve(), and documents per second, against plain pydantic in the same run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from job import CONFIG, OLD, OVERRIDES, write_checkpoint
from measure import Figure, interleaved, ratio

from tttcfg import TrainingArgs, resolve
from tttcfg.documents.document import DOCUMENT_NAME, parse_document
from tttcfg.family.versions import RESERVED
from tttcfg.resolving.config import read_config
from tttcfg.ttt_moshi.family import TTT_MOSHI


def figures(work: Path, checkpoints: int) -> Iterator[Figure]:
    del checkpoints
    checkpoint = write_checkpoint(work / "warm")
    current = (checkpoint / DOCUMENT_NAME).read_bytes()
    body = {key: value for key, value in json.loads(current).items() if key not in RESERVED}
    yield from _resolve(checkpoint, body)
    yield from _documents("current documents", current, current, 40_000)
    yield from _documents("version 3 documents", OLD.read_bytes(), current, 5_000)


def _resolve(checkpoint: Path, body: dict[str, Any]) -> Iterator[Figure]:
    config = read_config(CONFIG, TTT_MOSHI)
    ours, plain = interleaved(
        [lambda: resolve(checkpoint, config, OVERRIDES), lambda: TrainingArgs.model_validate(body)], 200
    )
    yield Figure("warm resolve(), YAML parsed, origins included", f"{ours * 1e3:.3f} ms", "<= 0.5 ms", ours <= 0.5e-3)
    yield ratio("warm resolve() / validating its values", ours * 1e6, plain * 1e6, None, unit="us")


def _documents(name: str, data: bytes, current: bytes, at_least: int) -> Iterator[Figure]:
    """Measure documents from bytes; plain pydantic reads `data` too, and validates what is current."""
    body = {key: value for key, value in json.loads(current).items() if key not in RESERVED}

    def plain() -> None:
        json.loads(data)
        TrainingArgs.model_validate(body)

    ours, bare = interleaved([lambda: parse_document(data, TTT_MOSHI).version, plain], 500)
    yield Figure(f"{name} per second", f"{1 / ours:,.0f}", f">= {at_least:,}", 1 / ours >= at_least)
    yield ratio(f"{name} / json.loads and validating", ours * 1e6, bare * 1e6, None, unit="us")
