"""Reading a saved document of any version."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_core import from_json

from tttcfg.errors import ForeignDocumentError, InputError, NewerVersionError, Place, Problem, quote
from tttcfg.family import Family
from tttcfg.fields import Path
from tttcfg.migration import copied
from tttcfg.record import Record, Tree
from tttcfg.sources.json import read_json
from tttcfg.sources.text import Tree as SourceTree
from tttcfg.sources.text import decode
from tttcfg.storage import read_bytes
from tttcfg.validation import validate

DOCUMENT_NAME = "training_config.json"
RESERVED = ("$schema", "schema_version", "provenance")


@dataclass(frozen=True)
class Document:
    """A configuration as a checkpoint carries it.

    Attributes:
        source: What was validated: the family's model, or its current document.
        family: Whose document it is.
        version: The version the document was found in.
        decided_by: For a document without a number, the keys that decided its version.
        migration: What upgrading did to it now; None where it was current.
        lacking: Fields that it lacked although its version had them, with the values taken instead.
        provenance: The reserved key as found; empty for documents without one.
        path: The file it was read from, if any.
    """

    source: Any
    family: Family
    version: int
    decided_by: tuple[str, ...] = ()
    migration: Record | None = None
    lacking: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""

    @cached_property
    def training(self) -> Any:
        """The configuration, upgraded to the current version and validated."""
        if isinstance(self.source, _current(self.family).model):
            return self.family.model.model_validate(
                {name: getattr(self.source, name) for name in self.family.model.model_fields}
            )
        return self.source

    @cached_property
    def record(self) -> Record:
        """What upgrading did to it, now or when it was last saved, by dotted path."""
        return Record.from_saved(self.provenance) if self.migration is None else self.migration

    @cached_property
    def assumed(self) -> Mapping[str, Any]:
        """Fields that it lacks, or lacked when it was migrated, with the values taken instead."""
        kept = self.provenance.get("assumed")
        values = kept.get("values") if isinstance(kept, dict) else None
        known = (
            {key: value for key, value in values.items() if key in self.family.leaves}
            if isinstance(values, dict)
            else {}
        )
        return known | dict(self.lacking)


class Upgraded(NamedTuple):
    """A document's fields as the head has them, before validation."""

    values: Tree
    version: int
    decided_by: tuple[str, ...]
    record: Record
    assumed: dict[str, Any]


class _Current(NamedTuple):
    """What reading a current document fast needs to know of its family."""

    model: type[BaseModel]
    fields_sets: attrgetter[Any]
    texts: attrgetter[Any]
    complete: int


def load_document(path: str | os.PathLike[str], family: Family) -> Document:
    """Read, upgrade and validate the document at `path`.

    Raises:
        NewerVersionError: A later tttcfg wrote it.
        ForeignDocumentError: Another program did.
        InputError: It cannot be read, or its values are refused.
    """
    name = os.fspath(path)
    return parse_document(read_bytes(name), family, name)


def parse_document(data: bytes, family: Family, path: str = "document") -> Document:
    """Read, upgrade and validate a document from its bytes."""
    document = parse_current(data, family, path)
    if document is not None:
        return document
    values = read_unplaced(data)
    if values is not None:
        with contextlib.suppress(InputError):  # only a problem needs places, and reading them takes time
            return document_of(values, family, path)
    tree = read_json(decode(data, path), path)
    return document_of(tree.values, family, path, tree)


def parse_current(data: bytes, family: Family, path: str = "document") -> Document | None:
    """Read a complete document of the current version straight from its bytes; None is no verdict."""
    current = _current(family)
    try:
        saved: Any = current.model.model_validate_json(data)
    except ValidationError:
        return None
    if saved.schema_version != family.head or saved.schema_ != family.schema_id or b"\\" in data:
        return None
    fields = len(saved.model_fields_set) + sum(map(len, current.fields_sets(saved)))
    texts = sum([text.count(":") for text in current.texts(saved) if text])
    if fields - ("provenance" in saved.model_fields_set) != current.complete:
        return None
    if data.count(b":") != fields + texts + saved.schema_.count(":") + _colons(saved.provenance):
        return None
    return Document(saved, family, family.head, provenance=saved.provenance, path=path)


def read_unplaced(data: bytes) -> Tree | None:
    """Read a JSON object fast, without places; None is no verdict.

    The parser takes the last of two equal keys without a word, so colons are counted: there must be as
    many as the keys and texts that came out of it hold.
    """
    if b"\\" in data:
        return None
    try:
        values = from_json(data, allow_inf_nan=False)
    except ValueError:
        return None
    return values if isinstance(values, dict) and _colons(values) == data.count(b":") else None


def _colons(value: Any) -> int:
    """Return how many colons the JSON text of `value` has, or more where it holds what JSON cannot."""
    if isinstance(value, dict):
        return sum([1 + key.count(":") + _colons(item) for key, item in value.items()])
    if isinstance(value, str):
        return value.count(":")
    if isinstance(value, list):
        return sum([_colons(item) for item in value])
    return 1 << 30 if isinstance(value, float) and not math.isfinite(value) else 0


