"""Binding weights and configuration that exist: the tag into the weights, the header's digest into the document."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, NamedTuple

from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint, read_model_config, weight_names
from tttcfg.documents.differences import differences
from tttcfg.documents.document import DOCUMENT_CAP, DOCUMENT_NAME, Document, load_document, parse_document
from tttcfg.documents.effective import Binding, Weights, digest
from tttcfg.documents.save import WEIGHTS, document_bytes, weights_record
from tttcfg.errors import ContradictionError, InputError, Place, Problem
from tttcfg.family.family import Family
from tttcfg.family.weights import binder, is_its_own, read_as
from tttcfg.files.storage import read_bytes, write_atomically
from tttcfg.safetensors.header import Header
from tttcfg.safetensors.metadata import rewriting
from tttcfg.schema.paths import Tree
from tttcfg.urls import is_url
from tttcfg.verification.bindings import (
    REPLACES,
    binding_by_tag,
    binding_of,
    contradiction,
    is_mismatched,
    records_of,
    unread_tag,
)
from tttcfg.verification.tags import EMBEDDED, TAG_KEY, embedded_bytes, embedded_document, tag_digest, tag_for, tag_of
from tttcfg.verification.verify import GIVEN, contradictions, weights_of


class _Existing(NamedTuple):
    """The document beside the weights, if any: its path, its bytes, and the document that they are, if they are one."""

    path: str
    raw: bytes | None
    document: Document | None

    def backup(self, document: Document) -> str | None:
        """Return where its bytes are kept if `document` takes its place; None where it has the same settings."""
        if self.raw is None:
            return None
        if self.document is None or not _have_the_same_settings(self.document, document):
            return f"{self.path}.bak"
        version = self.document.version
        return None if version == document.family.head else f"{self.path}.v{version}.bak"


def _have_the_same_settings(one: Document, other: Document) -> bool:
    """Whether two documents have the same settings, those of extensions included."""
    parts = [{name: part.training for name, part in each.parts.items()} for each in (one, other)]
    return (one.training, one.passed_through, parts[0]) == (other.training, other.passed_through, parts[1])


def bind(path: str | os.PathLike[str], given: Document | None, family: Family, *, embed: bool | None = None) -> Binding:
    """Bind a checkpoint's weights and `given`, or the document that lies there; see `tttcfg.bind`.

    The document is written first, naming the tags that it replaces, then the weights, then the document without that:
    an interrupted binding is no contradiction, and binding again completes it.
    """
    found = find_checkpoint(path, weight_names(family))
    weights = _weights(found, family)
    header = weights.header
    existing = _existing_document(found, family, demanded=given is None)
    document = given or existing.document or embedded_document(header, family)
    if document is None:
        message = f"there is no {DOCUMENT_NAME}; give the configuration that the weights belong to"
        raise InputError(Problem("missing", message, place=found.folder))
    advice = "bind what resolving makes of the two: tttcfg.bind(path, tttcfg.resolve(path))"
    problems = refused(found, weights, document, dict.fromkeys(document.assumed, advice))
    if given is not None:
        problems = [problem for problem in problems if problem.code != "binding"]
    if problems:
        raise ContradictionError(problems)
    if given is None:
        _refuse_to_guess(header, document)
    files = sorted(header.parts or (header,), key=lambda one: -one.size)  # what a full disk would not take comes first
    if embed is None:
        embed = any(EMBEDDED in (tag_of(one.metadata) or {}) for one in files)
    tag = tag_for(document, embed=embed)
    untagged = [one for one in files if one.metadata != _metadata(one, tag)]
    replaced = sorted({text for one in untagged if (text := tag_digest(one.metadata))} - {tag_digest(tag)})
    writer = _Writer(existing, document, header)
    for one in untagged:
        with rewriting(one.name, _metadata(one, tag)) as put:
            if one is untagged[0]:
                _keep_embedded(untagged, existing, document)
                writer.write({REPLACES: replaced} if replaced else {})
            put()
    writer.write({})
    bound = load_document(existing.path, family)
    result = binding_of(weights_of((header.name,), family).header, bound, family)
    return result._replace(reason=result.reason + _left_behind(bound, existing.document))


def _refuse_to_guess(header: Header, document: Document) -> None:
    """Raise where it cannot be determined whether the document there is the weights' own."""
    unread = unread_tag(header, document)
    if unread is not None:
        message = f"{unread.message}; nothing was written; to replace it on purpose: tttcfg.bind(path, configuration)"
        raise InputError(unread._replace(message=message))
    found = binding_of(header, document, document.family)
    if found.state == "unbound" and is_mismatched(header, document):
        raise ContradictionError([contradiction(found)])


def _left_behind(document: Document, before: Document | None) -> str:
    """Return which other weights of the folder `document` contradicts now, as the end of a sentence."""
    named = (str(one.get("file")) for one in records_of(before)) if before is not None else ()
    family = document.family
    there = readable(os.path.dirname(document.path), dict.fromkeys((*weight_names(family), *named)), family)
    others = [one.name for one in there if binding_by_tag(one, document, family).state == "contradicted"]
    advice = "bind that as well, or move it away"
    return f"; {', '.join(others)} beside it was saved with another configuration: {advice}" if others else ""


def readable(folder: str, names: Iterable[str], family: Family) -> Iterator[Header]:
    """Yield the headers of weights in a folder, as far as they can be read."""
    for path in (os.path.join(folder, name) for name in names):
        with contextlib.suppress(InputError):
            if os.path.lexists(path):
                yield read_as(family, path)


