"""A document's fields as the current version has them, before validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem
from tttcfg.family.family import Family
from tttcfg.family.versions import find_version
from tttcfg.formats.text import Tree as SourceTree
from tttcfg.migration.chain import Identification
from tttcfg.migration.record import Record, drop_null_sections
from tttcfg.migration.section_digests import drop_matching
from tttcfg.schema.fields import UNSET, lacks
from tttcfg.schema.fragments import RESERVED
from tttcfg.schema.paths import Tree, copied, get_path, set_path, split


class Upgraded(NamedTuple):
    """A document's fields as the head has them, before validation.

    `assumed` has what was taken for missing ones, UNSET where the model itself fills them in.
    """

    values: Tree
    version: int
    decided_by: tuple[str, ...]
    record: Record
    assumed: dict[str, Any]


def upgrade(values: Mapping[str, Any], family: Family, path: str, tree: SourceTree) -> Upgraded:
    """Bring a complete document to the head; a missing field is taken from its version's defaults."""
    found = find_version(values, family, path, tree)
    if found.version == family.head:
        _refuse_secrets(values, family, tree)
    return upgraded_to_head(values, found, family, Record.from_saved(values.get("provenance") or {}))


def upgraded_to_head(values: Mapping[str, Any], found: Identification, family: Family, record: Record) -> Upgraded:
    """Return a document's fields as the head has them."""
    version, decided_by = found
    body = _body(values, family)
    if version < family.head:
        drop_matching(record, body)
        family.chain.run(body, version, record)
    lacking = list(lacks(body, family.outline(secrets=False)))
    if not lacking:
        return Upgraded(body, version, decided_by, record, {})
    # Completed before it is upgraded: what a missing field meant, fields beside it may decide.
    whole = overlaid(family.chain.template(max(version, 0)), _body(values, family))
    family.chain.run(whole, max(version, 0), Record())
    assumed = {name: get_path(whole, split(name), UNSET) for name in lacking}
    for name, value in assumed.items():
        if value is not UNSET:
            set_path(body, split(name), value)
    return Upgraded(body, version, decided_by, record, assumed)


def _body(values: Mapping[str, Any], family: Family) -> Tree:
    """Return a copy of a document's fields, without sections that are null."""
    body = {key: copied(value) for key, value in values.items() if key not in RESERVED}
    drop_null_sections(body, family.chain.introduced)
    return body


def _refuse_secrets(body: Mapping[str, Any], family: Family, tree: SourceTree) -> None:
    """Refuse a current document with a secret in it: tttcfg never writes one."""
    for field in family.secret_fields:
        if get_path(body, field.path) is not None:
            message = "is a secret, and a saved document never holds one; take it out of the file, and renew it"
            raise InputError(Problem("secret", message, field.name, tree.place(field.path)))


def overlaid(below: Tree, above: Tree) -> Tree:
    """Return `above` laid over `below`, section by section; neither is changed."""
    result = dict(below)
    for key, value in above.items():
        under = below.get(key)
        result[key] = overlaid(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return result
