"""The version of a document: the one that it states, or the one of its newest field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tttcfg.errors import ForeignDocumentError, InputError, NewerVersionError, Place, Problem, quote
from tttcfg.family.family import Family
from tttcfg.formats.text import Tree
from tttcfg.migration.chain import Identification
from tttcfg.schema.fragments import RESERVED

_SCHEMA_ID = re.compile(r"urn:tttcfg:([a-z][a-z0-9_]*):v\d+")
HEADER = RESERVED[:3]
"""Keys of a saved document that identify it."""


def find_version(values: Mapping[str, Any], family: Family, path: str, tree: Tree) -> Identification:
    """Return the version of a document, and the keys that decided it where it states none."""
    if "provenance" in values and not isinstance(values["provenance"], dict):
        raise InputError(Problem("rejected", "must be a mapping", "provenance", tree.place(("provenance",))))
    refuse_other_family(values, family, tree)
    if "schema_version" in values:
        version = _stated_version(values, family, tree)
        if version < family.head:
            _refuse_later_keys(values, version, family, tree)
        return Identification(version, ())
    for foreign in family.foreign_formats:
        if foreign.matches(values):
            raise ForeignDocumentError(Problem("foreign", f"is {foreign.what}; {foreign.advice}", place=Place(path)))
    found = family.chain.identify(values)
    version, decided_by = found
    if version < 0:
        keys = ", ".join(quote(key) for key in list(values)[:5]) or "none"
        message = f"is not a configuration of this trainer: no schema_version, no setting of any version (keys: {keys})"
        raise ForeignDocumentError(Problem("foreign", message, place=Place(path)))
    if version == family.head:
        newest = ", ".join(decided_by[:3])
        message = f"is missing, and version {version}, which added {newest}, requires it; add schema_version: {version}"
        raise InputError(Problem("version", message, "schema_version", Place(path, 1, 1)))
    return found


OPTION = "--family "
"""The option that precedes the name of a family in a suggestion."""


def refuse_other_family(values: Mapping[str, Any], family: Family, tree: Tree) -> None:
    """Raise a ForeignDocumentError where `$schema` names another family."""
    named = _SCHEMA_ID.fullmatch(str(values.get("$schema", "")))
    if named is not None and named.group(1) != family.name:
        other = named.group(1)
        message = f"is a document of the family {other}, and is read as one of {family.name}"
        place = tree.place(("$schema",))
        raise ForeignDocumentError(Problem("family", message, "$schema", place, f"{OPTION}{other}"))


def _stated_version(values: Mapping[str, Any], family: Family, tree: Tree) -> int:
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
        by = f"written by {quote(writer)}" if isinstance(writer, str) else "its writer is not recorded"
        message = (
            f"is {version}, and this tttcfg reads versions up to {family.head} ({by}); "
            "install a newer one: pip install --upgrade tttcfg"
        )
        raise NewerVersionError(Problem("newer", message, "schema_version", place))
    return version


def _refuse_later_keys(values: Mapping[str, Any], version: int, family: Family, tree: Tree) -> None:
    newest, keys = family.chain.identify({key: value for key, value in values.items() if key not in RESERVED})
    if newest > version:
        message = f"was added in version {newest}, but the document states version {version}"
        raise InputError(Problem("version", message, key, tree.place(tuple(key.split(".")))) for key in keys)
