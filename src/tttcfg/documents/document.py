"""Reading a saved document of any version: its fields as the current version has them, validated."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from operator import attrgetter
from typing import Any, Generic, NamedTuple, cast

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_core import from_json

from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.extension import (
    EXTENSIONS,
    Extension,
    PassedThrough,
    extensions_of,
    passed_through_from,
    passed_through_in,
    path_of,
    sections_in,
    within,
)
from tttcfg.family.family import Family, Model
from tttcfg.family.plugged import plugged_fields, plugged_sections
from tttcfg.family.versions import find_version, own_body
from tttcfg.files.storage import read_bytes
from tttcfg.formats.json import read_json, read_leniently
from tttcfg.formats.text import MAX_DEPTH, MAX_NODES, ParsedFile, decode
from tttcfg.migration.chain import Identification
from tttcfg.migration.record import Record, provenance_without_secrets
from tttcfg.migration.section_digests import add_missing, drop_matching
from tttcfg.schema.fields import MAX_WHOLE, UNSET, lacks, plain
from tttcfg.schema.fragments import complete_inside
from tttcfg.schema.paths import Path, Tree, get_path, pop_path, set_path, split, value_at
from tttcfg.schema.validation import accepted, validate
from tttcfg.secrets import removing
from tttcfg.urls import address

DOCUMENT_NAME = "training_config.json"
DOCUMENT_CAP = 1 << 20
"""Most bytes a saved document may have; what is kept of removed settings makes it longer than a configuration."""
_TOO_MANY = 1 << 30
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_PLAIN_SIZE = 2 * MAX_NODES
"""Most bytes in which there cannot be more values than a document may have."""


@dataclass(frozen=True)
class Document(Generic[Model]):
    """A configuration as a checkpoint has it.

    Attributes:
        source: What was validated: the family's model, or its current document.
        family: Whose document it is.
        version: The version the document was found in.
        decided_by: For a document without a number, the keys that decided its version.
        migration: What upgrading did to it now; None where it was current.
        missing: Fields that were missing from it although its version had them, with the values taken instead.
        provenance: The reserved key without secrets; empty for documents without one.
        path: The file it was read from, if any.
        plugged: The version of every section that it has of a plug-in's variant, by the field's name, where it is old.
        parts: The sections that it has of extensions which are installed, each a document of its own.
        passed_through: The sections of those that are not, as they are in the file.
        written: The document of a parent of the family that it was read from, if it was.
    """

    source: Any
    family: Family
    version: int
    decided_by: tuple[str, ...] = ()
    migration: Record | None = None
    missing: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    plugged: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, Document] = field(default_factory=dict)
    passed_through: Mapping[str, PassedThrough] = field(default_factory=dict)
    written: Document | None = None

    @property
    def is_current(self) -> bool:
        """Whether it was found in the current version, and so were the sections of its extensions and plug-ins."""
        current = self.version == self.family.head and not self.plugged
        return current and all(part.is_current for part in self.parts.values())

    def part(self, extension: Extension) -> Document:
        """Return its section of an extension; where it has none, what the trainer did before it had that."""
        if extension.name in self.parts:
            return self.parts[extension.name]
        upgraded = upgraded_to_head({}, Identification(-1, ()), extension)
        return _read(upgraded, extension, ParsedFile({}, {}, self.path))

    @cached_property
    def training(self) -> Model:
        """The configuration, upgraded to the current version and validated."""
        if isinstance(self.source, _current(self.family).model):
            fields = {name: getattr(self.source, name) for name in self.family.model.model_fields}
            return cast("Model", self.family.model.model_validate(fields))
        return cast("Model", self.source)

    @cached_property
    def record(self) -> Record:
        """What upgrading did to it, now or when it was last saved, by dotted path."""
        if self.migration is None:
            return Record.from_saved(self.provenance)
        values: Tree = cast("BaseModel", self.training).model_dump(mode="json", warnings=False)
        add_missing(self.migration, values, self.family.chain)
        return self.migration

    @property
    def origin(self) -> int:
        """The version that its fields were first written in: what is filled and removed since is in the record."""
        recorded = self.provenance.get("migrated_from")
        return recorded if isinstance(recorded, int) and 0 <= recorded < self.version else self.version

    @property
    def provenance_notes(self) -> dict[str, str]:
        """Where each value comes from that is not in the document as it is, by dotted name, and why."""
        found = dict.fromkeys(self.assumed, f"{self.path} (absent; the default of version {self.version})")
        for entries, verb in ((self.record.converted, "converted"), (self.record.filled, "filled")):
            for name, entry in entries.items():
                found[name] = f"{self.path} ({verb} when migrated: {entry['reason']})"
        found.update({name: f"{self.path} ({supporting(entry)})" for name, entry in self.recovered.items()})
        return found

    @property
    def recovered(self) -> Mapping[str, Mapping[str, Any]]:
        """What supports values that were recovered from weights and data, by dotted name; see `tttcfg.nn.recover`.

        Each has the `value`, and as far as that is recorded `separation` (standard errors), `squared_norm`,
        `standard_error`, `batches`, `data` (a digest) and `date`.
        """
        fields, record, found = self.family.fields, self.record, dict[str, Mapping[str, Any]]()
        for name in record.recovered.keys() & fields.keys():
            entry = record.recovered[name]["value"]
            if not isinstance(entry, dict) or "value" not in entry:
                continue  # an editor's
            if name in record.converted or entry["value"] == plain(fields[name].get(self.training)):
                found[name] = entry
        return found

    @cached_property
    def assumed(self) -> Mapping[str, Any]:
        """Fields that are missing from it, or were when it was migrated, with the values taken instead."""
        recorded = self.provenance.get("assumed")
        values = recorded.get("values") if isinstance(recorded, dict) else None
        if not isinstance(values, dict):
            return self.missing
        fields, training = self.family.fields, self.training
        still = {name: value for name, value in values.items() if name in fields}
        kept = {name: value for name, value in still.items() if plain(fields[name].get(training)) == value}
        within = {name: value for name, value in values.items() if name not in fields and self._has(name, value)}
        return {**kept, **within, **self.missing}

    def _has(self, name: str, value: Any) -> bool:
        """Whether a value is in one of the sections that a field holds, by its dotted name with index or key."""
        path = split(name)
        for depth in range(len(path) - 1, 0, -1):
            if (field := self.family.fields.get(".".join(path[:depth]))) is not None:
                return bool(value_at(plain(field.get(self.training)), path[depth:]) == value)
        return False


class _Current(NamedTuple):
    """What reading a current document fast needs to know of its family."""

    model: type[BaseModel]
    fields_sets: Callable[[Any], tuple[Any, ...]]
    texts: Callable[[Any], tuple[Any, ...]]
    secrets: Sequence[tuple[Callable[[Any], Any], str]]
    complete: int


def supporting(entry: Mapping[str, Any]) -> str:
    """Return what supports a recovered value, in words."""
    date, batches, apart = (entry.get(key) for key in ("date", "batches", "separation"))  # which may have been edited
    when = f" on {date}" if isinstance(date, str) and _DATE.fullmatch(date) else ""
    said = f"recovered{when} from the gradients of {batches if type(batches) is int else 'some'} batches"
    return f"{said}; others are {apart:.1f} standard errors and more away" if isinstance(apart, float) else said


def load_document(
    path: str | os.PathLike[str], family: Family[Model, Any], leaving_out: Collection[str] = ()
) -> Document[Model]:
    """Read, upgrade and validate the document at `path`, which may be a URL.

    Args:
        leaving_out: Dotted names of fields whose values are not looked at, as if the document lacked them.

    Raises:
        NewerVersionError: A later tttcfg wrote it.
        ForeignDocumentError: Another program did.
        InputError: It cannot be read, or its values are refused.
    """
    name = address(path)
    return parse_document(read_bytes(name, DOCUMENT_CAP), family, str(name), leaving_out)


def parse_document(data: bytes, family: Family, path: str = "document", leaving_out: Collection[str] = ()) -> Document:
    """Read, upgrade and validate a document from its bytes."""
    document = parse_current(data, family, path)
    if document is not None:
        return document
    values = read_unplaced(data)
    if values is not None and EXTENSIONS not in values:
        with contextlib.suppress(InputError):  # only a problem needs places, and reading them takes time
            return document_of(values, family, path, leaving_out=leaving_out)
    text = decode(data, path)
    try:
        tree = read_json(text, path)
        texts = passed_through_in(text)
    except InputError as error:
        if not leaving_out or any(problem.key not in leaving_out for problem in error.problems):
            raise
        try:
            tree, texts = ParsedFile(read_leniently(text), {}, path), None
        except ValueError:
            raise error from None
    return document_of(tree, family, path, texts, leaving_out)


def parse_current(data: bytes, family: Family, path: str = "document") -> Document | None:
    """Read a complete document of the current version straight from its bytes; None is no verdict."""
    if b'"schema_version"' not in data or b"\\" in data or len(data) > _PLAIN_SIZE:
        return None
    current = _current(family)
    try:
        saved: Any = current.model.model_validate_json(data)
    except ValidationError:
        return None
    if saved.schema_version != family.head or saved.schema_ != family.schema_id:
        return None
    fields = len(saved.model_fields_set) + sum(map(len, current.fields_sets(saved)))
    for given, name in current.secrets:
        if name in given(saved):
            return None
    texts = "".join(one for one in current.texts(saved) if isinstance(one, str)).count(":")
    if fields - ("provenance" in saved.model_fields_set) != current.complete:
        return None
    if data.count(b":") != fields + texts + saved.schema_.count(":") + _colons(saved.provenance, 1):
        return None
    return Document(saved, family, family.head, provenance=provenance_without_secrets(saved.provenance), path=path)


def read_unplaced(data: bytes) -> Tree | None:
    """Read a JSON object fast, without places; None is no verdict.

    The parser silently takes the last of two equal keys, so colons are counted: there must be as
    many as the keys and texts that came out of it hold.
    """
    if b"\\" in data or len(data) > _PLAIN_SIZE:
        return None
    try:
        values = from_json(data, allow_inf_nan=False)
    except ValueError:
        return None
    return values if isinstance(values, dict) and _colons(values) == data.count(b":") else None


def _colons(tree: Tree, depth: int = 0) -> int:
    """Return how many colons the JSON text of `tree` has, or more where it holds what documents cannot."""
    return len(tree) + "".join(tree).count(":") + _colons_of(tree.values(), depth + 1)


def _colons_of(values: Collection[Any], depth: int) -> int:
    count = _TOO_MANY if depth > MAX_DEPTH and values else 0
    for value in values:
        kind = type(value)
        if kind is str:
            count += value.count(":")
        elif kind is dict:
            count += _colons(value, depth)
        elif kind is list:
            count += _colons_of(value, depth + 1)
        elif (kind is float and not math.isfinite(value)) or (kind is int and abs(value) > MAX_WHOLE):
            count += _TOO_MANY
    return count


@lru_cache(maxsize=8)
def _current(family: Family) -> _Current:
    reserved: dict[str, Any] = {
        "schema_": (str, Field(alias="$schema")),
        "schema_version": (int, ...),
        "provenance": (dict[str, Any], Field(default_factory=dict, repr=False)),
    }
    texts = [one.name for one in family.public_fields if one.is_free_text]
    return _Current(
        create_model("Saved", __base__=family.model, **reserved),
        _all_of([f"{name}.model_fields_set" for name in sorted(family.sections)]),
        _all_of(texts),
        [(attrgetter(".".join((*one.path[:-1], "model_fields_set"))), one.path[-1]) for one in family.secret_fields],
        len(family.public_fields) + len(family.sections) + len(reserved) - 1,
    )


def _all_of(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets all attributes of those dotted names."""
    if len(names) > 1:
        return attrgetter(*names)  # gives no tuple for one name, and nothing for none
    return lambda owner: tuple(attrgetter(name)(owner) for name in names)


