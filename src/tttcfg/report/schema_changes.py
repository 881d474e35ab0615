"""The differences between two versions as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tttcfg.report.render import Ink, table, value_text
from tttcfg.schema.fragments import Shape, allowed, default_of, has_default
from tttcfg.schema_tools.changes import Change, compatibility, described

_KEYS = {"unit": "x-unit", "role": "x-role", "description": "description"}


def change_json(change: Change) -> dict[str, Any]:
    return {**change._asdict(), "compatibility": change.compatibility}


def changes_text(found: Sequence[Change], ink: Ink) -> str:
    """Return a table of changes, and the class of all together."""
    rows = [("KEY", "CHANGE", "CLASS", "WHAT")]
    rows += [(one.path, one.kind, _class(one), "; ".join(_parts(one))) for one in found]
    semantic = " and semantic" if any(one.semantic for one in found) else ""
    return table(rows, ink, ("cyan",)) + f"together: {compatibility(found)}{semantic}\n"


def _class(change: Change) -> str:
    return f"{change.compatibility}, semantic" if change.semantic else change.compatibility


def _parts(change: Change) -> list[str]:
    """Return what changed of a field: where it was, what it allows, what it means."""
    found = [f"was {change.was}"] if change.kind == "renamed" else []
    if change.old is None or change.new is None:
        whole = change.new or change.old or {}
        found.append(described(whole) + (f", by default {_meaning(whole, 'default')}" if has_default(whole) else ""))
    else:
        if allowed(change.old) != allowed(change.new):
            found.append(f"{described(change.old)} -> {described(change.new)}")
        for name in change.semantic:
            old, new = (_meaning(shape, name) for shape in (change.old, change.new))
            found.append(f"{name} {old} -> {new}")
    return [*found, *([change.note] if change.note else [])]


def _meaning(shape: Shape, name: str) -> str:
    return value_text(default_of(shape) if name == "default" else shape.get(_KEYS[name]))
