"""Whether weights and a saved configuration belong together: each holds a digest of the other.

The weights carry a mark; the document's provenance holds, under `weights`, a record of each file with tensors: its
name and the digest of its header. While weights are bound anew, which takes two files, the record also names the marks
that are being replaced: a program that dies in between leaves weights and document unbound, never contradicted, and
binding again repairs it. A file may be renamed: a record of a file of another name contradicts nothing, and is worth a
warning where none of the files that a document records is there. Of weights into which no mark can be written, the
record names the save, and nothing more binds them.
"""

from __future__ import annotations

import os

from tttcfg.documents.document import Document
from tttcfg.documents.effective import Binding
from tttcfg.documents.save import SAVE, WEIGHTS
from tttcfg.errors import InputError, Problem, quote
from tttcfg.family.extension import KEY as EXTENSIONS
from tttcfg.family.family import Family
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import plain
from tttcfg.schema.paths import Tree
from tttcfg.urls import is_url
from tttcfg.verification.tags import EMBEDDED, KEY, digest_as, embedded_document, fingerprint, mark_of

REPLACES = "replaces"
"""The key of a record that holds the fingerprints of marks which are being replaced."""
_GRAVITY = ("bound", "unbound", "contradicted")
_SHOWN = 3


def binding_of(header: Header, document: Document | None, family: Family) -> Binding:
    """Return whether `header` is of the weights that `document` was saved with."""
    if document is None:
        return _without_document(header)
    if header.save:
        return _of_save(header, document)
    others, file = _records_of_others(header, document), os.path.basename(header.name)
    if any(one.get("file", file) == file for one in others):
        message = "was saved with weights of other names, shapes or dtypes; it belongs to another checkpoint"
        return Binding("contradicted", f"{document.path} {message}")
    found = marked(header, document, family)
    if not others or found.state != "unbound":
        return found
    message = f"was saved with other weights ({', '.join(sorted(quote(one['file']) for one in others))})"
    message += ", and none of those is there" if strayed(header, document) else ""
    return Binding("unbound", f"{found.reason}, and {document.path} {message}")


def _of_save(header: Header, document: Document) -> Binding:
    """Return whether a document names this save of weights, into which no mark can be written."""
    file = os.path.basename(header.name)
    saves = [one[SAVE] for one in records_of(document) if one.get("file") == file and SAVE in one]
    if header.save in saves:
        return Binding("bound", f"{document.path} carries the digest of {header.name}")
    if saves:
        message = f"was saved with another {file} than {header.name}; it belongs to another checkpoint"
        return Binding("contradicted", f"{document.path} {message}")
    return Binding("unbound", f"{document.path} does not say which {file} it belongs to")


def _records_of_others(header: Header, document: Document) -> list[Tree]:
    """Return what a document records of weights, if none of it is of `header`."""
    records = [one for one in records_of(document) if isinstance(one.get("header"), str)]
    return [] if any(one["header"] == header.digest for one in records) else records


def strayed(header: Header, document: Document) -> bool:
    """Whether `document` was saved with weights of which none lies beside it; at a URL, nobody knows."""
    others, folder = _records_of_others(header, document), os.path.dirname(document.path)
    names = [one["file"] for one in others if isinstance(one.get("file"), str)]
    if not names or not document.path or is_url(document.path):
        return False
    return not any(os.path.lexists(os.path.join(folder, name)) for name in names)


def unread_mark(header: Header, document: Document) -> Problem | None:
    """Return what the first of the weights' marks is that nobody here can hold against `document`; None without one."""
    return next(filter(None, (_told(one, document)[1] for one in _differing(header))), None)


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
    told, unread = _told(header, document)
    if unread is not None:
        return Binding("unbound", f"{header.name} {unread.message}")
    mark = mark_of(header.metadata)
    if mark is None:
        return Binding("unbound", f"{header.name} carries no digest of a configuration")
    if told == mark["digest"]:
        disagreement = _disagreement_of_parts(header, mark, document) or _disagreement(header, mark, document, family)
    else:
        message = "was saved with another configuration (architecture or computation differ)"
        disagreement = f"{header.name} {message} than {document.path} has"
    if not disagreement:
        return Binding("bound", "")
    replaced = [one.get(REPLACES) for one in records_of(document)]
    if any(isinstance(marks, list) and fingerprint(header.metadata) in marks for marks in replaced):
        return Binding("unbound", f"binding {header.name} to {document.path} was interrupted; bind them again")
    return Binding("contradicted", disagreement)


def _told(header: Header, document: Document) -> tuple[str | None, Problem | None]:
    """Return the digest of `document` under the schema version of a file's mark, or why there is none to compare."""
    if KEY not in header.metadata:
        return None, None
    mark, head = mark_of(header.metadata), document.family.head
    if mark is None:
        return None, Problem("binding", "carries a mark that cannot be read", place=header.name)
    version = mark["schema_version"]
    if version > head:
        message = f"was bound under schema version {version}, and this tttcfg knows versions up to {head}"
        advice = "install a newer one: pip install --upgrade tttcfg"
        return None, Problem("newer", f"{message}; {advice}", place=header.name)
    why = "no tttcfg bound weights under it"
    try:
        told = digest_as(document, version)
    except InputError as error:
        told, why = None, str(error)
    message = f"was bound under schema version {version}, in which {document.path} cannot be compared"
    return told, None if told is not None else Problem("binding", f"{message}: {why}", place=header.name)


def _disagreement_of_parts(header: Header, mark: Tree, document: Document) -> str:
    """Return which extension decides otherwise than when the weights were saved; an empty text where none does.

    Nobody can tell of one that is not installed, or of which the document says nothing.
    """
    kept = mark.get(EXTENSIONS)
    for name, one in (kept if isinstance(kept, dict) else {}).items():
        part = document.parts.get(name)
        version = one.get("schema_version") if isinstance(one, dict) else None
        if part is None or type(version) is not int or not 0 <= version <= part.family.head:
            continue
        if digest_as(part, version) not in (one.get("digest"), None):
            message = f"was saved with other settings of the extension {name} (architecture or computation differ)"
            return f"{header.name} {message} than {document.path} has"
    return ""


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
        f"{field.name} ({quote(plain(field.get(embedded.training)))}, not {quote(plain(field.get(document.training)))})"
        for field in family.public_fields
        if field.get(embedded.training) != field.get(document.training)
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


def contradiction(binding: Binding, binder: str = "tttcfg.bind(path, configuration)") -> Problem:
    """Return the problem that weights and document belong to others than each other, and what to do about it.

    Args:
        binder: What binds them, as it is to be typed; empty where nothing does.
    """
    purposely = f", or bind them on purpose: {binder}" if binder else ""
    return Problem("binding", f"{binding.reason}; put back the one that belongs there{purposely}")
