"""The version of a document: the one that it states, or the one of its newest field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tttcfg.errors import ForeignDocumentError, InputError, NewerVersionError, Place, Problem, kind_of, quote
from tttcfg.family.family import Family, family_names
from tttcfg.formats.text import ParsedFile
from tttcfg.migration.chain import Identification
from tttcfg.migration.record import Record, drop_null_sections
from tttcfg.schema.fragments import RESERVED, body_of
from tttcfg.schema.paths import Tree, copied, get_path, same, value_paths
from tttcfg.schema.validation import accepted
from tttcfg.secrets import shown_key

_SCHEMA_ID = re.compile(r"urn:tttcfg:([a-z][a-z0-9_]*):v\d+")
_WRITER = re.compile(r"tttcfg [0-9a-z.+]{1,40}")
HEADER = tuple(RESERVED)[:3]
"""Keys of a saved document that identify it."""


def find_version(tree: ParsedFile, family: Family) -> Identification:
    """Return the version of a document, and the keys that decided it where it states none."""
    values, file = tree.values, Place(tree.file)
    if "provenance" in values and not isinstance(values["provenance"], dict):
        raise InputError(Problem("rejected", "must be a mapping", "provenance", tree.place(("provenance",))))
    refuse_other_family(tree, family)
    if "schema_version" in values:
        version = _stated_version(tree, family)
        if version < family.head:
            _refuse_later_keys(tree, version, family)
        return Identification(version, ())
    refuse_foreign_format(tree, family)
    found = family.chain.identify(values)
    version, decided_by = found
    if version < 0:
        keys = ", ".join(quote(shown_key(key)) for key in list(values)[:5]) or "none"
        message = f"is not a configuration of this trainer: no schema_version, no setting of any version (keys: {keys})"
        raise ForeignDocumentError(Problem("foreign", message, place=file))
    if version == family.head:
        newest = ", ".join(decided_by[:3])
        message = f"is missing, and version {version}, which added {newest}, requires it; add schema_version: {version}"
        raise InputError(Problem("version", message, "schema_version", Place(tree.file, 1, 1)))
    later = family.chain.lookalikes(version)
    return found._replace(version=_read_alone(tree, [version, *later], family)) if later else found


def _read_alone(tree: ParsedFile, versions: Sequence[int], family: Family) -> int:
    """Return the version that a document without a number is of, of several whose documents have the same keys.

    It is the one in which its values are valid, the first where they mean the same in all of these, or in none.

    Raises:
        InputError: They are valid in several and mean different things.
    """
    readings = {version: _as_head(tree, version, family) for version in versions}
    first, *others = [version for version in versions if readings[version] is not None] or versions[:1]
    problems: list[Problem] = []
    for other in others:
        for path in value_paths(readings[first] or {}):
            one, two = (get_path(readings[version], path) for version in (first, other))
            if not same(one, two) and not any(problem.key == ".".join(path) for problem in problems):
                message = (
                    f"is {quote(one)} if the document is of version {first}, and {quote(two)} if of version {other}"
                )
                advice = f"add its schema_version, {first} or {other}, to the document"
                problems.append(Problem("version", message, ".".join(path), tree.place(path), advice=advice))
    if problems:
        raise InputError(problems)
    return first


def _as_head(tree: ParsedFile, version: int, family: Family) -> Tree | None:
    """Return a document of a version as the head has it; None where it is refused there."""
    body = own_body(tree.values, family)
    family.chain.run(body, version, Record())
    return None if accepted(family.model, body) is None else body


def own_body(values: Mapping[str, Any], family: Family) -> Tree:
    """Return a copy of a document's fields, without sections that are null."""
    body: Tree = copied(body_of(values))
    drop_null_sections(body, family.chain.introduced)
    return body


OPTION = "--family "
"""The option that precedes the name of a family in a suggestion."""
OF_ONE = "all sources have to be of one family"
"""What goes with a suggested family: read as that, another source may be the one that is refused."""


def family_in_schema(identifier: object) -> str | None:
    """Return the name of the family that a document's `$schema` names; None where it names none."""
    named = _SCHEMA_ID.fullmatch(identifier) if isinstance(identifier, str) else None
    return named[1] if named is not None else None


def refuse_other_family(tree: ParsedFile, family: Family) -> None:
    """Raise a ForeignDocumentError where `$schema` names another family."""
    other = family_in_schema(tree.values.get("$schema"))
    if other is not None and other != family.name:
        message = f"is a document of the family {other}, and is read as one of {family.name}"
        suggestion, advice = f"{OPTION}{other}", OF_ONE
        if other not in (known := family_names()):
            suggestion, advice = "", f"no family {other} is installed (there are: {', '.join(known)})"
            advice += f"; install what declares it, or give it as {OPTION}module:NAME"
        raise ForeignDocumentError(Problem("family", message, "$schema", tree.place(("$schema",)), suggestion, advice))


def refuse_foreign_format(tree: ParsedFile, family: Family) -> None:
    """Raise a ForeignDocumentError where a document is of a format that is mistaken for the family's."""
    for foreign in family.foreign_formats:
        if foreign.matches(tree.values):
            there = [one for one in foreign.families if one in family_names()] if foreign.families else []
            advice = f"give {OPTION}{' or '.join(there)}; {OF_ONE}" if there else ""
            message = f"is {foreign.what}; {foreign.advice}"
            raise ForeignDocumentError(Problem("foreign", message, place=Place(tree.file), advice=advice))


def _stated_version(tree: ParsedFile, family: Family) -> int:
    version = tree.values["schema_version"]
    place = tree.place(("schema_version",))
    if isinstance(version, bool) or not isinstance(version, int):
        message = f"{kind_of(version)} is not a version; write a whole number without quotes, such as {family.head}"
        raise InputError(Problem("version", message, "schema_version", place))
    if version < 0:
        message = f"{quote(version)} is not a version; the first is 0"
        raise InputError(Problem("version", message, "schema_version", place))
    if version > family.head:
        provenance = tree.values.get("provenance")
        writer = provenance.get("written_by") if isinstance(provenance, dict) else None
        named = isinstance(writer, str) and _WRITER.fullmatch(writer)
        by = f"written by {writer}" if named else "its writer is not recorded"
        message = (
            f"is {quote(version)}, and this tttcfg reads versions up to {family.head} ({by}); "
            "install a newer one: pip install --upgrade tttcfg"
        )
        raise NewerVersionError(Problem("newer", message, "schema_version", place))
    return version


def _refuse_later_keys(tree: ParsedFile, version: int, family: Family) -> None:
    newest, keys = family.chain.identify(body_of(tree.values))
    if newest > version:
        message = f"was added in version {newest}, but the document states version {version}"
        raise InputError(Problem("version", message, key, tree.place(tuple(key.split(".")))) for key in keys)
