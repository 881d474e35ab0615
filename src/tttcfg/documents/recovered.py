"""Values that were recovered from weights and data: what a checkpoint's document says of them.

They stand below whatever a person or a program has recorded, and above what was filled in for lack of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from tttcfg.documents.document import Document
from tttcfg.documents.save import provenance_of, without_fields
from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.migration.record import LEGACY
from tttcfg.schema.fields import plain
from tttcfg.schema.paths import MISSING, set_path, split
from tttcfg.schema.validation import validate

METHOD = "the expected gradient of the training loss is near zero with this value, and with no other one that was tried"
"""The reason below which a document's provenance lists what was recovered, each with its figures."""
_GUESSED = ("filled", "doubted")


def is_guessed(document: Document, name: str) -> bool:
    """Whether a field's value was not recorded by the program that trained, nor asserted by a person.

    What a record says of another value than the document has is of no weight: that was decided since.
    """
    value = plain(document.family.fields[name].get(document.training))
    if value == LEGACY or name in document.assumed or name in document.recovered:
        return True
    entries = (getattr(document.record, kind).get(name, {}) for kind in _GUESSED)
    return any(one.get("value", MISSING) == value for one in entries)


def require_guessed(
    document: Document, names: Iterable[str], asserted: Collection[str], found: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Raise InputError where a value was recorded or asserted, naming all of them: nothing recovered replaces those.

    Args:
        found: Values that were recovered; one that is the recorded one contradicts nothing.
    """
    problems = []
    for name in names:
        known = plain(document.family.fields[name].get(document.training))
        if (name in asserted or not is_guessed(document, name)) and found.get(name, MISSING) != known:
            message = f"is recorded as {quote(known)}, which nothing that is recovered replaces"
            advice = "if the record is wrong, bind the right configuration: tttcfg.bind(path, configuration)"
            problems.append(Problem("rejected", message, name, Place(document.path), advice=advice))
    if problems:
        raise InputError(problems)


def with_recovered(document: Document, found: Mapping[str, Mapping[str, Any]], asserted: Collection[str]) -> Document:
    """Return a document with recovered values in the place of those that were guessed; what is recorded stays.

    Args:
        found: By dotted name, the `value` and the figures that support it, as plain values.
        asserted: Fields whose value a person asserted, whatever else is recorded of them.

    Raises:
        InputError: A field's value was recorded or asserted, or a value is refused; all problems at once.
    """
    require_guessed(document, found, asserted, {name: entry["value"] for name, entry in found.items()})
    found = {name: one for name, one in found.items() if name not in asserted and is_guessed(document, name)}
    if not found:
        message = "all that was recovered is recorded already, with the same values"
        raise InputError(Problem("rejected", message, place=Place(document.path)))
    body = document.training.model_dump()
    for name, entry in found.items():
        set_path(body, split(name), entry["value"])
    training = validate(document.family.model, body, lambda _: Place("recovered"))
    provenance = without_fields(provenance_of(document), found.keys())
    group = {**provenance.get("recovered", {}).get(METHOD, {}), **{name: dict(one) for name, one in found.items()}}
    provenance["recovered"] = {**provenance.get("recovered", {}), METHOD: group}
    family = document.family
    return replace(
        document, source=training, version=family.head, migration=None, missing={}, decided_by=(), provenance=provenance
    )
