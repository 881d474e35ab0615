"""Configuration files as a source: partial documents, brought to today's names, each value with its place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tttcfg.documents.document import Document, document_of, written_places
from tttcfg.errors import InputError, Place, Problem, quote, some
from tttcfg.family.extension import EXTENSIONS, extensions_of, sections_in, within
from tttcfg.family.family import Family, frozen_schema
from tttcfg.family.versions import find_version, refuse_foreign_format, refuse_other_family
from tttcfg.formats.endings import read_file
from tttcfg.formats.python import plain_tree
from tttcfg.formats.text import ParsedFile
from tttcfg.migration.chain import as_written
from tttcfg.migration.record import Record, drop_null_sections
from tttcfg.resolving.variants import Held, plugged_upgraded, usual_variants, with_variants
from tttcfg.schema.fields import present
from tttcfg.schema.fragments import Fragment, alternatives, body_of, fields_of
from tttcfg.schema.paths import MISSING, Path, copied, get_path, set_path, split
from tttcfg.schema.validation import accepted, validate
from tttcfg.secrets import looks_secret

if TYPE_CHECKING:
    from tttcfg.migration.chain import Ambiguity, Deferred, Incomplete

_NEARLY = 4
"""A document is nearly whole where at most one field in so many is missing."""


@dataclass(frozen=True)
class Given:
    """What one source gives.

    Attributes:
        values: By dotted field name.
        places: The place of each, and of what is deferred.
        deferred: Values of an older form that mean what other sources decide, by dotted field name.
        documents: The whole document that a value is from, by dotted field name, where the source is one.
        variants: The variant that values inside are of, stated or implied, by the name of the field that holds it.
        notes: What to report of the source, whichever values are used in the end.
        parts: The same of every extension, with names as the extension has them.
    """

    values: Mapping[str, Any]
    places: Mapping[str, Place | str]
    deferred: Mapping[str, Deferred] = dataclasses.field(default_factory=dict)
    documents: Mapping[str, Document] = dataclasses.field(default_factory=dict)
    variants: Held = dataclasses.field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    parts: Mapping[str, Given] = dataclasses.field(default_factory=dict)


def read_config(path: str | os.PathLike[str], family: Family) -> Given:
    """Read a configuration file of any format and any version of the family.

    Raises:
        InputError: It cannot be read, or has keys or values that no version has.
    """
    return given(read_file(path, family.configuration_cap), family)


def given(tree: ParsedFile, family: Family, held: Held | None = None) -> Given:
    """Return the values of a document: all of a whole one, as in a checkpoint; of any other, its keys, renamed.

    A `schema_version` decides how keys are read. Without one, a key is read in whichever version has it.

    Args:
        held: The variant that a section is of which states none, by the name of its field; the usual one by default.
    """
    found = _given(_with_texts(tree, family), family, usual_variants(family) if held is None else held)
    return replace(found, notes=(*found.notes, *(note._replace(severity="info") for note in tree.notes)))


def given_in_part(tree: ParsedFile, family: Family, held: Held) -> Given:
    """Return the values of keys that are no document, however many there are; see `given`."""
    return _partial(body_of(tree.values), tree, _stated(tree, family), family, held)


def _with_texts(tree: ParsedFile, family: Family) -> ParsedFile:
    """Return `tree` with the text of numbers that only YAML 1.2 reads as such, where a setting takes text alone."""
    if not tree.as_text:
        return tree
    values = copied(tree.values)
    for path, text in tree.as_text.items():
        name = ".".join(path)
        versions = (family.chain.fields(version) for version in range(family.head + 1))
        kinds = [_kinds(fields[name]) for fields in versions if name in fields]
        if any("string" in one for one in kinds) and not any(one & {"integer", "number"} for one in kinds):
            set_path(values, path, text)
    return tree._replace(values=values)


def _kinds(fragment: Fragment) -> set[Any]:
    """Return the types that a field takes, any of its alternatives counted."""
    return {one.get("type", "string" if "enum" in one else None) for one in alternatives(fragment)}


def _given(tree: ParsedFile, family: Family, held: Held) -> Given:
    theirs, tree = _of_parent(tree, family)
    if theirs is not None:
        return _of_document(document_of(theirs, family), theirs, sections_in(theirs))
    refuse_other_family(tree, family)
    version = _stated(tree, family)
    refuse_foreign_format(tree, family)
    whole, partly = _completed(tree, version, family)
    if whole is not None:
        document = document_of(whole, family)
        return _of_document(document, tree, sections_in(tree))
    sections = sections_in(tree)
    values = body_of(tree.values)
    core = _partial(values, tree, version, family, held)
    notes = (*core.notes, *partly, *_not_installed(sections, tree, family))
    installed = extensions_of(family)
    parts = {name: within(name, given, one, installed[name]) for name, one in sections.items() if name in installed}
    return replace(core, parts=parts, notes=notes)


def _of_parent(tree: ParsedFile, family: Family) -> tuple[ParsedFile | None, ParsedFile]:
    """Return the whole document of a parent that a file is, if it is one, and the file as one of the family."""
    if family.parent is None:
        return None, tree
    from tttcfg.family.ancestors import ancestor_of, renumbered  # only families with a parent need it

    ancestor = ancestor_of(tree, family)
    if ancestor is None:
        return None, tree
    whole, _ = _completed(tree, _stated(tree, ancestor), ancestor)
    return whole, renumbered(tree, family)


def _stated(tree: ParsedFile, family: Family) -> int | None:
    return find_version(tree, family).version if "schema_version" in tree.values else None


def whole_document(tree: ParsedFile, family: Family) -> Document | None:
    """Return the document that a file of any format is as a whole, or None where it is a part of one.

    Raises:
        InputError: A key or value in it is refused.
    """
    whole, tree = _of_parent(_with_texts(tree, family), family)
    if whole is None:
        whole, _ = _completed(tree, _stated(tree, family), family)
    return document_of(whole, family) if whole is not None else None


def _not_installed(sections: Mapping[str, ParsedFile], tree: ParsedFile, family: Family) -> list[Problem]:
    """Name the extensions in a document that are not installed."""
    installed = extensions_of(family)
    return [not_installed(name, tree.place((EXTENSIONS, name))) for name in sections if name not in installed]


def not_installed(name: str, place: Place | str) -> Problem:
    message = "is an extension that is not installed; its settings are not used"
    return Problem("extension", message, f"{EXTENSIONS}.{name}", place, severity="warning")


def _completed(tree: ParsedFile, version: int | None, family: Family) -> tuple[ParsedFile | None, list[Problem]]:
    """Return a document that has every field of a version, with what its format cannot write; None for any other.

    It may have fields of newer versions too, most of those of the newest that it has any of. One that is nearly whole
    is none, and comes with a warning: it could be taken for one.
    """
    lasting = _lasting_fields(family)
    absent = sum(get_path(tree.values, path, MISSING) is MISSING for path in lasting)
    if version is None and absent * _NEARLY > len(lasting):
        return None, []  # without having asked the history
    newest = family.chain.identify(tree.values).version if version is None else version
    if newest < 0 or (version is None and newest == family.head):
        return None, []  # documents of the current version have a number, so this is a hand-written file
    missing: list[str] = []
    for one in range(newest, -1, -1):
        fields = family.chain.fields(one)
        completed, absent_here = _completed_by(tree, fields)
        if one == newest and len(absent_here) * _NEARLY > len(fields):
            break
        if not absent_here:
            return completed, []
        missing = missing or absent_here
    if not missing:
        return None, []
    message = f"{tree.file} has nearly all fields of version {newest}, but not {some(missing)}"
    message += ": it is read as a part of a configuration, and today's defaults are used for the rest"
    return None, [Problem("partial", message, severity="warning")]


def _completed_by(tree: ParsedFile, fields: Mapping[str, Fragment]) -> tuple[ParsedFile, list[str]]:
    """Return a document with what its format cannot write, and the names of the fields that are missing from it."""
    values, missing = copied(tree.values), []
    for name, fragment in fields.items():
        path = split(name)
        if get_path(values, path, MISSING) is not MISSING or looks_secret(path[-1]):
            continue
        if tree.file.endswith(".toml") and "null" in _kinds(fragment):
            set_path(values, path, None)  # which TOML has no word for
        else:
            missing.append(name)
    return tree._replace(values=values), missing


@lru_cache(maxsize=8)
def _lasting_fields(family: Family) -> tuple[Path, ...]:
    """Return fields that every version has, by the first frozen schema and today's model."""
    try:
        first = frozen_schema(family, 0)
    except OSError:
        return ()
    fields = ((name, fragment) for name, fragment in fields_of(first).items() if name in family.fields)
    lasting = (name for name, fragment in fields if "null" not in _kinds(fragment))
    return tuple(map(split, lasting))


