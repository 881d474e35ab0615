"""Finding a family: by its name, or by the `$schema` of documents."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from tttcfg.documents.convert import document_from, family_named_by, of_family
from tttcfg.documents.document import DOCUMENT_CAP, Document, parse_document, read_unplaced
from tttcfg.errors import InputError, Problem, nearest
from tttcfg.family.family import Family, family_names, known_families
from tttcfg.family.versions import OPTION, family_in_schema
from tttcfg.files.storage import read_bytes
from tttcfg.plugins import FAMILY_GROUP, entry_points, load_entry_point, load_reference
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.urls import address

BUILT_IN = TTT_MOSHI.name
_FIRST_KEY = re.compile(rb'\s*\{\s*"\$schema"\s*:\s*"([!#-\[\]-~]*)"')


def family_named(name: str) -> Family:
    """Return the built-in family, one that a distribution declares or this process has imported, or `module:NAME`.

    Raises:
        InputError: There is none, it cannot be imported, or two distributions claim the name.
    """
    if name == BUILT_IN:
        return TTT_MOSHI
    if ":" in name:
        family: Family = load_reference(name, Family, "--family")
        return family
    with suppress(KeyError):
        return _installed(name)
    imported = {one.name: one for one in known_families()}  # the last of a name: a notebook may have run a cell again
    if name in imported:
        return imported[name]
    known = family_names()
    message = f"there is no family of this name (there are: {', '.join(known)}); or give it as module:NAME"
    raise InputError(Problem("plugin", message, name, suggestion=nearest(name, known)))


@cache
def _installed(name: str) -> Family:
    """Return the family that a distribution declares under a name; a KeyError, which is not kept, where none does."""
    entry = {one.name: one for one in entry_points(FAMILY_GROUP)}[name]
    family: Family = load_entry_point(entry, Family)
    if family.name != name:
        message = f"is what {entry.distribution} calls a family whose own name is {family.name}"
        raise InputError(Problem("plugin", message, name, FAMILY_GROUP))
    return family


def chosen_family(name: str | None) -> Family | None:
    """Return the family of a name that may be given; None without one, for which the sources' own is used."""
    return family_named(name) if name else None


def named_family(configuration: Any) -> Family | None:
    """Return the family that is named by a model or by the `$schema` of plain values; None where none is.

    None as well where it is not installed, which whatever reads the values reports.

    Raises:
        InputError: It cannot be imported.
    """
    if (own := family_named_by(configuration)) is not None:
        return own
    values = configuration if isinstance(configuration, Mapping) else getattr(configuration, "__dict__", {})
    name = family_in_schema(values.get("$schema"))
    return family_named(name) if name is not None and name in family_names() else None


def family_among(*configurations: Any) -> Family:
    """Return the family that the first does which names one; the built-in one where none does."""
    return next((one for one in map(named_family, configurations) if one is not None), TTT_MOSHI)


def named_in_bytes(data: bytes) -> Family | None:
    """Return the family that a JSON document names in its `$schema`, with which tttcfg begins every one."""
    if found := _FIRST_KEY.match(data):
        return named_family({"$schema": found[1].decode("ascii")})
    return named_family(read_unplaced(data) or {}) if b"$schema" in data else None


def family_in_bytes(data: bytes) -> Family:
    """Return the family that a JSON document names, or else the built-in one."""
    return named_in_bytes(data) or TTT_MOSHI


def read_document(path: str | os.PathLike[str], family: Family | None = None) -> Document:
    """Read a document at a path or URL as one of `family`, or as one of the family that it names.

    Raises:
        InputError: As `tttcfg.load_document`.
    """
    name = address(path)
    data = read_bytes(name, DOCUMENT_CAP)
    return parse_document(data, family or family_in_bytes(data), str(name))


def of_second(problem: Problem) -> Problem:
    """Return the problem of a source, where another one named the family: no option helps one of a second."""
    if not problem.suggestion.startswith(OPTION) and not problem.advice.startswith(f"give {OPTION}"):
        return problem
    return problem._replace(suggestion="", advice="give sources of one family")


def as_document(configuration: Any, family: Family[Any, Any] | None = None) -> Document:
    """Return anything that holds a configuration as a document; see `document_from`.

    Args:
        family: By default that of the model that is given, or that in the `$schema` of a mapping, or else the built-in
            one.

    Raises:
        InputError: It is of another family than the one that is given; or whatever `document_from` raises.
    """
    if family is None:
        return document_from(configuration, family_among(configuration))
    return of_family(document_from(configuration, family), family)
