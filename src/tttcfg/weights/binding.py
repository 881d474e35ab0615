"""Whether weights and a saved configuration belong together: each holds a digest of the other.

The weights carry a mark; the document's provenance holds, under `weights`, the digest of the weights' header. While
weights are bound anew, which takes two files, the document also names the mark that is being replaced: a program that
dies in between leaves weights and document unbound, never contradicted, and binding again repairs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tttcfg.document import Document
from tttcfg.effective import Binding
from tttcfg.errors import InputError, Problem, quote
from tttcfg.family import Family
from tttcfg.fields import plain
from tttcfg.record import Tree
from tttcfg.weights.header import Header
from tttcfg.weights.marking import EMBEDDED, KEY, digest_as, embedded_document, fingerprint, mark_of

PROVENANCE_KEY = "weights"
"""The key of a document's provenance that holds what binds the document."""
REPLACES = "replaces"
"""The key below it that holds the fingerprint of a mark which is being replaced."""
_SHOWN = 3


def binding_of(header: Header, document: Document | None, family: Family) -> Binding:
    """Return whether `header` is of the weights that `document` was saved with."""
    mark = mark_of(header.metadata)
    if document is None:
        reason = "there is no saved configuration" if mark is None else "its training_config.json is missing"
        return Binding("unbound", reason)
    recorded = recorded_of(document)
    if isinstance(recorded.get("header"), str) and recorded["header"] != header.digest:
        message = "was saved with weights of other names, shapes or dtypes; it belongs to another checkpoint"
        return Binding("contradicted", f"{document.path} {message}")
    if mark is None:
        said = "a mark that cannot be read" if KEY in header.metadata else "no digest of a configuration"
        return Binding("unbound", f"{header.name} carries {said}")
    return _compared(header, mark, document, family)


def _compared(header: Header, mark: Tree, document: Document, family: Family) -> Binding:
    version = mark["schema_version"]
    if version > family.head:
        message = f"was bound under schema version {version}, and this tttcfg knows versions up to {family.head}"
        return Binding("unbound", f"{header.name} {message}; install a newer one: pip install --upgrade tttcfg")
    try:
        told = digest_as(document, version)
    except InputError as error:
        told, why = None, str(error)
    else:
        why = "no tttcfg bound weights under it"
    if told is None:
        message = f"was bound under schema version {version}, in which {document.path} cannot be compared"
        return Binding("unbound", f"{header.name} {message}: {why}")
    if told == mark["digest"]:
        disagreement = _disagreement(header, mark, document, family)
    else:
        message = "was saved with another configuration (architecture or computation differ)"
        disagreement = f"{header.name} {message} than {document.path} has"
    if not disagreement:
        return Binding("bound", f"{header.name} carries the digest of {document.path}")
    if recorded_of(document).get(REPLACES) == fingerprint(header.metadata):
        return Binding("unbound", f"binding {header.name} to {document.path} was interrupted; bind them again")
    return Binding("contradicted", disagreement)


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


def recorded_of(document: Document) -> Mapping[str, Any]:
    """Return what a document records of its weights; empty where it records nothing."""
    kept = document.provenance.get(PROVENANCE_KEY)
    return kept if isinstance(kept, dict) else {}


def contradiction(binding: Binding) -> Problem:
    return Problem("binding", f"{binding.reason}; put back the one that belongs there, or bind them on purpose")
