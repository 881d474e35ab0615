"""A document's fields as the current version has them, before validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem
from tttcfg.family import Family
from tttcfg.fields import dig, lacks, outline
from tttcfg.migration import Identification
from tttcfg.record import Record, Tree, copied, drop_null_sections, split
from tttcfg.seals import unseal
from tttcfg.sources.text import Tree as SourceTree
from tttcfg.versions import RESERVED, find_version


class Upgraded(NamedTuple):
    """A document's fields as the head has them, before validation."""

    values: Tree
    version: int
    decided_by: tuple[str, ...]
    record: Record
    assumed: dict[str, Any]


def upgrade(values: Mapping[str, Any], family: Family, path: str, tree: SourceTree) -> Upgraded:
    """Bring a complete document to the head; a field that it lacks is taken from its version's defaults."""
    found = find_version(values, family, path, tree)
    body = {key: copied(value) for key, value in values.items() if key not in RESERVED}
    drop_null_sections(body, family.chain.introduced)
    if found.version == family.head:
        _refuse_secrets(body, family, tree)
    return upgraded_to_head(body, found, family, Record.from_saved(values.get("provenance") or {}))


def upgraded_to_head(body: Tree, found: Identification, family: Family, record: Record) -> Upgraded:
    """Bring a document's fields to the head, in place."""
    version, decided_by = found
    if version < family.head:
        unseal(record, body)
        family.chain.run(body, version, record)
    lacking = list(lacks(body, outline(family.model, secrets=False)))
    if not lacking:
        return Upgraded(body, version, decided_by, record, {})
    assumed = family.chain.assumed(max(version, 0))
    return Upgraded(
        overlaid(assumed, body), version, decided_by, record, {name: dig(assumed, split(name)) for name in lacking}
    )


def _refuse_secrets(body: Tree, family: Family, tree: SourceTree) -> None:
    """Refuse a current document with a secret in it: nothing of ours wrote it, and whoever did should know."""
    for leaf in family.secret_leaves:
        if dig(body, leaf.path) is not None:
            message = "is a secret, and a saved document never holds one; take it out of the file, and renew it"
            raise InputError(Problem("secret", message, leaf.name, tree.place(leaf.path)))


def overlaid(below: Tree, above: Tree) -> Tree:
    """Return `above` laid over `below`, section by section; neither is changed."""
    result = dict(below)
    for key, value in above.items():
        under = below.get(key)
        result[key] = overlaid(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return result
