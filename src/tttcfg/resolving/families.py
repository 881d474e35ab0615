"""Finding a family: by its name, or by the `$schema` of documents."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from tttcfg.documents.convert import document_from
from tttcfg.documents.document import Document
from tttcfg.errors import InputError, Problem, nearest
from tttcfg.family.family import Family, known_families
from tttcfg.family.plugins import FAMILIES, declared, loaded
from tttcfg.family.versions import OPTION
from tttcfg.ttt_moshi.family import TTT_MOSHI

BUILT_IN = TTT_MOSHI.name
Result = TypeVar("Result")


def family_named(name: str) -> Family:
    """Return the built-in family, one that a distribution declares or this process has imported, or `module:NAME`.

    Raises:
        InputError: There is none, it cannot be imported, or two distributions claim the name.
    """
    if name == BUILT_IN:
        return TTT_MOSHI
    if ":" in name:
        family: Family = loaded(name, Family, "--family")
        return family
    with suppress(KeyError):
        return _installed(name)
    imported = {one.name: one for one in known_families()}  # the last of a name: a notebook may have run a cell again
    if name in imported:
        return imported[name]
    known = [*dict.fromkeys([BUILT_IN, *(one.name for one in declared(FAMILIES)), *imported])]
    message = f"there is no family of this name (there are: {', '.join(known)}); or give it as module:NAME"
    raise InputError(Problem("plugin", message, name, suggestion=nearest(name, known)))


@cache
def _installed(name: str) -> Family:
    """Return the family that a distribution declares under a name; a KeyError, which is not kept, where none does."""
    entry = {one.name: one for one in declared(FAMILIES)}[name]
    family: Family = loaded(entry.value, Family, name)
    if family.name != name:
        message = f"is what {entry.distribution} calls a family whose own name is {family.name}"
        raise InputError(Problem("plugin", message, name, FAMILIES))
    return family


def chosen_family(name: str | None) -> Family:
    """Return the family of a name; without one the built-in family."""
    return family_named(name) if name else TTT_MOSHI


def family_in(error: InputError) -> Family | None:
    """Return the family that documents are of which were read as another's; None where it is not one.

    Raises:
        InputError: It is not known here.
    """
    named = {problem.suggestion for problem in error.problems if problem.code == "family"}
    if len(named) != 1:
        return None
    try:
        return family_named(named.pop().removeprefix(OPTION))
    except InputError as unknown:
        raise InputError([*error.problems, *unknown.problems]) from None


def with_family(action: Callable[[Family], Result], family: Family[Any, Any] | None = None) -> Result:
    """Return what `action` returns for a family; without one for that of the documents, or else for the built-in one.

    It is called again where the documents that it reads are of one other family, by their `$schema`.

    Raises:
        InputError: That family is not known here; or whatever `action` raises.
    """
    try:
        return action(family or TTT_MOSHI)
    except InputError as error:
        found = None if family else family_in(error)
        if found is None:
            raise
    return action(found)


def as_document(configuration: Any, family: Family[Any, Any] | None = None) -> Document:
    """Return anything that holds a configuration as a document; see `document_from`.

    Args:
        family: By default that of the model that is given, or that in the `$schema` of a mapping, or else the built-in
            one.
    """
    return with_family(lambda own: document_from(configuration, own), family)
