"""Operations on what is inside of fields, gathered for each list, mapping, optional section or variant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tttcfg.migration.held import Within, moved
from tttcfg.migration.operations import Operation
from tttcfg.schema.fragments import Fragment, Inside, fields_inside, inside
from tttcfg.schema_tools.changes import Fields, both_hold


class HeldSection(NamedTuple):
    """A section that a field holds before and after a change: the field's path, and what precedes the names inside."""

    path: str
    prefix: str
    own: Inside


def with_inside_names(fields: Fields) -> dict[str, Fragment]:
    """Return fields with those inside of others, and with the variants, each by its name."""
    found: dict[str, Fragment] = {}
    for path, fragment in fields.items():
        found[path] = fragment
        for one in inside(fragment):
            found |= {one.name(path): one.section} if one.variant is not None else {}
            found |= with_inside_names(fields_inside(path, one))
    return found


def held_sections(old: Fields, new: Fields) -> list[HeldSection]:
    """Return the sections in fields that are looked into, those inside of others after these."""
    found = []
    for path, _, (one, other) in both_hold(old, new):
        found.append(HeldSection(path, one.prefix(path), one))
        found += held_sections(fields_inside(path, one), fields_inside(path, other))
    return found


def around(path: str, held: Iterable[HeldSection]) -> str:
    """Return what precedes the names inside the innermost section that a path is in, or nothing."""
    return max((one.prefix for one in held if path.startswith(one.prefix)), key=len, default="")


def within(operations: Sequence[Operation], held: Sequence[HeldSection], prefix: str = "") -> Iterator[Operation]:
    """Yield operations with those inside a list, a mapping or a section that may be null gathered for each of these."""
    own = [one for one in held if one.path.startswith(prefix)]
    outer = [one for one in own if not around(one.path, own)]
    for operation in operations:
        if not any(operation.path.startswith(one.prefix) for one in outer):
            yield moved(operation, lambda path: path.removeprefix(prefix))
    for one in outer:
        below = [operation for operation in operations if operation.path.startswith(one.prefix)]
        if below:
            inner = tuple(within(below, own, one.prefix))
            yield Within(one.path.removeprefix(prefix), inner, one.own.each, one.own.variant)
