"""Binding weights and configuration that exist: the mark into the weights, the header's digest into the document."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, NamedTuple

from tttcfg.checkpoint import Checkpoint, find_checkpoint, read_model_config
from tttcfg.document import DOCUMENT_CAP, DOCUMENT_NAME, Document, load_document, parse_document
from tttcfg.effective import Binding, Origin, Weights
from tttcfg.errors import ContradictionError, InputError, Problem
from tttcfg.family import Family
from tttcfg.fields import plain
from tttcfg.saving import document_bytes
from tttcfg.sources.json import read_json
from tttcfg.sources.text import decode
from tttcfg.storage import read_bytes, write_atomically
from tttcfg.verification import verification, weights_of
from tttcfg.weights.binding import PROVENANCE_KEY, REPLACES, binding_of
from tttcfg.weights.header import HEADER_CAP, Header, read_header
from tttcfg.weights.marking import EMBEDDED, KEY, embedded_document, fingerprint, mark_for, mark_of
from tttcfg.weights.rewriting import rewriting
from tttcfg.weights.shards import is_index, is_remote


class _Standing(NamedTuple):
    """The document that lies beside the weights, if any: where, its bytes, and what they mean, if anything."""

    path: str
    raw: bytes | None
    document: Document | None

    def backup(self, document: Document) -> str | None:
        """Return where its bytes are kept if `document` takes its place; None where it says the same."""
        if self.raw is None:
            return None
        if self.document is None or self.document.training != document.training:
            return f"{self.path}.bak"
        version = self.document.version
        return None if version == document.family.head else f"{self.path}.v{version}.bak"


def bind(
    path: str | os.PathLike[str], document: Document | None, family: Family, *, embed: bool | None = None
) -> Binding:
    """Bind a checkpoint's weights and `document`, or the document that lies there; `tttcfg.bind` tells the rest.

    The document is written first, naming the mark that it replaces, then the weights, then the document without that:
    whatever stands there in between is not a contradiction, and binding again goes on from there.
    """
    found = find_checkpoint(path)
    weights = _weights(found, family)
    header = weights.header
    standing = _standing(found, family, demanded=document is None)
    document = document or standing.document or embedded_document(header, family)
    if document is None:
        message = f"there is no {DOCUMENT_NAME}; give the configuration that the weights belong to"
        raise InputError(Problem("missing", message, place=found.folder))
    _refuse_contradictions(found, weights, document)
    headers = [read_header(name) for name in _files(header.name)]
    if embed is None:
        embed = any(EMBEDDED in (mark_of(one.metadata) or {}) for one in headers)
    mark = mark_for(document, embed=embed)
    recorded = {"file": os.path.basename(header.name), "header": header.digest}
    replaced = fingerprint(header.metadata)
    replacing = {} if replaced in (None, fingerprint(mark)) else {REPLACES: replaced}
    writer = _Writer(standing, document)
    unmarked = [one for one in headers if one.metadata != _metadata(one, mark)]
    for one in unmarked:
        with rewriting(one.name, _metadata(one, mark)) as put:
            if one is unmarked[0]:
                writer.write({**recorded, **replacing})
            put()
    writer.write(recorded)
    return binding_of(weights_of((header.name,), family).header, load_document(standing.path, family), family)


def _weights(found: Checkpoint, family: Family) -> Weights:
    if not found.weights:
        raise InputError(Problem("not_found", "holds no weights; there is nothing to bind", place=found.folder))
    if is_remote(found.weights[0]):
        message = "is a URL, where nothing is written; bind the files where they are"
        raise InputError(Problem("unwritable", message, place=found.folder))
    weights = weights_of(found.weights, family)
    if weights.header.truncated is not None:
        raise InputError(weights.header.truncated)
    return weights


def _standing(found: Checkpoint, family: Family, demanded: bool) -> _Standing:
    """Read the document that lies there; one that means nothing is an error only where it is what is to be bound."""
    if found.document is None:
        return _Standing(os.path.join(found.folder, DOCUMENT_NAME), None, None)
    raw, document = read_bytes(found.document, DOCUMENT_CAP), None
    try:
        document = parse_document(raw, family, found.document)
    except InputError:
        if demanded:
            raise
    return _Standing(found.document, raw, document)


def _files(name: str) -> list[str]:
    """Return the files that hold the tensors, the largest first: it is the one that a full disk would not take."""
    if not is_index(name):
        return [name]
    shards = read_json(decode(read_bytes(name, HEADER_CAP), name), name).values["weight_map"].values()
    paths = {os.path.join(os.path.dirname(name), shard) for shard in shards}
    return sorted(paths, key=lambda path: (-os.stat(path).st_size, path))


def _metadata(header: Header, mark: Mapping[str, str]) -> dict[str, str]:
    """Return a file's metadata with the mark in it; everything else in it stays, its format included."""
    return {**mark, **header.metadata, KEY: mark[KEY]}


def _refuse_contradictions(found: Checkpoint, weights: Weights, document: Document) -> None:
    """Hold the configuration against tensors and model, whatever the weights were bound to before."""
    family, training = document.family, document.training
    model = read_model_config(found.model_config) if found.model_config is not None else None
    name = found.model_config or ""
    derived = family.derive(training, model, name)
    where = document.path or "the configuration that was given"
    origins = {
        leaf.name: (Origin("checkpoint", plain(leaf.get(training)), where),) for leaf in family.public_leaves
    } | {key: (Origin("derived", None, place),) for key, place in derived.origins.items()}
    checked = verification(family, weights, training, derived, (model, name), None, origins)
    problems = [problem for problem in derived.problems if problem.code == "contradiction"]
    problems += [Problem(one.code, one.message, one.key) for one in checked.findings if one.severity == "error"]
    if problems:
        raise ContradictionError(problems)


class _Writer:
    """Writes the document beside the weights, as often as its record of them changes."""

    def __init__(self, standing: _Standing, document: Document) -> None:
        self.path, self.raw, self.document = standing.path, standing.raw, document
        self.backup = standing.backup(document)
        self.moment = datetime.now(timezone.utc)

    def write(self, recorded: Mapping[str, Any]) -> None:
        provenance = {**self.document.provenance, PROVENANCE_KEY: dict(recorded)}
        data = document_bytes(replace(self.document, provenance=provenance), self.moment)
        if data != self.raw:
            write_atomically(self.path, data, expected=self.raw, backup=self.backup)
            self.raw, self.backup = data, None