def _of_document(document: Document, tree: ParsedFile, sections: Mapping[str, ParsedFile]) -> Given:
    """Return what a whole document gives: every field, with what was filled in and converted."""
    family, notes = document.family, document.provenance_notes
    where = written_places(tree, document.record)
    fields = present(family.public_fields, document.training)
    values = {field.name: field.get(document.training) for field in fields}
    places = {field.name: notes.get(field.name) or where(field.path) for field in fields}
    secrets: dict[str, Any] = {}
    for field in family.secret_fields:
        if get_path(tree.values, field.path) is not None:
            set_path(secrets, field.path, get_path(tree.values, field.path))
    given_secrets = _validated(secrets, tree, Record(), family) if secrets else Given({}, {})
    parts = {
        name: _of_document(document.part(one), sections.get(name, ParsedFile({}, {}, tree.file)), {})
        for name, one in extensions_of(family).items()
    }
    return Given(
        {**values, **given_secrets.values},
        {**places, **given_secrets.places},
        documents=dict.fromkeys(values, document),
        variants={field.name: values[field.name] for field in family.variant_fields if field.name in values},
        notes=tuple(_not_installed(sections, tree, family)),
        parts=parts,
    )


def _partial(values: dict[str, Any], tree: ParsedFile, version: int | None, family: Family, held: Held) -> Given:
    """Return what a document gives that has some fields only; nothing is filled in."""
    values, implied = with_variants(values, family, held, version) if family.variant_fields else (copied(values), [])
    found = _partial_of(values, tree, version, family)
    if not implied:
        return found
    stated = {as_written(one.rpartition(".")[0]) for one in implied}
    now = {family.chain.spellings.get(one, one) for one in stated}
    kept = {name: value for name, value in found.values.items() if name not in now}
    notes = tuple(one for one in found.notes if one.key not in implied)
    return replace(found, values=kept, notes=notes)


