"""Binding weights and configuration that exist: the tag into the weights, the header's digest into the document."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone

from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint, read_model_config, weight_names, with_weights_of
from tttcfg.documents.differences import differences
from tttcfg.documents.document import DOCUMENT_CAP, DOCUMENT_NAME, Document, load_document, parse_document
from tttcfg.documents.effective import Binding, Weights, configuration_digest
from tttcfg.documents.replaced import replaced_through_link
from tttcfg.documents.save import document_bytes, recording, weights_record
from tttcfg.documents.secret_values import keeping, secrets_of_file
from tttcfg.errors import ContradictionError, InputError, Place, Problem
from tttcfg.family.family import Family
from tttcfg.family.weights import binder, is_its_own, read_as
from tttcfg.files.locks import alone
from tttcfg.files.storage import PRIVATE, keep_copy, read_bytes, sync_folder, write_atomically, write_errors
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
from tttcfg.verification.tags import (
    EMBEDDED,
    TAG_KEY,
    embedded_bytes,
    embedded_document,
    embedded_in,
    tag_digest,
    tag_for,
    tag_of,
)
from tttcfg.verification.verify import GIVEN, contradictions, weights_in


class _Beside:
    """The document beside the weights, if any: its path, its bytes, and the document that they are, if they are one.

    Another one takes its place, as often as its record of the weights changes.
    """

    def __init__(self, found: Checkpoint, raw: bytes | None, family: Family, demanded: bool) -> None:
        """Understand what lies there; what means nothing is an error only where it is what is to be bound."""
        self.family, self.raw = family, raw
        self.path = found.document or os.path.join(found.folder, DOCUMENT_NAME)
        self.document: Document | None = None
        self.moment, self.is_kept = datetime.now(timezone.utc), False
        self.secrets: list[str] = []
        self.with_secrets: list[str] = []
        try:
            self.document = parse_document(self.raw, family, self.path) if self.raw is not None else None
        except InputError:
            if demanded:
                raise

    def backup(self, document: Document) -> str | None:
        """Return where its bytes are kept if `document` takes its place; None where it has the same settings."""
        if self.raw is None or self.is_kept:
            return None
        if (
            self.document is None
            or self.document.written is not None
            or not _have_the_same_settings(self.document, document)
        ):
            return f"{self.path}.bak"
        version = self.document.version
        return None if version == document.family.head else f"{self.path}.v{version}.bak"

    def write(self, document: Document, record: Tree) -> None:
        """Write `document` in its place; records of other files stay where they are of this configuration."""
        document = _with_records(document, os.path.dirname(self.path), self.document, [record])
        data = document_bytes(document, self.moment, self.raw)
        if data != self.raw:
            backup = self.backup(document)
            secrets = secrets_of_file(self.raw, self.path, document.family) if self.raw and backup else []
            private = secrets != []
            kept = write_atomically(self.path, data, expected=self.raw, backup=backup, private_backup=private)
            self.keeps(kept, secrets)
            self.raw, self.is_kept = data, True

    def keeps(self, path: str, secrets: list[str] | None) -> None:
        """Remember the secrets in what is kept beside it."""
        if secrets:
            self.secrets += secrets
            self.with_secrets.append(path)


def _have_the_same_settings(one: Document, other: Document) -> bool:
    """Whether two documents have the same settings, those of extensions included."""
    parts = [{name: part.training for name, part in each.parts.items()} for each in (one, other)]
    return (one.training, one.passed_through, parts[0]) == (other.training, other.passed_through, parts[1])


def bind(
    path: str | os.PathLike[str],
    given: Document | None,
    family_of: Callable[[bytes], Family],
    *,
    embed: bool | None = None,
) -> Binding:
    """Bind a checkpoint's weights and `given`, or the document that lies there; see `tttcfg.bind`.

    The document is written first, naming the tags that it replaces, then the weights, then the document without that:
    an interrupted binding is no contradiction, and binding again completes it.

    Args:
        family_of: Returns the family of a document, given its bytes, which are empty where there is none.
    """
    found = find_checkpoint(path, weight_names(family_of(b"")))
    with alone(found.folder):
        return _bound(path, found, given, family_of, embed)


def _bound(
    path: str | os.PathLike[str],
    found: Checkpoint,
    given: Document | None,
    family_of: Callable[[bytes], Family],
    embed: bool | None,
) -> Binding:
    raw = read_bytes(found.document, DOCUMENT_CAP) if found.document is not None else None
    family = family_of(raw or b"")
    found = with_weights_of(found, path, family)
    header = _header(found, family)
    embedded = embedded_bytes(header, family) if given is None and raw is None else None
    if embedded is not None:
        family = family_of(embedded)
    weights = weights_in(header, family, found.weights)
    existing = _Beside(found, raw, family, demanded=given is None)
    if existing.document is None:
        replaced_through_link(existing.path, given.family if given is not None else family)
    document = given or existing.document
    if embedded is not None:
        document = embedded_in(embedded, header, family)
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
        refuse_to_guess(header, document)
    files = sorted(header.parts or (header,), key=lambda one: -one.size)  # what a full disk would not take comes first
    if embed is None:
        embed = any(EMBEDDED in (tag_of(one.metadata) or {}) for one in files)
    tag = tag_for(document, embed=embed)
    untagged = [one for one in files if one.metadata != _metadata(one, tag)]
    replaced = sorted({text for one in untagged if (text := tag_digest(one.metadata))} - {tag_digest(tag)})
    record = weights_record(header)
    for one in untagged:
        with rewriting(one.name, _metadata(one, tag)) as put:
            if one is untagged[0]:
                _keep_embedded(untagged, existing, document)
                existing.write(document, {**record, REPLACES: replaced} if replaced else record)
            put()
    existing.write(document, record)
    if untagged:
        header = read_as(family, header.name)
    bound = (None if existing.is_kept else existing.document) or load_document(existing.path, family)
    result = binding_of(header, bound, family)
    kept = keeping(existing.secrets, existing.with_secrets, "; what is kept beside it has")
    return result._replace(reason=result.reason + _mismatched_beside(bound, existing.document, header) + kept)


def refuse_to_guess(header: Header, document: Document) -> None:
    """Raise where it cannot be determined whether the document there is the weights' own."""
    unread = unread_tag(header, document)
    if unread is not None:
        message = f"{unread.message}; nothing was written; to replace it on purpose: tttcfg.bind(path, configuration)"
        raise InputError(unread._replace(message=message))
    found = binding_of(header, document, document.family)
    if found.state == "unbound" and is_mismatched(header, document):
        raise ContradictionError([contradiction(found)])


