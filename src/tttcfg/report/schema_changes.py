"""The differences between two versions of a schema as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tttcfg.report.render import Ink, table, value_pair, value_text
from tttcfg.schema.fragments import allowed, has_default
from tttcfg.schema_tools.changes import SchemaChange, compatibility, described, meaning_of


def change_json(change: SchemaChange) -> dict[str, Any]:
    values = change._asdict()
    return {"key": values.pop("path"), **values, "compatibility": change.compatibility}


def changes_text(found: Sequence[SchemaChange], ink: Ink) -> str:
    """Return a table of changes, and the class of all together."""
    rows = [("KEY", "CHANGE", "CLASS", "WHAT")]
    for one in found:
        kind = f"{one.compatibility}, semantic" if one.semantic else one.compatibility
        rows.append((one.path, one.kind, kind, "; ".join(_parts(one))))
    semantic = " and semantic" if any(one.semantic for one in found) else ""
    return table(rows, ink, ("cyan",)) + f"together: {compatibility(found)}{semantic}\n"


def _parts(change: SchemaChange) -> list[str]:
    """Return what changed of a field: where it was, what it allows, what it means."""
    found = [f"was {change.was}"] if change.kind == "renamed" else []
    if change.old is None or change.new is None:
        whole = change.new or change.old or {}
        default = f", by default {value_text(meaning_of(whole, 'default'))}" if has_default(whole) else ""
        found.append(described(whole) + default)
    else:
        if allowed(change.old) != allowed(change.new):
            found.append(f"{described(change.old)} -> {described(change.new)}")
        for name in change.semantic:
            old, new = value_pair(*(meaning_of(fragment, name) for fragment in (change.old, change.new)))
            found.append(f"{name} {old} -> {new}")
    return [*found, *([change.note] if change.note else [])]