def document_of(
    values: Mapping[str, Any] | ParsedFile,
    family: Family,
    path: str = "document",
    texts: Mapping[str, PassedThrough] | None = None,
    leaving_out: Collection[str] = (),
) -> Document:
    """Upgrade and validate a document given as plain values, or as a parsed file, which has their places.

    Args:
        texts: The sections of extensions as they are in the file, for those that are not installed.
        leaving_out: Dotted names of fields whose values are not looked at, as if the document lacked them.
    """
    tree = values if isinstance(values, ParsedFile) else ParsedFile(dict(values), {}, path)
    if family.parent is not None:
        from tttcfg.family.ancestors import ancestor_of, as_own  # only families with a parent need it

        if (ancestor := ancestor_of(tree, family)) is not None:
            written = document_of(tree, ancestor, path, texts, leaving_out)
            return replace(document_of(as_own(tree, family), family, path, texts, leaving_out), written=written)
    sections = sections_in(tree)
    installed = extensions_of(family) if sections else {}
    parts: dict[str, Document] = {}
    passed_through: dict[str, PassedThrough] = {}
    for name, section in sections.items():
        if name in installed:
            below = [one.removeprefix(path_of(name)) for one in leaving_out if one.startswith(path_of(name))]
            parts[name] = within(name, document_of, section, installed[name], path, None, below)
        else:
            passed_through[name] = texts[name] if texts is not None else passed_through_from(section.values)
    found = find_version(tree, family)
    if found.version == family.head:
        _refuse_secrets(tree, family)
    upgraded = upgraded_to_head(tree.values, found, family, tree.place)
    for name in family.fields.keys() & set(leaving_out):
        _leave_out(upgraded.values, split(name))
        upgraded.assumed[name] = UNSET
    core = _read(upgraded, family, tree)
    return replace(core, parts=parts, passed_through=passed_through) if sections else core