def recorded(document: Document, path: str, *headers: Header) -> Document:
    """Return `document`, to be saved at `path`, with a record of `headers` and of all weights there with its tag.

    Weights that cannot have a tag are recorded too, where the document names their save. Of other weights, records stay
    that a document of the same configuration holds which lies there.

    Raises:
        InputError: A file there has the tag of a newer tttcfg.
        ContradictionError: A file there has the tag of another configuration.
    """
    folder, document, family = os.path.dirname(path), replace(document, path=path), document.family
    own = {one["file"]: one for one in map(weights_record, headers)}
    for header in readable(folder, weight_names(family), family):
        unread = unread_tag(header, document)
        if unread is not None and unread.code == "newer":
            message = f"{unread.message}; to replace it on purpose: tttcfg.bind(path, configuration)"
            raise InputError(unread._replace(message=message))
        found = binding_of(header, document, family) if header.save else binding_by_tag(header, document, family)
        if found.state == "contradicted" and not header.save:
            raise ContradictionError([contradiction(found)])
        if found.state == "bound":
            one = weights_record(header)
            own[one["file"]] = one
    before = None
    with contextlib.suppress(InputError):
        before = load_document(path, family)
    return _with_records(document, folder, _records_of_the_same(before, document), list(own.values()))


def _records_of_the_same(before: Document | None, document: Document) -> list[Tree]:
    """Return what the document that was there records of weights, where it is of the configuration of `document`."""
    if before is None or digest(before.training, before.family) != digest(document.training, document.family):
        return []
    return records_of(before)


def _with_records(document: Document, folder: str, others: list[Tree], own: list[Tree]) -> Document:
    """Return `document` with records of its own weights, and with others as far as their files are there."""
    names = {one["file"] for one in own}
    kept = [one for one in others if isinstance(one.get("file"), str) and one["file"] not in names]
    kept = [one for one in kept if os.path.exists(os.path.join(folder, one["file"]))]
    records = sorted([*kept, *own], key=lambda one: str(one["file"]))
    provenance = {key: value for key, value in document.provenance.items() if key != WEIGHTS}
    return replace(document, provenance={**provenance, WEIGHTS: records} if records else provenance)


def _keep_embedded(headers: list[Header], existing: _Existing, document: Document) -> None:
    """Keep, beside the document, every embedded configuration that neither of the two documents holds."""
    family = document.family
    known = [one.training for one in (document, existing.document) if one is not None]
    for header in {tag_digest(one.metadata): one for one in headers}.values():
        data = embedded_bytes(header, family)
        if data is None:
            continue
        with contextlib.suppress(InputError):  # what cannot be read here is kept as it is
            embedded = embedded_document(header, family)
            if embedded is not None and not all(differences(embedded.training, one, family) for one in known):
                continue
        suffix = (tag_digest(header.metadata) or "").removeprefix("sha256:")
        write_atomically(f"{existing.path}.embedded-{suffix[:8]}.bak", data)


def _weights(found: Checkpoint, family: Family) -> Weights:
    if not found.weights:
        raise InputError(Problem("not_found", "holds no weights; there is nothing to bind", place=found.folder))
    if is_its_own(family, found.weights[0]):
        better = f"; what writes a document that names it: {by}" if (by := binder(family, found.weights[0])) else ""
        message = f"is no safetensors, and no digest of a configuration can be written into it{better}"
        raise InputError(Problem("unwritable", message, place=found.weights[0]))
    if is_url(found.weights[0]):
        message = "is a URL, where nothing is written; bind the files where they are"
        raise InputError(Problem("unwritable", message, place=found.folder))
    weights = weights_of(found.weights, family)
    if weights.header.truncated is not None:
        raise InputError(weights.header.truncated)
    return weights


def _existing_document(found: Checkpoint, family: Family, demanded: bool) -> _Existing:
    """Read the document that lies there; one that means nothing is an error only where it is what is to be bound."""
    if found.document is None:
        return _Existing(os.path.join(found.folder, DOCUMENT_NAME), None, None)
    raw, document = read_bytes(found.document, DOCUMENT_CAP), None
    try:
        document = parse_document(raw, family, found.document)
    except InputError:
        if demanded:
            raise
    return _Existing(found.document, raw, document)


def _metadata(header: Header, tag: Mapping[str, str]) -> dict[str, str]:
    """Return a file's metadata with the tag in it; everything else in it stays, its format included."""
    return {**tag, **header.metadata, TAG_KEY: tag[TAG_KEY]}


def refused(found: Checkpoint, weights: Weights, document: Document, advice: Mapping[str, str]) -> list[Problem]:
    """Return where a document contradicts tensors, model and what they are bound to, as if it were beside them.

    Args:
        advice: What to do about a field, by its dotted path, where an override is nothing that could be given.
    """
    model = read_model_config(found.model_config) if found.model_config is not None else None
    named = (model, found.model_config or "")
    place = Place(document.path) if document.path else GIVEN
    own = {place, *document.provenance_notes.values()}  # and not the model's config.json
    return [
        one._replace(advice=advice[one.key]) if one.key in advice and one.place in own else one
        for one in contradictions(document.family, weights, document.training, named, document, place=place)
    ]


class _Writer:
    """Writes the document beside the weights, as often as its record of them changes."""

    def __init__(self, existing: _Existing, document: Document, header: Header) -> None:
        self.path, self.raw, self.document, self.header = existing.path, existing.raw, document, header
        self.backup = existing.backup(document)
        self.moment = datetime.now(timezone.utc)
        self.others = _records_of_the_same(existing.document, document)

    def write(self, replacing: Mapping[str, Any]) -> None:
        """Write it with a record of the weights; records of other files stay where they are of this configuration."""
        own = {**weights_record(self.header), **replacing}
        document = _with_records(self.document, os.path.dirname(self.path), self.others, [own])
        data = document_bytes(document, self.moment)
        if data != self.raw:
            write_atomically(self.path, data, expected=self.raw, backup=self.backup)
            self.raw, self.backup = data, None
