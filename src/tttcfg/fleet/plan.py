"""What migrating one document would change, as structure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from tttcfg.document import upgrade
from tttcfg.family import Family
from tttcfg.record import WITHHELD, Record, Tree, looks_secret, redacted
from tttcfg.saving import migrate_tree
from tttcfg.sources.json import read_json
from tttcfg.sources.text import decode
from tttcfg.storage import read_bytes
from tttcfg.versions import RESERVED, find_version

ABSENT = "absent although its version had them; the version's defaults"

Kind = Literal["added", "renamed", "converted", "removed", "doubted"]


class Change(NamedTuple):
    """One change of one field: `value` is the new one where added, the old one where removed or converted.

    `new` is the new name of what is renamed, the new value of what is converted.
    """

    kind: Kind
    key: str
    value: Any
    reason: str
    new: Any = None


def changes(path: str, family: Family, to: int) -> list[Change]:
    """Return what migrating the document at `path` to version `to` would change."""
    tree = read_json(decode(read_bytes(path), path), path)
    version, _ = find_version(tree.values, family, path, tree)
    if to < family.head:
        return list(_between(tree.values, migrate_tree(tree.values, family, to=to, allow_loss=True), to))
    upgraded = upgrade(tree.values, family, path, tree)
    absent = [Change("added", key, value, ABSENT) for key, value in upgraded.assumed.items()]
    return [*_recorded(upgraded.record, dict(_flat(upgraded.values))), *absent] if version < to else []


def _recorded(record: Record, after: Tree) -> Iterator[Change]:
    for key, entry in record.filled.items():
        yield Change("added", key, entry["value"], entry["reason"])
    for key, entry in record.renamed.items():
        yield Change("renamed", key, None, entry["reason"], entry["value"])
    for key, entry in record.converted.items():
        yield Change("converted", key, entry["value"], entry["reason"], after.get(key))
    for key, entry in record.removed.items():
        if entry["value"] != {}:
            yield Change("removed", key, entry["value"], entry["reason"])
    for key, entry in record.doubted.items():
        yield Change("doubted", key, entry["value"], entry["reason"])


def _between(old: Tree, new: Tree, to: int) -> Iterator[Change]:
    """Compare two documents: older versions keep no record of what they lack."""
    before, after = dict(_flat(old)), dict(_flat(new))
    for key, value in before.items():
        if key not in after:
            yield Change("removed", key, value, f"version {to} does not have them")
        elif value != after[key]:
            yield Change("converted", key, value, f"version {to} writes them otherwise", after[key])
    for key, value in after.items():
        if key not in before:
            yield Change("added", key, value, f"version {to} has them")


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted path, secrets withheld."""
    for key, value in tree.items():
        if prefix == "" and key in RESERVED:
            continue
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", WITHHELD if looks_secret(key) and value is not None else redacted(value)