class Upgraded(NamedTuple):
    """A document's fields as the head has them, before validation.

    `assumed` has what was taken for missing ones, UNSET where the model itself fills them in; `plugged` the version of
    every section of a plug-in's variant that was old, by the field's name.
    """

    values: Tree
    found: Identification
    record: Record
    assumed: dict[str, Any]
    plugged: dict[str, int]


def upgraded_to_head(
    values: Mapping[str, Any],
    found: Identification,
    family: Family,
    where: Callable[[Path], Place | str] = lambda _: "",
) -> Upgraded:
    """Return a complete document's fields as the head has them; a missing one is taken from its version's defaults.

    Args:
        where: Returns the place of a path, for the problems.
    """
    core = _upgraded(values, found, family)
    for one in plugged_sections(core.values, [(one, one.path) for one in plugged_fields(family)], where):
        name, plugin = ".".join(one.path), one.plugin
        own = core.record.below(name)
        section, version = one.section, plugin.head if one.version is None else one.version
        if one.version is None:
            section, _ = plugin.chain.up_partial(section, own, None, partial(accepted, plugin.model))
        values = {**section, "provenance": own.saved()}
        upgraded = upgraded_to_head(values, Identification(version, ()), plugin, partial(_at, where, one.path))
        set_path(core.values, one.path, upgraded.values)
        core.record.put_below(name, upgraded.record)
        core.assumed.update({f"{name}.{key}": value for key, value in upgraded.assumed.items()})
        if version < plugin.head:
            core.plugged[name] = version
    return core


