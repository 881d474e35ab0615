"""Whether weights and a saved configuration belong together: each holds a digest of the other.

The weights have a binding tag; the document's provenance has, under `weights`, a record of each file with tensors: its
name and the digest of its header. While weights are bound again, which takes two files, the record also names the tags
that are being replaced: a program that dies in between leaves weights and document unbound, never contradicted, and
binding again completes it. A file may be renamed: a record of a file of another name contradicts nothing, and is a
warning where none of the files that a document records is there. Of weights into which no tag can be written, the
record names the save, and nothing more binds them.
"""

from __future__ import annotations

import os

from tttcfg.documents.document import Document
from tttcfg.documents.effective import Binding
from tttcfg.documents.save import SAVE, WEIGHTS
from tttcfg.errors import InputError, Problem, quote, some
from tttcfg.family.extension import EXTENSIONS
from tttcfg.family.family import Family
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import plain, present
from tttcfg.schema.paths import Tree
from tttcfg.urls import is_url
from tttcfg.verification.tags import EMBEDDED, FAMILY, TAG_KEY, digest_as, embedded_document, tag_digest, tag_of

REPLACES = "replaces"
"""The key of a record that holds the digests of tags which are being replaced."""
_GRAVITY = ("bound", "unbound", "contradicted")
_SHOWN = 3


def binding_of(header: Header, document: Document | None, family: Family) -> Binding:
    """Return whether `header` is of the weights that `document` was saved with."""
    if document is None:
        return _without_document(header)
    if document.written is not None:
        return binding_of(header, document.written, document.written.family)
    if header.save:
        return _of_save(header, document)
    others, file = _records_of_others(header, document), os.path.basename(header.name)
    if any(one.get("file", file) == file for one in others):
        message = "was saved with weights of other names, shapes or dtypes; it belongs to another checkpoint"
        return Binding("contradicted", f"{document.path} {message}")
    found = binding_by_tag(header, document, family)
    if not others or found.state != "unbound":
        return found
    message = f"was saved with other weights ({', '.join(sorted(quote(one['file']) for one in others))})"
    message += ", and none of those is there" if is_mismatched(header, document) else ""
    return Binding("unbound", f"{found.reason}, and {document.path} {message}")


def _of_save(header: Header, document: Document) -> Binding:
    """Return whether a document names this save of weights, into which no tag can be written."""
    file = os.path.basename(header.name)
    saves = [one[SAVE] for one in records_of(document) if one.get("file") == file and SAVE in one]
    if header.save in saves:
        return Binding("bound", f"{document.path} carries the digest of {header.name}")
    if saves:
        message = f"was saved with another {file} than {header.name}; it belongs to another checkpoint"
        return Binding("contradicted", f"{document.path} {message}")
    return Binding("unbound", f"{document.path} does not name the {file} that it belongs to")


def _records_of_others(header: Header, document: Document) -> list[Tree]:
    """Return what a document records of weights, if none of it is of `header`."""
    records = [one for one in records_of(document) if isinstance(one.get("header"), str)]
    return [] if any(one["header"] == header.digest for one in records) else records


def is_mismatched(header: Header, document: Document) -> bool:
    """Whether `document` was saved with weights of which none lies beside it; at a URL, that is unknown."""
    others, folder = _records_of_others(header, document), os.path.dirname(document.path)
    names = [one["file"] for one in others if isinstance(one.get("file"), str)]
    if not names or not document.path or is_url(document.path):
        return False
    return not any(os.path.lexists(os.path.join(folder, name)) for name in names)


def unread_tag(header: Header, document: Document) -> Problem | None:
    """Return the problem of the first tag that cannot be compared with `document`; None where all can."""
    return next(filter(None, (_expected_digest(one, document)[1] for one in _differing(header))), None)


def binding_by_tag(header: Header, document: Document, family: Family) -> Binding:
    """Return whether the weights have the tag of `document`; of several files, the gravest result."""
    found = max((_of_file(one, document, family) for one in _differing(header)), key=lambda one: _GRAVITY.index(one[0]))
    return found if found.state != "bound" else Binding("bound", f"{header.name} carries the digest of {document.path}")


def _differing(header: Header) -> list[Header]:
    """Return the files that hold the tensors, the first of each tag."""
    first: dict[str | None, Header] = {}
    for one in header.parts or (header,):
        first.setdefault(one.metadata.get(TAG_KEY), one)
    return list(first.values())


