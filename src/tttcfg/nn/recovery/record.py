"""Writing what was recovered into the checkpoint's document."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from tttcfg.api import bind, resolved_without_demands, verified
from tttcfg.documents.checkpoint import find_checkpoint, weight_names
from tttcfg.documents.document import Document, load_document
from tttcfg.documents.effective import Binding, Effective
from tttcfg.documents.recovered import with_recovered
from tttcfg.errors import InputError, Problem, quote
from tttcfg.files.locks import alone
from tttcfg.nn.recovery.report import Recovery
from tttcfg.resolving.families import as_document
from tttcfg.schema.fields import plain
from tttcfg.urls import is_url
from tttcfg.verification.adopt import ASSERTED, adopted


def write_recovered(
    checkpoint: str | os.PathLike[str], found: Recovery, *, written_at: datetime | None = None
) -> Binding:
    """Write the settings that were recovered into a checkpoint's training_config.json, and bind it to the weights.

    Only answers that are `recovered` are written, and only in the place of values that were guessed: doubted, legacy,
    missing or filled in. Each gets the provenance `recovered`, with its figures, the digest of the data and the date. A
    checkpoint without a document gets one (`tttcfg.adopt`). A document that is replaced is kept as `.bak`, see
    `tttcfg.bind`. Of several ranks, one writes.

    Args:
        checkpoint: Any path into the checkpoint that was searched.
        found: What `recover` returned.
        written_at: The date that is recorded; by default today.

    Raises:
        InputError: Nothing was recovered, a value was recorded or asserted, or the search was made with
            other settings than the checkpoint has; nothing was written.
        ContradictionError: The tensors contradict the resulting document; nothing was written.
        WriteError: A file could not be written.
    """
    answers = {name: one for name, one in found.answers.items() if one.outcome == "recovered"}
    if not answers or found.best is None:
        message, advice = "nothing was recovered, so nothing is written", "give more batches, or the training's data"
        raise InputError(Problem("rejected", message, place=os.fspath(checkpoint), advice=advice))
    family, norm = found.effective.family, found.best.squared_norm
    date = (written_at or datetime.now(timezone.utc)).astimezone(timezone.utc).strftime("%Y-%m-%d")
    entries = {
        name: {
            "value": plain(answer.value),
            "separation": round(answer.separation, 3) if math.isfinite(answer.separation) else None,
            "squared_norm": norm.value,
            "standard_error": norm.error,
            "batches": norm.batches,
            "data": found.data,
            "date": date,
        }
        for name, answer in answers.items()
    }
    place = find_checkpoint(checkpoint, weight_names(family))
    if is_url(place.folder):
        raise InputError(Problem("unwritable", "is a URL, where nothing is written", place=place.folder))
    with alone(place.folder):
        effective = resolved_without_demands(checkpoint, family=family)
        _refuse_others(effective, found)
        document = _document(checkpoint, effective)
        asserted = document.provenance.get("adopted", {})
        asserted = asserted.get(ASSERTED, {}) if isinstance(asserted, Mapping) else {}
        return bind(checkpoint, with_recovered(document, entries, asserted), family=family)


def _document(checkpoint: str | os.PathLike[str], effective: Effective) -> Document:
    """Return the checkpoint's document; where it has none, what adopting it would write, or what is in its weights."""
    found = find_checkpoint(checkpoint, weight_names(effective.family))
    if found.document is not None:
        return load_document(found.document, effective.family)
    if any(given[0].source == "checkpoint" for given in effective.origins.values()):
        return as_document(effective)
    return adopted(effective, verified(effective, checkpoint).weights, found)


def _refuse_others(effective: Effective, found: Recovery) -> None:
    """Raise where the search was made with other values of what was not searched than the checkpoint has."""
    searched: dict[str, Any] = {}
    for field in effective.family.model_defining_fields:
        if field.name not in found.answers and field.get(found.effective.training) != field.get(effective.training):
            searched[field.name] = (field.get(found.effective.training), field.get(effective.training))
    if searched:
        raise InputError(
            Problem(
                "rejected", f"was searched with {quote(plain(one))}, and the checkpoint has {quote(plain(other))}", name
            )
            for name, (one, other) in searched.items()
        )