def _at(where: Callable[[Path], Place | str], start: Path, path: Path) -> Place | str:
    return where((*start, *path))


def _upgraded(values: Mapping[str, Any], found: Identification, family: Family) -> Upgraded:
    """Return a document's fields as the head has them, with the sections of plug-ins' variants as they are."""
    version, record = found.version, Record.from_saved(values.get("provenance") or {})
    body = own_body(values, family)
    given = complete_inside(body, family.chain.schema(version)) if version >= 0 and family.holds_sections else {}
    if version < family.head:
        drop_matching(record, body)
        family.chain.run(body, version, record)
    given = {record.renamed.get(name, {}).get("value", name): value for name, value in given.items()}
    missing = list(lacks(body, family.outline(secrets=False)))
    if not missing:
        return Upgraded(body, found, record, given, {})
    # Completed before it is upgraded: what a missing field meant, fields beside it may decide.
    whole = overlaid(family.chain.template(max(version, 0)), own_body(values, family))
    family.chain.run(whole, max(version, 0), Record())
    assumed = {name: get_path(whole, split(name), UNSET) for name in missing}
    for name, value in assumed.items():
        if value is not UNSET:
            set_path(body, split(name), value)
    return Upgraded(body, found, record, {**assumed, **given}, {})


def _refuse_secrets(tree: ParsedFile, family: Family) -> None:
    """Refuse a current document with a secret in it: tttcfg never writes one."""
    for one in family.secret_fields:
        if get_path(tree.values, one.path) is not None:
            message, advice = "is a secret, and a saved document never holds one", removing(tree.file)
            raise InputError(
                Problem("secret", message, one.name, tree.place(one.path), advice=f"{advice}, and renew it")
            )


def overlaid(below: Tree, above: Tree) -> Tree:
    """Return `above` laid over `below`, section by section; neither is changed."""
    result = dict(below)
    for key, value in above.items():
        under = below.get(key)
        result[key] = overlaid(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return result


def _leave_out(values: Tree, path: Path) -> None:
    """Remove what is at `path`, or on the way there where that is no section."""
    above = (path[:depth] for depth in range(1, len(path)))
    pop_path(values, next((one for one in above if not isinstance(get_path(values, one, {}), dict)), path))


def written_places(tree: ParsedFile, record: Record) -> Callable[[Path], Place]:
    """Return what finds the place of a field in a document, by the name that it is written under there."""
    written = {str(entry["value"]): old for old, entry in record.renamed.items()}

    def place(path: Path) -> Place:
        name = ".".join(path)
        return tree.place(split(written[name]) if name in written else path)

    return place


def _read(upgraded: Upgraded, family: Family, tree: ParsedFile) -> Document:
    old = family.chain.old_names if upgraded.found.version != family.head else ()
    training = validate(family.model, upgraded.values, written_places(tree, upgraded.record), old)
    assumed = {
        name: plain(family.fields[name].get(training)) if value is UNSET else value
        for name, value in upgraded.assumed.items()
    }
    return Document(
        training,
        family,
        *upgraded.found,
        None if upgraded.found.version == family.head and not upgraded.plugged else upgraded.record,
        assumed,
        provenance_without_secrets(tree.values.get("provenance") or {}),
        tree.file,
        upgraded.plugged,
    )