def _partial_of(values: dict[str, Any], tree: ParsedFile, version: int | None, family: Family) -> Given:
    drop_null_sections(values, family.outline())
    record = Record()
    values = plugged_upgraded(values, family, tree.place, record)
    if version == family.head:
        return _validated(values, tree, record, family)
    names = list(_names(values, family))
    old_names = any(name not in family.fields for name in names)  # only then is the history needed
    refused: InputError | None = None
    if version is None and not old_names and not family.ambiguous_fields & set(names):
        try:
            return _validated(values, tree, record, family)
        except InputError as error:  # only the history knows values of an old form
            refused = error
    upgraded, reading = family.chain.up_partial(values, record, version, partial(accepted, family.model))
    if refused is not None and upgraded == values:
        raise refused
    if reading.incomplete:
        raise InputError(_incomplete(one, given, tree) for one in reading.incomplete for given in one.given)
    if reading.ambiguous:
        raise InputError(_ambiguous(one, tree, family) for one in reading.ambiguous)
    drop_null_sections(upgraded, family.outline())
    old = family.chain.old_names if old_names and version is None else ()
    return _validated(upgraded, tree, record, family, old, reading.deferred)


def _incomplete(merge: Incomplete, given: str, tree: ParsedFile) -> Problem:
    others = [one for one in merge.sources if one != given]
    message = f"became {merge.path} together with {some(others)}"
    advice = f"give {some(others)} as well, or {merge.path}"
    return Problem("missing", message, given, tree.place(split(given)), advice=advice)


def _ambiguous(one: Ambiguity, tree: ParsedFile, family: Family) -> Problem:
    then = f"before version {one.version} it meant {quote(one.then)}"
    message = f"{quote(one.value)} is ambiguous: {then}, and today's version takes it too"
    advice = f"give schema_version beside it: {family.head} for today's meaning"
    return Problem("version", message, one.path, tree.place(split(one.path)), advice=advice)


def _validated(
    values: dict[str, Any],
    tree: ParsedFile,
    record: Record,
    family: Family,
    old: Iterable[str] = (),
    deferred: Mapping[str, Deferred] = MappingProxyType({}),
) -> Given:
    where = written_places(tree, record)
    try:
        model = validate(family.model, values, where, old, partial=True)
    except InputError as error:
        raise InputError([*_catalogue(values, tree, family), *error.problems]) from None
    flat = {name: family.fields[name].get(model) for name in _names(values, family)}
    places = {name: where(family.fields[name].path) for name in (*flat, *deferred)}
    notes = list(_notes(record, tree))
    for name, value in flat.items():
        if is_nothing(value) and family.fields[name].nullable and family.fields[name].is_free_text:
            message, advice = f"is the text {quote(value)}", "write null for nothing"
            notes.append(Problem("null", message, name, places[name], advice=advice, severity="warning"))
    variants = {field.name: flat[field.name] for field in family.variant_fields if field.name in flat}
    return Given(flat, places, deferred, variants=variants, notes=tuple(notes))