def _mismatched_beside(document: Document, before: Document | None, own: Header) -> str:
    """Return which weights of the folder but its `own` a document contradicts now, as the end of a sentence."""
    named = (str(one.get("file")) for one in records_of(before)) if before is not None else ()
    family = document.family
    names = dict.fromkeys((*weight_names(family), *named))
    names.pop(os.path.basename(own.name), None)
    there = readable(os.path.dirname(document.path), names, family)
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
    others = readable(folder, (name for name in weight_names(family) if name not in own), family)
    for header in (*headers, *others):
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
    return _with_records(document, folder, before, own.values())


def _with_records(document: Document, folder: str, before: Document | None, own: Collection[Tree]) -> Document:
    """Return `document` with records of its own weights, and of others as far as their files are there.

    Others are in the document that was there `before`, where it is of the same configuration.
    """
    others: list[Tree] = []
    digests = {configuration_digest(one.training, one.family) for one in (before, document) if one is not None}
    if before is not None and len(digests) == 1:
        others = records_of(before)
    names = {one["file"] for one in own}
    kept = [one for one in others if isinstance(one.get("file"), str) and one["file"] not in names]
    return recording(document, [*own, *(one for one in kept if os.path.exists(os.path.join(folder, one["file"])))])


def _keep_embedded(headers: list[Header], existing: _Beside, document: Document) -> None:
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
        with write_errors(header.name):
            _keep(f"{existing.path}.embedded-{suffix[:8]}.bak", data, os.stat(header.name), existing)


def _keep(path: str, data: bytes, weights: os.stat_result, existing: _Beside) -> None:
    """Keep what was embedded in weights for those who can read these; for the owner alone where it has secrets."""
    family = existing.family
    secrets = secrets_of_file(data, path, family)
    kept = keep_copy(path, data, weights, PRIVATE if secrets != [] else 0o777)
    existing.keeps(kept, secrets)
    sync_folder(os.path.dirname(kept) or os.curdir)


def _header(found: Checkpoint, family: Family) -> Header:
    if not found.weights:
        raise InputError(Problem("not_found", "holds no weights; there is nothing to bind", place=found.folder))
    if is_its_own(family, found.weights[0]):
        better = f"; what writes a document that names it: {by}" if (by := binder(family, found.weights[0])) else ""
        message = f"is no safetensors, and no digest of a configuration can be written into it{better}"
        raise InputError(Problem("unwritable", message, place=found.weights[0]))
    if is_url(found.weights[0]):
        message = "is a URL, where nothing is written; bind the files where they are"
        raise InputError(Problem("unwritable", message, place=found.folder))
    header = read_as(family, found.weights[0])
    if header.truncated is not None:
        raise InputError(header.truncated)
    return header


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
