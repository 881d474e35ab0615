"""Extensions: settings that a trainer adds to a family's, in a section of their own in the same document.

`{"extensions": {"NAME": {"schema_version": 2, …}}}`: each section is a document by itself, with a version, a chain of
migrations and roles of its own. One that is not installed is carried as it is, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from tttcfg.errors import InputError, Problem
from tttcfg.family.family import Family
from tttcfg.family.plugins import EXTENSIONS, declared, loaded
from tttcfg.formats.text import Tree
from tttcfg.schema.fields import ConfigField

KEY = "extensions"
"""The reserved key of a document that holds the sections of all extensions."""
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Extension(Family):
    """A section of settings that a trainer adds to a family's.

    Its first migration does well to `Add` its fields rather than to declare them: what is filled in then is what the
    trainer did before it had the extension, and so what a checkpoint without the section was trained with.

    Attributes:
        extends: The name of the family.
        needs: The version of the family's schema that the extension needs at least.
    """

    extends: str = "ttt_moshi"
    needs: int = 0


_REGISTERED: dict[tuple[str, str], Extension] = {}


def register(extension: Extension) -> Extension:
    """Make an extension known to this process; a distribution does that by an entry point of `tttcfg.extensions`.

    One that is declared at the same place takes the place of the one before it, as when a notebook runs a cell again.

    Raises:
        InputError: Another one has its name.
    """
    key = (extension.extends, extension.name)
    if _declared_at(_REGISTERED.get(key, extension)) != _declared_at(extension):
        raise InputError(Problem("plugin", "is registered already, as another extension", extension.name))
    _REGISTERED[key] = extension
    return extension


def _declared_at(extension: Extension) -> tuple[str, ...]:
    model = extension.model
    return model.__module__, model.__qualname__, extension.migrations, extension.schemas


def extensions_of(family: Family) -> dict[str, Extension]:
    """Return the extensions of a family by name: those that are installed, and those that are registered.

    Raises:
        InputError: One cannot be imported, needs a later version of the family, or two claim one name.
    """
    if isinstance(family, Extension):
        return {}
    found = dict(_installed(family.name))
    for (extends, name), extension in _REGISTERED.items():
        if extends == family.name and found.setdefault(name, extension) is not extension:
            raise InputError(Problem("plugin", "is registered, and installed as another extension", name))
    problems = [
        Problem("plugin", f"needs version {one.needs} of {family.name}, and this tttcfg has {family.head}", one.name)
        for one in found.values()
        if one.needs > family.head
    ]
    if problems:
        raise InputError(problems)
    return found


@cache
def _installed(family: str) -> dict[str, Extension]:
    found = {}
    for entry in declared(EXTENSIONS):
        extension: Extension = loaded(entry.value, Extension, entry.name)
        if extension.name != entry.name:
            message = f"is what {entry.distribution} calls an extension whose own name is {extension.name}"
            raise InputError(Problem("plugin", message, entry.name, EXTENSIONS))
        if extension.extends == family:
            found[entry.name] = extension
    return found


def all_fields(family: Family) -> dict[str, ConfigField]:
    """Return the fields of a family and of its extensions, by the dotted path that they have in a document."""
    found = dict(family.fields)
    for name, extension in extensions_of(family).items():
        found |= {f"{path_of(name)}{key}": field for key, field in extension.fields.items()}
    return found


def path_of(name: str) -> str:
    """Return what the dotted paths of an extension's fields begin with, in the document of the family."""
    return f"{KEY}.{name}."


def within(name: str, read: Callable[..., T], *arguments: Any) -> T:
    """Return what reading an extension's section gives; its problems name their keys as the whole document has them."""
    try:
        return read(*arguments)
    except InputError as error:
        raise type(error)(one._replace(key=(path_of(name) + one.key).rstrip(".")) for one in error.problems) from None


def sections_in(values: Mapping[str, Any], tree: Tree) -> dict[str, Tree]:
    """Return the section of every extension in a document, by name, with its places.

    Raises:
        InputError: What stands there is no mapping of sections.
    """
    held = values.get(KEY)
    if held is None:
        return {}
    if not isinstance(held, dict):
        raise InputError(Problem("not_a_mapping", "must be a mapping of extensions", KEY, tree.place((KEY,))))
    problems = [
        Problem("not_a_mapping", "must be a mapping of settings", path_of(name)[:-1], tree.place((KEY, name)))
        for name, section in held.items()
        if not isinstance(section, dict)
    ]
    if problems:
        raise InputError(problems)
    return {name: _below(section, (KEY, name), tree) for name, section in held.items()}


def _below(section: dict[str, Any], path: tuple[str, ...], tree: Tree) -> Tree:
    depth = len(path)
    places = {key[depth:]: place for key, place in tree.places.items() if key[:depth] == path and len(key) > depth}
    as_text = {key[depth:]: text for key, text in tree.as_text.items() if key[:depth] == path}
    return Tree(section, places, tree.file, (), as_text)


class Carried(bytes):
    """The section of an extension that is not installed, as it stands in the document."""

    @property
    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self)
        return values


def carried_from(section: Mapping[str, Any]) -> Carried:
    """Return a section given as plain values, as it stands in a document that is written with two spaces."""
    text = json.dumps(section, indent=2, ensure_ascii=False, allow_nan=False)
    return Carried(text.replace("\n", "\n    ").encode())


def carried_in(text: str) -> dict[str, Carried]:
    """Return the sections of all extensions as they stand in a document's text, which is known to be sound."""
    for key, start, _ in _members(text, text.index("{")):
        if key == KEY:
            return {name: Carried(text[begin:end].encode()) for name, begin, end in _members(text, start)}
    return {}


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Yield every key of the JSON object at `start`, and where its value begins and ends."""
    decoder = json.JSONDecoder()
    index = _skip(text, start + 1)
    while text[index] != "}":
        key, index = decoder.raw_decode(text, index)
        begin = _skip(text, _skip(text, index) + 1)
        _, end = decoder.raw_decode(text, begin)
        yield key, begin, end
        index = _skip(text, end)
        if text[index] == ",":
            index = _skip(text, index + 1)


def _skip(text: str, index: int) -> int:
    while text[index] in " \t\r\n":
        index += 1
    return index
