"""Writing what was recovered into the checkpoint's document."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from tttcfg.api import bind, resolved_without_demands, verified
from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint, weight_names
from tttcfg.documents.document import Document, load_document
from tttcfg.documents.effective import Binding, Effective
from tttcfg.documents.recovered import require_guessed, with_recovered
from tttcfg.errors import InputError, Problem, quote
from tttcfg.files.locks import alone
from tttcfg.migration.record import LEGACY
from tttcfg.nn.recovery.answers import Answer, is_near
from tttcfg.nn.recovery.contest import Values
from tttcfg.nn.recovery.report import Recovery
from tttcfg.nn.recovery.search import weight_files
from tttcfg.nn.recovery.stationarity import Estimate
from tttcfg.resolving.families import as_document
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import plain
from tttcfg.urls import is_url
from tttcfg.verification.adopt import ASSERTED, adopted, is_without_document
from tttcfg.verification.bind import refuse_to_guess


def write_recovered(
    checkpoint: str | os.PathLike[str], found: Recovery, *, written_at: datetime | None = None
) -> Binding:
    """Write the settings that were recovered into a checkpoint's training_config.json, and bind it to the weights.

    Only answers that are `recovered` are written, and only in the place of values that were guessed: doubted, legacy,
    missing or filled in. Each gets the provenance `recovered`, with its figures, the digest of the data and the date. A
    checkpoint without a document gets one, as `tttcfg.adopt` writes it: what the search was given from a file is
    asserted. A document that is replaced is kept as `.bak`, see `tttcfg.bind`. Of several ranks, call it on one.

    Args:
        checkpoint: Any path into the checkpoint that was searched.
        found: What `recover` returned.
        written_at: The date that is recorded; by default today.

    Raises:
        InputError: Nothing was recovered, or only together with other values than the search was given; another value
            was recorded or asserted; the search was made with other settings than the checkpoint has, or rules out one
            that it has, or was of other weights; or a newer tttcfg has bound these. Nothing was written.
        ContradictionError: The tensors contradict the resulting document, or the document that is there is of other
            weights; nothing was written.
        WriteError: A file could not be written.
    """
    answers = {name: one for name, one in found.answers.items() if one.outcome == "recovered"}
    if not answers or found.best is None:
        message, advice = "nothing was recovered, so nothing is written", "give more batches, or the training's data"
        raise InputError(Problem("rejected", message, place=os.fspath(checkpoint), advice=advice))
    family = found.effective.family
    moment = written_at or datetime.now(timezone.utc)
    settled = found.settled
    if settled is None or settled.is_apart or not is_near(settled):
        others = ", ".join(f"{name}={quote(plain(value))}" for name, value in _others(found).items())
        message = "is recovered only together with other values than the search was given"
        raise InputError(Problem("rejected", message, ", ".join(answers), advice=f"search again with {others}"))
    entries = {name: _entry(answer, found, settled.squared_norm, moment) for name, answer in answers.items()}
    folder = find_checkpoint(checkpoint, weight_names(family)).folder
    if is_url(folder):
        raise InputError(Problem("unwritable", "is a URL, where nothing is written", place=folder))
    with alone(folder):
        place = find_checkpoint(checkpoint, weight_names(family))  # another process may have written a document
        effective = resolved_without_demands(checkpoint, family=family)
        _refuse_other_weights(effective, found, checkpoint)
        if place.document is not None:
            refuse_to_guess(
                verified(effective, checkpoint).weights.header, load_document(place.document, effective.family)
            )
        if is_without_document(effective, place):
            effective = found.effective if found.effective.verification is not None else effective
        _refuse_others(effective, found)
        document = _document(checkpoint, effective, place)
        return bind(checkpoint, with_recovered(document, entries, _asserted(document)), family=family)


def require_unrecorded(checkpoint: str | os.PathLike[str], fields: Iterable[str], effective: Effective) -> None:
    """Raise where `write_recovered` would write no value of these fields: to be called before a search, which is long.

    Args:
        checkpoint: Any path into a checkpoint; for one without a document, what a file gives is asserted.
        fields: Dotted names.
        effective: What is going to be searched.

    Raises:
        InputError: A value was recorded or asserted; the error names all of them.
    """
    found = find_checkpoint(checkpoint, weight_names(effective.family))
    document = _document(checkpoint, effective, found)
    require_guessed(document, (name for name in fields if name in effective.family.fields), _asserted(document))


def _asserted(document: Document) -> Collection[str]:
    """Return the fields whose value a person asserted when the checkpoint was adopted."""
    adopted = document.provenance.get("adopted", {})
    return adopted.get(ASSERTED, ()) if isinstance(adopted, Mapping) else ()


def _entry(answer: Answer, found: Recovery, norm: Estimate, moment: datetime) -> dict[str, Any]:
    """Return a recovered value with the figures that support it, as provenance has them."""
    return {
        "value": plain(answer.value),
        "separation": round(answer.separation, 3) if math.isfinite(answer.separation) else None,
        "squared_norm": norm.value,
        "standard_error": norm.error,
        "batches": norm.batches,
        "data": found.data,
        "date": moment.astimezone(timezone.utc).strftime("%Y-%m-%d"),
    }


def _document(checkpoint: str | os.PathLike[str], effective: Effective, found: Checkpoint) -> Document:
    """Return the checkpoint's document; where it has none, what adopting it would write, or what is in its weights."""
    if found.document is not None:
        return load_document(found.document, effective.family)
    if is_without_document(effective, found):
        return adopted(effective, verified(effective, checkpoint).weights, found)
    return as_document(effective)


