"""What migrating one document would change, as structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from pydantic_core import to_json

from tttcfg.documents.document import Document
from tttcfg.documents.save import MISSING_FIELDS
from tttcfg.family.extension import PassedThrough, path_of
from tttcfg.migration.record import Record
from tttcfg.schema.fields import plain
from tttcfg.schema.fragments import RESERVED
from tttcfg.schema.paths import Tree, get_path, is_hollow, split, value_paths
from tttcfg.secrets import WITHHELD, looks_secret, redacted

Kind = Literal["added", "renamed", "converted", "removed", "doubted", "lost"]


class DocumentChange(NamedTuple):
    """One change of one field: `value` is the new one where added, the old one where removed, converted or lost.

    `new` is the new name of what is renamed, the new value of what is converted.
    """

    kind: Kind
    key: str
    value: Any
    reason: str
    new: Any = None


def upgrading(document: Document) -> list[DocumentChange]:
    """Return what bringing a document to the current version changes."""
    parts = [
        change._replace(key=f"{path_of(name)}{change.key}")
        for name, part in document.parts.items()
        for change in upgrading(part)
    ]
    if document.migration is None:
        return parts
    absent = [DocumentChange("added", key, value, MISSING_FIELDS) for key, value in document.missing.items()]
    return [*_recorded(document.migration, document), *absent, *parts]


def losing(newest: Tree, losses: Mapping[str, str]) -> list[DocumentChange]:
    """Return what is lost as changes.

    Args:
        newest: The document as the head has it, which losses are named after.
        losses: Why each value is lost that is, by its dotted path.
    """
    return [DocumentChange("lost", key, _was(newest, key), reason) for key, reason in losses.items()]


def between(old: Tree, new: Tree, to: int, lost: Sequence[DocumentChange]) -> list[DocumentChange]:
    """Return what bringing a document to an older version changes: those keep no record of missing fields."""
    listed = {change.key for change in lost}
    return [*lost, *(change for change in _between(old, new, to) if change.kind == "added" or change.key not in listed)]


def changes_digest(changes: Sequence[DocumentChange]) -> bytes:
    """Return a short text that is equal for equal changes only."""
    return blake2b(to_json(changes), digest_size=16).digest()


def as_json(change: DocumentChange) -> dict[str, Any]:
    """Return a change as `--output json` has it; `new` is there only for what is renamed or converted."""
    found = change._asdict()
    if change.kind not in ("renamed", "converted"):
        del found["new"]
    return found


def _recorded(record: Record, document: Document) -> Iterator[DocumentChange]:
    for key, entry in record.filled.items():
        yield DocumentChange("added", key, entry["value"], entry["reason"])
    for key, entry in record.renamed.items():
        yield DocumentChange("renamed", key, None, entry["reason"], entry["value"])
    for key, entry in record.converted.items():
        yield DocumentChange("converted", key, entry["value"], entry["reason"], _now(document, key))
    for key, entry in record.removed.items():
        if not is_hollow(entry["value"]):
            yield DocumentChange("removed", key, entry["value"], entry["reason"])
    for key, entry in record.doubted.items():
        yield DocumentChange("doubted", key, entry["value"], entry["reason"])


def _now(document: Document, key: str) -> Any:
    """Return the value that a field or section has after upgrading, secrets withheld."""
    value: Any = document.training
    for name in split(key):
        value = getattr(value, name, None)
    if isinstance(value, BaseModel):
        return redacted(value.model_dump(mode="json"))
    return _shown(key, plain(value))


def _was(newest: Tree, key: str) -> Any:
    """Return the value that is lost, or what the record has of it; secrets withheld, and sections passed through."""
    removed = Record.from_saved(newest["provenance"]).removed
    if isinstance(get_path(newest, split(key), None), PassedThrough):  # any of its settings may be secret
        return WITHHELD
    return _shown(key, removed[key]["value"] if key in removed else get_path(newest, split(key)))


def _shown(key: str, value: Any) -> Any:
    """Return a value without what is secret: the whole of it, where its key looks like a secret's."""
    return WITHHELD if looks_secret(key) and value is not None else redacted(value)


def _between(old: Tree, new: Tree, to: int) -> Iterator[DocumentChange]:
    before, after = dict(_flat(old)), dict(_flat(new))
    for key, value in before.items():
        if key not in after:
            yield DocumentChange("removed", key, value, f"version {to} does not have them")
        elif value != after[key]:
            yield DocumentChange("converted", key, value, f"version {to} writes them otherwise", after[key])
    for key, value in after.items():
        if key not in before:
            yield DocumentChange("added", key, value, f"version {to} has them")


def _flat(tree: Tree) -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted path, secrets withheld."""
    for path in value_paths(tree):
        if path[0] not in RESERVED:
            yield ".".join(path), _shown(path[-1], get_path(tree, path))