def is_nothing(value: Any) -> bool:
    """Whether a text most likely stands for null: what Python and other programs write for it."""
    return isinstance(value, str) and value.strip().lower() in ("none", "null")


def as_field(value: Any, name: str, family: Family, where: Place | str, held: Held) -> Any:
    """Return a plain value as the field of that name has it.

    Args:
        held: The variants that fields hold.

    Raises:
        InputError: It is refused.
    """
    tree: dict[str, Any] = {}
    set_path(tree, family.fields[name].path, value)
    tree, _ = with_variants(tree, family, held, family.head) if family.fields[name].around else (tree, [])
    return family.fields[name].get(validate(family.model, tree, lambda _: where, partial=True))


def _names(values: Mapping[str, Any], family: Family, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of fields, and of whatever is neither a field nor a section today."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        field = family.fields.get(name)
        if field is not None or name not in family.sections:
            yield name
        if isinstance(value, dict) and (name in family.sections or (field is not None and field.variants is not None)):
            key_of = field.variants.key if field is not None and field.variants is not None else ""
            yield from _names({one: below for one, below in value.items() if one != key_of}, family, f"{name}.")


def _notes(record: Record, tree: ParsedFile) -> Iterator[Problem]:
    for old, entry in record.renamed.items():
        message = f"is now called {entry['value']}: {entry['reason']}"
        yield Problem("renamed", message, old, tree.place(split(old)), severity="info")
    for old, entry in record.removed.items():
        message = f"no longer exists: {entry['reason']}"
        yield Problem("removed", message, old, tree.place(split(old)), severity="info")
    for path, entry in record.converted.items():
        message = f"was written as {quote(entry['value'])}: {entry['reason']}"
        yield Problem("converted", message, path, tree.place(split(path)), severity="info")


def _catalogue(values: Mapping[str, Any], tree: ParsedFile, family: Family) -> Iterator[Problem]:
    """Report a file that is a collection of sections to copy from, not one configuration."""
    sections = [key for key in values if key not in family.sections and _looks_like(values[key], family)]
    if len(sections) > 1:
        section = _looks_like(values[sections[0]], family)
        shown = ", ".join(quote(key) for key in sections[:3])
        message = f"is a catalogue of {len(sections)} fragments ({shown}, …), not one configuration"
        yield Problem("foreign", message, place=Place(tree.file), advice=f"copy the one you want under {section}:")


def _looks_like(value: Any, family: Family) -> str:
    """Return the section that most keys of `value` are from, or an empty text."""
    if not isinstance(value, dict) or not value:
        return ""
    for section in sorted(family.sections):
        names = [f"{section}.{key}" for key in value]
        known = [name for name in names if name in family.fields or name in family.chain.spellings]
        if len(known) >= 2 and len(known) * 2 > len(value):
            return section
    return ""


def merged(sources: list[Given]) -> Given:
    """Merge configuration files left to right, field by field: of two values, the later one is used."""
    if len(sources) == 1:
        return sources[0]
    values: dict[str, Any] = {}
    places: dict[str, Place | str] = {}
    deferred: dict[str, Deferred] = {}
    documents: dict[str, Document] = {}
    variants: dict[str, str | None] = {}
    parts: dict[str, list[Given]] = {}
    for source in sources:
        for name in [name for name, one in source.variants.items() if variants.get(name, one) != one]:
            for inner in [one for one in values if one.startswith(f"{name}.")]:
                del values[inner]  # of a variant that a later file replaces
        variants.update(source.variants)
        for name in (*source.values, *source.deferred):
            for earlier in (values, deferred, documents):
                earlier.pop(name, None)
        values.update(source.values)
        deferred.update(source.deferred)
        documents.update(source.documents)
        places.update(source.places)
        for name, part in source.parts.items():
            parts.setdefault(name, []).append(part)
    notes = tuple(note for source in sources for note in source.notes)
    of_parts = {name: merged(given) for name, given in parts.items()}
    return Given(values, places, deferred, documents, variants, notes, of_parts)


def tree_of(values: Mapping[str, Any], name: str) -> ParsedFile:
    """Return values given from Python as a partial document: any mapping, with what can be saved in it."""
    return ParsedFile(plain_tree(values, ""), {}, name)