def _refuse_other_weights(effective: Effective, found: Recovery, checkpoint: str | os.PathLike[str]) -> None:
    """Raise where the weights are not those that were searched, or were written since."""
    weights, searched = verified(effective, checkpoint).weights, found.effective.verification
    now = weight_files(effective)
    message = ""
    if any(before != now.get(name, before) for name, before in found.weights.items()):
        message = "was written since the search began"
    elif searched is not None and _is_other(weights.header, searched.weights.header):
        message = f"is another checkpoint's than {searched.weights.header.name}, which was searched"
    if message:
        raise InputError(Problem("rejected", message, place=weights.header.name, advice="search again"))


def _is_other(header: Header, searched: Header) -> bool:
    """Whether weights are not those that were searched, by what they hold and, as far as these are there, by place."""
    there = os.path.exists(header.name) and os.path.exists(searched.name)
    return header.digest != searched.digest or (there and not os.path.samefile(header.name, searched.name))


def _others(found: Recovery) -> Values:
    """Return the values beside which the best was found, of what was not recovered and was given otherwise."""
    if found.best is None or found.settled is None:
        return {}
    given = found.settled.values
    return {name: value for name, value in found.best.values.items() if value != given.get(name)}


def _refuse_others(effective: Effective, found: Recovery) -> None:
    """Raise where the search was made with other values of what it did not recover than the checkpoint has."""
    searched: dict[str, Any] = {}
    for field in effective.family.model_defining_fields:
        one, other = field.get(found.effective.training), field.get(effective.training)
        answer = found.answers.get(field.name)
        recovered = answer is not None and answer.outcome == "recovered"
        if not recovered and one != other and plain(other) != LEGACY:
            searched[field.name] = (one, other)
    problems = [
        Problem(
            "rejected", f"was searched with {quote(plain(one))}, and the checkpoint has {quote(plain(other))}", name
        )
        for name, (one, other) in searched.items()
    ]
    for name, answer in found.answers.items():
        value = effective.family.fields[name].get(effective.training)
        if answer.outcome == "narrowed" and value not in answer.remaining:
            left = ", ".join(quote(plain(one)) for one in answer.remaining)
            message = f"was narrowed to {left}, and the checkpoint has {quote(plain(value))}"
            advice = "search with one of these as the given value"
            problems.append(Problem("rejected", message, name, advice=advice))
    if problems:
        raise InputError(problems)
