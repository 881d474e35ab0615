"""The history of a family's schema, from its migrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tttcfg.family.family import Family
from tttcfg.migration.chain import Migration, as_written
from tttcfg.migration.held import RenameVariant
from tttcfg.migration.operations import Add, By, Computed, Operation, Promote, Redeclare, Rename
from tttcfg.migration.reshaping import Merge, Split
from tttcfg.report.render import value_text


def operation_line(operation: Operation) -> str:
    """Return what one operation does, as a line of a changelog."""
    if isinstance(operation, Add):
        before = operation.fill.text if isinstance(operation.fill, (By, Computed)) else value_text(operation.fill)
        return f"added {operation.path}; before: {before} ({operation.why})"
    if isinstance(operation, Promote):
        return f"typed {operation.path} as {operation.to}; absent: {value_text(operation.fill)}"
    if isinstance(operation, Rename):
        return f"renamed {operation.path} to {operation.to}: {operation.why}"
    if isinstance(operation, RenameVariant):
        return f"renamed variant {operation.was} of {operation.path} to {operation.to}: {operation.why}"
    if isinstance(operation, Merge):
        return f"merged {' and '.join(operation.sources)} into {operation.path}: {operation.why}"
    if isinstance(operation, Split):
        return f"split {operation.path} into {' and '.join(operation.targets)}: {operation.why}"
    if isinstance(operation, Redeclare) and operation.unit:
        return f"redeclared {operation.path}, whose numbers stay, in {operation.unit}: {operation.why}"
    return f"{operation.kind} {operation.path}" + (f": {operation.why}" if operation.why else "")


def field_history(family: Family, name: str) -> list[str]:
    """Return what every version did to the field that is called `name` today, the oldest first."""
    names, lines = {name}, []
    for migration in reversed(family.chain.migrations):
        single = [one for operation in migration.operations for one in operation.singly()]
        for operation in reversed(single):
            path = as_written(operation.path)
            inside = any(path.startswith(f"{one}.") for one in names)
            if names & {as_written(getattr(operation, "to", "")), *getattr(operation, "targets", ())}:
                names.add(path)
            elif path in names:
                names.update(getattr(operation, "sources", ()))
            elif not (inside or any(one == path or one.startswith(f"{path}.") for one in names)):
                continue
            lines.append(f"version {migration.version}{_inherited(family, migration)}: {operation_line(operation)}")
    return lines[::-1]


def _inherited(family: Family, migration: Migration) -> str:
    """Return which version of the parent a version takes over, if it does."""
    if family.parent is None or migration.parent is None:
        return ""
    return f" (version {migration.parent} of {family.parent.name})"


def versions(family: Family) -> Iterator[dict[str, Any]]:
    """Yield each version with its date, summary, evidence and operations; and the parent's, where it takes one over."""
    for migration in family.chain.migrations:
        parent = {"parent": {"family": family.parent.name, "version": migration.parent}} if family.parent else {}
        yield {
            "version": migration.version,
            **(parent if migration.parent is not None else {}),
            "date": migration.date,
            "summary": migration.summary,
            "evidence": migration.evidence,
            "operations": [
                {"kind": operation.kind, "key": operation.path, "line": operation_line(operation)}
                for whole in migration.operations
                for operation in whole.singly()
            ],
        }
