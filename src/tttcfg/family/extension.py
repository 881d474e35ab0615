"""Extensions: settings that a trainer adds to a family's, in a section of their own in the same document.

`{"extensions": {"NAME": {"schema_version": 2, …}}}`: each section is a document of its own, with its own version, chain
of migrations and roles. The section of one that is not installed is passed through byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from tttcfg.errors import InputError, Problem
from tttcfg.family.family import Family
from tttcfg.family.plugged import PluggedVariant
from tttcfg.formats.text import ParsedFile
from tttcfg.plugins import EXTENSION_GROUP, entry_points, load_entry_point
from tttcfg.schema.fields import ConfigField
from tttcfg.schema.paths import Path

EXTENSIONS = "extensions"
"""The reserved key of a document that holds the sections of all extensions."""
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Extension(Family):
    """A section of settings that a trainer adds to a family's.

    Its first migration should `Add` its fields rather than declare them: the values are what the trainer did before it
    had the extension, and so what a checkpoint without the section was trained with.

    Attributes:
        extends: The name of the family.
        needs: The oldest version of the family's schema that the extension works with.
    """

    extends: str = "ttt_moshi"
    needs: int = 0


_REGISTERED: dict[tuple[str, str], Extension] = {}


def register(extension: Extension) -> Extension:
    """Make an extension known to this process; a distribution does that by an entry point of `tttcfg.extensions`.

    A new declaration at the same place replaces the one before it, as when a notebook runs a cell again.

    Raises:
        InputError: Another extension has its name.
    """
    key = (extension.extends, extension.name)
    if _declared_at(_REGISTERED.get(key, extension)) != _declared_at(extension):
        message = "is the name of another extension that is registered; rename one of them"
        raise InputError(Problem("plugin", message, extension.name))
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
    if isinstance(family, (Extension, PluggedVariant)):
        return {}
    found = dict(_installed(family.name))
    for (extends, name), extension in _REGISTERED.items():
        if extends == family.name and found.setdefault(name, extension) is not extension:
            message = "is registered, and another extension of that name is installed; rename one of them"
            raise InputError(Problem("plugin", message, name))
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
    for entry in entry_points(EXTENSION_GROUP):
        extension: Extension = load_entry_point(entry, Extension)
        if extension.name != entry.name:
            message = f"is the entry point in {entry.distribution} of an extension named {extension.name}; use one name"
            raise InputError(Problem("plugin", message, entry.name, EXTENSION_GROUP))
        if extension.extends == family:
            found[entry.name] = extension
    return found


def all_fields(family: Family) -> dict[str, ConfigField]:
    """Return the fields of a family and of its extensions, by their dotted path in a document."""
    found = dict(family.fields)
    for name, extension in extensions_of(family).items():
        found |= {f"{path_of(name)}{key}": field for key, field in extension.fields.items()}
    return found


def path_of(name: str) -> str:
    """Return the start of the dotted paths of an extension's fields in a document of the family."""
    return f"{EXTENSIONS}.{name}."


def within(name: str, read: Callable[..., T], *arguments: Any) -> T:
    """Return the result of reading an extension's section; keys in its problems are those in the whole document."""
    try:
        return read(*arguments)
    except InputError as error:
        raise type(error)(one._replace(key=(path_of(name) + one.key).rstrip(".")) for one in error.problems) from None


def sections_in(tree: ParsedFile) -> dict[str, ParsedFile]:
    """Return the section of every extension in a document, by name, with its places.

    Raises:
        InputError: The value is not a mapping of sections.
    """
    found = tree.values.get(EXTENSIONS)
    if found is None:
        return {}
    if not isinstance(found, dict):
        message = "must be a mapping of extensions"
        raise InputError(Problem("not_a_mapping", message, EXTENSIONS, tree.place((EXTENSIONS,))))
    problems = [
        Problem("not_a_mapping", "must be a mapping of settings", path_of(name)[:-1], tree.place((EXTENSIONS, name)))
        for name, section in found.items()
        if not isinstance(section, dict)
    ]
    if problems:
        raise InputError(problems)
    places, as_text = _by_section(tree.places), _by_section(tree.as_text)
    return {
        name: ParsedFile(section, places.get(name, {}), tree.file, (), as_text.get(name, {}))
        for name, section in found.items()
    }


def _by_section(found: Mapping[Path, T]) -> dict[str, dict[Path, T]]:
    """Return what is known by path in a document, of each extension's section by the path in that."""
    sections: dict[str, dict[Path, T]] = {}
    for path, one in found.items():
        if len(path) > 2 and path[0] == EXTENSIONS:
            sections.setdefault(path[1], {})[path[2:]] = one
    return sections


class PassedThrough(bytes):
    """The section of an extension that is not installed: its bytes in the document, which are passed through."""

    @property
    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self)
        return values

    def __repr__(self) -> str:  # it is not known which of the settings are secret
        return f"<{len(self)} bytes>"


def passed_through_from(section: Mapping[str, Any]) -> PassedThrough:
    """Return a section of plain values as the bytes of a document with an indent of two spaces."""
    text = json.dumps(section, indent=2, ensure_ascii=False, allow_nan=False)
    return PassedThrough(text.replace("\n", "\n    ").encode())


def passed_through_in(text: str) -> dict[str, PassedThrough]:
    """Return the bytes of the sections of all extensions in a document's text, which has to be valid."""
    for key, start, _ in _members(text, text.index("{")):
        if key == EXTENSIONS and text[start] == "{":  # null is no extensions
            return {name: PassedThrough(text[begin:end].encode()) for name, begin, end in _members(text, start)}
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
