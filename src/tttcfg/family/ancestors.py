"""Documents of a family's ancestors, read as documents of the family: at the version that took over theirs."""

from __future__ import annotations

from dataclasses import fields

from tttcfg.errors import NewerVersionError, Problem
from tttcfg.family.family import Family
from tttcfg.family.versions import family_in_schema, find_version, own_body
from tttcfg.formats.text import ParsedFile
from tttcfg.migration.record import Record
from tttcfg.migration.section_digests import add_missing, drop_matching
from tttcfg.schema.fragments import body_of
from tttcfg.schema.paths import Tree

READ_FROM = "read_from"
"""The key of a document's provenance that names the schema of the ancestor that it was written in."""


def ancestor_of(tree: ParsedFile, family: Family) -> Family | None:
    """Return the family that a document names, where that is an ancestor of `family`; else None."""
    if family.parent is None:
        return None
    name = family_in_schema(tree.values.get("$schema"))
    return next((one for one in family.ancestors if one.name == name), None)


def versions_in(family: Family, ancestor: Family) -> list[int | None]:
    """Return the version of an ancestor that each version of a family takes over; None for steps that are younger."""
    if family is ancestor or family.parent is None:
        return list(range(family.head + 1))
    above = versions_in(family.parent, ancestor)
    return [None if step.parent is None else above[step.parent] for step in family.chain.migrations]


def as_own(tree: ParsedFile, family: Family) -> ParsedFile:
    """Return a complete document of an ancestor as one of `family`; any other as it is.

    Steps of the family's own that are older than the version which takes over that of the document are applied to it:
    its own fields get what their absence meant, which is recorded.

    Raises:
        NewerVersionError: The family does not take over that version.
        InputError: The ancestor does not read the version of the document.
    """
    ancestor = ancestor_of(tree, family)
    if ancestor is None:
        return tree
    found = find_version(tree, ancestor)
    versions, at = _taken_over(tree, found.version, family, ancestor)
    saved = tree.values.get("provenance") or {}
    body, record = own_body(tree.values, ancestor), Record.from_saved(saved)
    drop_matching(record, body)
    for step, version in zip(family.chain.migrations[:at], versions, strict=False):
        if version is None:
            step.up(body, record)
    add_missing(record, body, family.chain)
    kinds = {kind.name for kind in fields(record)}
    provenance = {key: value for key, value in saved.items() if key not in kinds} | record.saved()
    if isinstance(provenance.get("migrated_from"), int) and provenance["migrated_from"] in versions:
        provenance["migrated_from"] = versions.index(provenance["migrated_from"])
    if found.decided_by:
        provenance["decided_by"] = list(found.decided_by)
    provenance[READ_FROM] = ancestor.schema_id_of(found.version)
    return _renumbered(tree, family, at, body | {"provenance": provenance})


def renumbered(tree: ParsedFile, family: Family) -> ParsedFile:
    """Return a file of an ancestor that gives some fields only as one of `family`; any other as it is.

    Raises:
        NewerVersionError: The family does not take over the version that it states.
        InputError: The ancestor does not read that version.
    """
    ancestor = ancestor_of(tree, family)
    if ancestor is None:
        return tree
    values = body_of(tree.values)
    if "schema_version" not in tree.values:
        return tree._replace(values=values)
    _, at = _taken_over(tree, find_version(tree, ancestor).version, family, ancestor)
    return _renumbered(tree, family, at, values)


def _taken_over(tree: ParsedFile, version: int, family: Family, ancestor: Family) -> tuple[list[int | None], int]:
    """Return the ancestor's version for each of the family, and the family's that takes over one of the ancestor."""
    versions = versions_in(family, ancestor)
    if version not in versions:
        message = f"is of version {version} of {ancestor.name}, which {family.name} does not take over"
        place, advice = tree.place(("$schema",)), "follow it with a new version (tttcfg schema new), or install a newer"
        raise NewerVersionError(Problem("newer", message, "$schema", place, advice=f"{advice} {family.name}"))
    return versions, versions.index(version)


def _renumbered(tree: ParsedFile, family: Family, version: int, values: Tree) -> ParsedFile:
    kept = {key: tree.values[key] for key in ("extensions",) if key in tree.values}
    header = {"$schema": family.schema_id_of(version), "schema_version": version}
    return tree._replace(values={**header, **values, **kept})