def _without_document(header: Header) -> Binding:
    first: dict[int, tuple[str, str]] = {}
    for one in _differing(header):
        tag = tag_of(one.metadata)
        if tag is not None:
            name, digest = first.setdefault(tag["schema_version"], (one.name, tag["digest"]))
            if digest != tag["digest"]:
                return Binding("contradicted", f"{name} and {one.name} were saved with different configurations")
    return Binding("unbound", "its training_config.json was not found" if first else "no saved configuration was found")


def _of_file(header: Header, document: Document, family: Family) -> Binding:
    expected, unread = _expected_digest(header, document)
    if unread is not None:
        return Binding("unbound", f"{header.name} {unread.message}")
    tag = tag_of(header.metadata)
    if tag is None:
        return Binding("unbound", f"{header.name} carries no digest of a configuration")
    named = tag.get(FAMILY, document.family.name)
    if named != document.family.name:
        saved = f"{header.name} was saved with a configuration of the family {quote(named)}"
        disagreement = f"{saved}, and {document.path} is one of {document.family.name}"
    elif expected == tag["digest"]:
        disagreement = _disagreement_of_parts(header, tag, document) or _disagreement(header, tag, document, family)
    else:
        message = "was saved with another configuration (architecture or computation differ)"
        disagreement = f"{header.name} {message} than {document.path} has"
    if not disagreement:
        return Binding("bound", "")
    replaced = [one.get(REPLACES) for one in records_of(document)]
    if any(isinstance(tags, list) and tag_digest(header.metadata) in tags for tags in replaced):
        return Binding("unbound", f"binding {header.name} to {document.path} was interrupted; bind them again")
    return Binding("contradicted", disagreement)


def _expected_digest(header: Header, document: Document) -> tuple[str | None, Problem | None]:
    """Return the digest of `document` under the schema version of a file's tag, or why there is none to compare."""
    if TAG_KEY not in header.metadata:
        return None, None
    tag, head = tag_of(header.metadata), document.family.head
    if tag is None:
        return None, Problem("binding", "has a binding tag that cannot be read", place=header.name)
    if tag.get(FAMILY, document.family.name) != document.family.name:
        return None, None  # which is no matter of versions
    version = tag["schema_version"]
    if version > head:
        message = f"was bound under schema version {version}, and this tttcfg knows versions up to {head}"
        advice = "install a newer one: pip install --upgrade tttcfg"
        return None, Problem("newer", f"{message}; {advice}", place=header.name)
    why = "no tttcfg bound weights under it"
    try:
        expected = digest_as(document, version)
    except InputError as error:
        expected, why = None, str(error)
    message = f"was bound under schema version {version}, in which {document.path} cannot be compared"
    return expected, None if expected is not None else Problem("binding", f"{message}: {why}", place=header.name)


def _disagreement_of_parts(header: Header, tag: Tree, document: Document) -> str:
    """Return which extension differs from when the weights were saved; an empty text where none does.

    It is unknown of one that is not installed, or that the document does not have.
    """
    kept = tag.get(EXTENSIONS)
    for name, one in (kept if isinstance(kept, dict) else {}).items():
        part = document.parts.get(name)
        version = one.get("schema_version") if isinstance(one, dict) else None
        if part is None or type(version) is not int or not 0 <= version <= part.family.head:
            continue
        if digest_as(part, version) not in (one.get("digest"), None):
            message = f"was saved with other settings of the extension {name} (architecture or computation differ)"
            return f"{header.name} {message} than {document.path} has"
    return ""


def _disagreement(header: Header, tag: Tree, document: Document, family: Family) -> str:
    """Return how an embedded configuration departs from the saved one; an empty text where it does not."""
    if EMBEDDED not in tag:
        return ""
    try:
        embedded = embedded_document(header, family)
    except InputError as error:
        return f"the configuration embedded in {header.name} cannot be read: {error}"
    if embedded is None:
        return f"the configuration embedded in {header.name} is no mapping of settings"
    differing = [
        f"{field.name} ({quote(plain(field.get(embedded.training)))}, not {quote(plain(field.get(document.training)))})"
        for field in present(present(family.public_fields, embedded.training), document.training)
        if field.get(embedded.training) != field.get(document.training)
    ]
    departs = f"the configuration embedded in {header.name} departs from {document.path} in"
    return f"{departs} {some(differing, _SHOWN)}" if differing else ""


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
