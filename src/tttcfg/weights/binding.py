"""Whether weights and a saved configuration belong together: each holds a digest of the other.

The weights carry a mark; the document's provenance holds, under `weights`, a record of each file with tensors: its
name and the digest of its header. While weights are bound anew, which takes two files, the record also names the marks
that are being replaced: a program that dies in between leaves weights and document unbound, never contradicted, and
binding again repairs it. A file may be renamed: a record of a file of another name contradicts nothing.
"""

from __future__ import annotations

import os

from tttcfg.document import Document
from tttcfg.effective import Binding
from tttcfg.errors import InputError, Problem, quote
from tttcfg.family import Family
from tttcfg.fields import plain
from tttcfg.record import Tree
from tttcfg.saving import WEIGHTS
from tttcfg.weights.header import Header
from tttcfg.weights.marking import EMBEDDED, KEY, digest_as, embedded_document, fingerprint, mark_of

REPLACES = "replaces"
"""The key of a record that holds the fingerprints of marks which are being replaced."""
_GRAVITY = ("bound", "unbound", "contradicted")
_SHOWN = 3


def binding_of(header: Header, document: Document | None, family: Family) -> Binding:
    """Return whether `header` is of the weights that `document` was saved with."""
    if document is None:
        return _without_document(header)
    records = [one for one in records_of(document) if isinstance(one.get("header"), str)]
    known = not records or any(one["header"] == header.digest for one in records)
    file = os.path.basename(header.name)
    if not known and any(one.get("file", file) == file for one in records):
        message = "was saved with weights of other names, shapes or dtypes; it belongs to another checkpoint"
        return Binding("contradicted", f"{document.path} {message}")
    found = marked(header, document, family)
    if known or found.state != "unbound":
        return found
    others = ", ".join(sorted(quote(one["file"]) for one in records))
    return Binding("unbound", f"{found.reason}, and {document.path} was saved with other weights ({others})")


def marked(header: Header, document: Document, family: Family) -> Binding:
    """Return whether the weights carry the mark of `document`; of several files, the gravest verdict."""
    found = max((_of_file(one, document, family) for one in _differing(header)), key=lambda one: _GRAVITY.index(one[0]))
    return found if found.state != "bound" else Binding("bound", f"{header.name} carries the digest of {document.path}")


def _differing(header: Header) -> list[Header]:
    """Return the files that hold the tensors, the first of each mark."""
    first: dict[str | None, Header] = {}
    for one in header.parts or (header,):
        first.setdefault(one.metadata.get(KEY), one)
    return list(first.values())


def _without_document(header: Header) -> Binding:
    first: dict[int, tuple[str, str]] = {}
    for one in _differing(header):
        mark = mark_of(one.metadata)
        if mark is not None:
            name, digest = first.setdefault(mark["schema_version"], (one.name, mark["digest"]))
            if digest != mark["digest"]:
                return Binding("contradicted", f"{name} and {one.name} were saved with different configurations")
    return Binding("unbound", "its training_config.json was not found" if first else "no saved configuration was found")


def _of_file(header: Header, document: Document, family: Family) -> Binding:
    mark = mark_of(header.metadata)
    if mark is None:
        said = "a mark that cannot be read" if KEY in header.metadata else "no digest of a configuration"
        return Binding("unbound", f"{header.name} carries {said}")
    version = mark["schema_version"]
    if version > family.head:
        message = f"was bound under schema version {version}, and this tttcfg knows versions up to {family.head}"
        return Binding("unbound", f"{header.name} {message}; install a newer one: pip install --upgrade tttcfg")
    told, why = _told(document, version)
    if told is None:
        message = f"was bound under schema version {version}, in which {document.path} cannot be compared"
        return Binding("unbound", f"{header.name} {message}: {why}")
    if told == mark["digest"]:
        disagreement = _disagreement(header, mark, document, family)
    else:
        message = "was saved with another configuration (architecture or computation differ)"
        disagreement = f"{header.name} {message} than {document.path} has"
    if not disagreement:
        return Binding("bound", "")
    replaced = [one.get(REPLACES) for one in records_of(document)]
    if any(isinstance(marks, list) and fingerprint(header.metadata) in marks for marks in replaced):
        return Binding("unbound", f"binding {header.name} to {document.path} was interrupted; bind them again")
    return Binding("contradicted", disagreement)


def _told(document: Document, version: int) -> tuple[str | None, str]:
    """Return the digest of `document` under a schema version, or why there is none."""
    try:
        return digest_as(document, version), "no tttcfg bound weights under it"
    except InputError as error:
        return None, str(error)


def _disagreement(header: Header, mark: Tree, document: Document, family: Family) -> str:
    """Return how an embedded configuration departs from the saved one; an empty text where it does not."""
    if EMBEDDED not in mark:
        return ""
    try:
        embedded = embedded_document(header, family)
    except InputError as error:
        return f"the configuration that {header.name} carries cannot be read: {error}"
    if embedded is None:
        return f"the configuration that {header.name} carries is no mapping of settings"
    differing = [
        f"{leaf.name} ({quote(plain(leaf.get(embedded.training)))}, not {quote(plain(leaf.get(document.training)))})"
        for leaf in family.public_leaves
        if leaf.get(embedded.training) != leaf.get(document.training)
    ]
    if not differing:
        return ""
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    shown = ", ".join(differing[:_SHOWN])
    return f"the configuration that {header.name} carries departs from {document.path} in {shown}{more}"


def records_of(document: Document) -> list[Tree]:
    """Return what a document records of weights, a record for each file; one alone needs no list."""
    kept = document.provenance.get(WEIGHTS)
    return [one for one in (kept if isinstance(kept, list) else [kept]) if isinstance(one, dict)]


def contradiction(binding: Binding) -> Problem:
    advice = "put back the one that belongs there, or bind them on purpose: tttcfg.bind(path, configuration)"
    return Problem("binding", f"{binding.reason}; {advice}")
