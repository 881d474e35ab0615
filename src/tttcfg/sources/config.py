"""Configuration files as a source: partial documents, brought to today's names, each value with its place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tttcfg.effective import Finding, finding
from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.extension import KEY as EXTENSIONS
from tttcfg.extension import extensions_of, sections_in, within
from tttcfg.family import Family
from tttcfg.fields import Path, outline
from tttcfg.record import Record, copied, drop_null_sections, split
from tttcfg.sources.files import read_file
from tttcfg.sources.text import Tree
from tttcfg.validation import validate
from tttcfg.versions import RESERVED, find_version, refuse_other_family


@dataclass(frozen=True)
class Given:
    """What one source gives: values by dotted leaf name, and where each stands.

    `parts` has the same of every extension, with names as the extension has them.
    """

    values: Mapping[str, Any]
    places: Mapping[str, str]
    notes: tuple[Finding, ...] = ()
    parts: Mapping[str, Given] = field(default_factory=dict)


def read_config(path: str | os.PathLike[str], family: Family) -> Given:
    """Read a configuration file of any format and any version of the family.

    Raises:
        InputError: It cannot be read, or holds keys or values that no version has.
    """
    return given(read_file(path), family)


def given(tree: Tree, family: Family) -> Given:
    """Return what a partial document gives: old spellings are renamed, nothing is filled in."""
    refuse_other_family(tree.values, family, tree)
    if "schema_version" in tree.values:
        find_version(tree.values, family, tree.file, tree)
    for stranger in family.strangers:
        if stranger.matches(tree.values):
            raise InputError(Problem("foreign", f"is {stranger.what}; {stranger.advice}", place=Place(tree.file)))
    sections = sections_in(tree.values, tree)
    core = _given({key: value for key, value in tree.values.items() if key not in RESERVED}, tree, family)
    if not sections:
        return core
    installed = extensions_of(family)
    parts = {name: within(name, given, one, installed[name]) for name, one in sections.items() if name in installed}
    notes = [not_installed(name, str(tree.place((EXTENSIONS, name)))) for name in sections if name not in installed]
    return replace(core, parts=parts, notes=(*core.notes, *notes))


def not_installed(name: str, where: str) -> Finding:
    message = f"is an extension that is not installed; nothing here reads its settings ({where})"
    return Finding("warning", "extension", f"{EXTENSIONS}.{name}", message)


def _given(values: dict[str, Any], tree: Tree, family: Family) -> Given:
    values = copied(values)
    drop_null_sections(values, outline(family.model))
    if not _has_old_names(values, family):
        try:
            return _validated(values, tree, Record(), family)
        except InputError:  # only the history knows values of an old form
            record = Record()
            upgraded = family.chain.up_partial(values, record)
            if upgraded == values:
                raise
    else:
        record = Record()
        upgraded = family.chain.up_partial(values, record)
        drop_null_sections(upgraded, outline(family.model))
    return _validated(upgraded, tree, record, family)


def _validated(values: dict[str, Any], tree: Tree, record: Record, family: Family) -> Given:
    old_names = {str(entry["value"]): old for old, entry in record.renamed.items()}

    def where(path: Path) -> Place:
        dotted = ".".join(path)
        return tree.place(split(old_names[dotted]) if dotted in old_names else path)

    old = [name for name, now in family.chain.spellings.items() if now] if _has_old_names(values, family) else []
    try:
        model = validate(family.model, values, where, old, partial=True)
    except InputError as error:
        raise InputError([*_catalogue(values, tree, family), *error.problems]) from None
    flat = {name: family.leaves[name].get(model) for name in _leaf_names(values, family)}
    places = {name: str(where(family.leaves[name].path)) for name in flat}
    return Given(flat, places, tuple(finding("info", note) for note in _notes(record, tree)))


def _leaf_names(values: Mapping[str, Any], family: Family, prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in family.leaves:
            yield name
        elif isinstance(value, dict):
            yield from _leaf_names(value, family, f"{name}.")


def _has_old_names(values: Mapping[str, Any], family: Family, prefix: str = "") -> bool:
    """Whether any key is not one of today's: only then is the history needed."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in family.leaves:
            continue
        if name not in family.sections or (isinstance(value, dict) and _has_old_names(value, family, f"{name}.")):
            return True
    return False


def _notes(record: Record, tree: Tree) -> Iterator[Problem]:
    for old, entry in record.renamed.items():
        yield Problem("renamed", f"is now called {entry['value']}: {entry['reason']}", old, tree.place(split(old)))
    for old, entry in record.removed.items():
        yield Problem("removed", f"no longer exists: {entry['reason']}", old, tree.place(split(old)))
    for path, entry in record.converted.items():
        message = f"was written as {quote(entry['value'])}: {entry['reason']}"
        yield Problem("converted", message, path, tree.place(split(path)))


def _catalogue(values: Mapping[str, Any], tree: Tree, family: Family) -> Iterator[Problem]:
    """Say so where a file is a collection of sections for people to copy, not one configuration."""
    alike = [key for key in values if key not in family.sections and _looks_like(values[key], family)]
    if len(alike) > 1:
        section = _looks_like(values[alike[0]], family)
        message = (
            f"is a catalogue of {len(alike)} fragments ({', '.join(quote(key) for key in alike[:3])}, …), "
            f"not one configuration; copy the one you want under {section}:"
        )
        yield Problem("foreign", message, place=Place(tree.file))


def _looks_like(value: Any, family: Family) -> str:
    """Return the section that most keys of `value` are from, or an empty text."""
    if not isinstance(value, dict) or not value:
        return ""
    for section in sorted(family.sections):
        known = [
            key for key in value if f"{section}.{key}" in family.leaves or f"{section}.{key}" in family.chain.spellings
        ]
        if len(known) >= 2 and len(known) * 2 > len(value):
            return section
    return ""


def merged(sources: list[Given]) -> Given:
    """Lay configuration files over each other, left to right: the later one wins, leaf by leaf."""
    if len(sources) == 1:
        return sources[0]
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    parts: dict[str, list[Given]] = {}
    for source in sources:
        values.update(source.values)
        places.update(source.places)
        for name, part in source.parts.items():
            parts.setdefault(name, []).append(part)
    notes = tuple(note for source in sources for note in source.notes)
    return Given(values, places, notes, {name: merged(given) for name, given in parts.items()})


def tree_of(values: Mapping[str, Any], name: str) -> Tree:
    """Return plain values given from Python as a partial document."""
    return Tree(copied(dict(values)), {}, name)