@lru_cache(maxsize=8)
def _current(family: Family) -> _Current:
    reserved: dict[str, Any] = {
        "schema_": (str, Field(alias="$schema")),
        "schema_version": (int, ...),
        "provenance": (dict[str, Any], Field(default_factory=dict)),
    }
    texts = [leaf.name for leaf in family.leaves.values() if leaf.is_text and leaf.info.exclude is None]
    written = sum(leaf.info.exclude is None for leaf in family.leaves.values())
    return _Current(
        create_model("Saved", __base__=family.model, **reserved),
        attrgetter(*[f"{name}.model_fields_set" for name in sorted(family.sections)]),
        attrgetter(*texts),
        written + len(family.sections) + len(reserved) - 1,
    )


def document_of(
    values: Mapping[str, Any], family: Family, path: str = "document", tree: SourceTree | None = None
) -> Document:
    """Upgrade and validate a document given as plain values; `tree` knows their places."""
    tree = tree or SourceTree(dict(values), {}, path)
    upgraded = upgrade(values, family, path, tree)
    old_names = {str(entry["value"]): old for old, entry in upgraded.record.renamed.items()}

    def where(path: Path) -> Place:
        return tree.place(tuple(old_names.get(".".join(path), ".".join(path)).split(".")))

    training = validate(family.model, upgraded.values, where)
    return Document(
        training,
        family,
        upgraded.version,
        upgraded.decided_by,
        None if upgraded.version == family.head else upgraded.record,
        upgraded.assumed,
        values.get("provenance") or {},
        path,
    )


def upgrade(values: Mapping[str, Any], family: Family, path: str, tree: SourceTree | None = None) -> Upgraded:
    """Bring a complete document to the head; a field that it lacks is taken from its version's defaults."""
    tree = tree or SourceTree(dict(values), {}, path)
    version, decided_by = find_version(values, family, path, tree)
    body = {key: value for key, value in values.items() if key not in RESERVED}
    _drop_null_sections(body, family.chain.introduced)
    record = Record.from_saved(values.get("provenance") or {})
    sparse = family.chain.up(body, version, record)
    full = copied(family.chain.assumed(version))
    assumed: dict[str, Any] = {}
    _overlay(full, sparse, family.leaves, (), assumed)
    return Upgraded(full, version, decided_by, record, assumed)


def _drop_null_sections(body: Tree, index: Tree) -> None:
    """Leave out sections that are null: the trainer read them as absent."""
    for key, entry in index.items():
        if isinstance(entry, dict) and key in body:
            if body[key] is None:
                del body[key]
            elif isinstance(body[key], dict):
                body[key] = dict(body[key])
                _drop_null_sections(body[key], entry)


def _overlay(full: Tree, sparse: Tree, known: Mapping[str, Any], path: Path, assumed: dict[str, Any]) -> None:
    """Lay what the document says over the defaults of its version, noting what was left to them."""
    for key, value in sparse.items():
        if not (isinstance(value, dict) and isinstance(full.get(key), dict)):
            full[key] = value
    for key, value in full.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(sparse.get(key, {}), dict):
            _overlay(value, sparse.get(key, {}), known, here, assumed)
        elif key not in sparse and ".".join(here) in known:
            assumed[".".join(here)] = value


def find_version(values: Mapping[str, Any], family: Family, path: str, tree: SourceTree) -> tuple[int, tuple[str, ...]]:
    """Return the version of a document, and the keys that decided it where it carries no number."""
    if "provenance" in values and not isinstance(values["provenance"], dict):
        raise InputError(Problem("rejected", "must be a mapping", "provenance", tree.place(("provenance",))))
    if "schema_version" in values:
        return _stated_version(values, family, tree), ()
    for stranger in family.strangers:
        if stranger.matches(values):
            raise ForeignDocumentError(Problem("foreign", f"is {stranger.what}; {stranger.advice}", place=Place(path)))
    version, decided_by, unknown = family.chain.identify(dict(values))
    if version < 0:
        held = ", ".join(quote(key) for key in unknown[:5]) or "nothing"
        message = (
            f"has no schema_version and no setting of any version (it holds {held}): no configuration of this trainer"
        )
        raise ForeignDocumentError(Problem("foreign", message, place=Place(path)))
    if version == family.head:
        newest = ", ".join(decided_by[:3])
        message = (
            f"is missing, and {newest} came with version {version}, which carries it; add schema_version: {version}"
        )
        raise InputError(Problem("version", message, "schema_version", Place(path, 1, 1)))
    return version, decided_by


def _stated_version(values: Mapping[str, Any], family: Family, tree: SourceTree) -> int:
    version = values["schema_version"]
    place = tree.place(("schema_version",))
    if isinstance(version, bool) or not isinstance(version, int):
        message = f"{quote(version)} is not a version; write a whole number without quotes, such as {family.head}"
        raise InputError(Problem("version", message, "schema_version", place))
    if version < 0:
        raise InputError(Problem("version", f"{version} is not a version; the first is 0", "schema_version", place))
    if version > family.head:
        provenance = values.get("provenance")
        writer = provenance.get("written_by") if isinstance(provenance, dict) else None
        by = f"written by {quote(writer)}" if isinstance(writer, str) else "it does not say what wrote it"
        message = (
            f"is {version}, and this tttcfg reads versions up to {family.head} ({by}); "
            "install a newer one: pip install --upgrade tttcfg"
        )
        raise NewerVersionError(Problem("newer", message, "schema_version", place))
    return version
