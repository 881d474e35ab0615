"""What overrides set, brought to today's names and meanings together: what two old settings became, both decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.family import Family
from tttcfg.family.plugged import spellings_of
from tttcfg.formats.text import ParsedFile
from tttcfg.resolving.config import Given, given_in_part
from tttcfg.resolving.variants import Held, ways
from tttcfg.schema.paths import Path, Tree, set_path, split

if TYPE_CHECKING:
    from tttcfg.migration.chain import Chain

VERSION = "schema_version"


class Assignment(NamedTuple):
    """One key that is set to a value: any name of a field, or a section; `where` is its place among all overrides."""

    path: Path
    value: Any
    where: str

    @property
    def name(self) -> str:
        return ".".join(self.path)


class Part(NamedTuple):
    """What assignments give where fields hold certain variants: values, or why there are none.

    Attributes:
        held: These variants, by the names of the fields; of no others does it depend.
    """

    given: Given
    held: Held
    refused: tuple[Problem, ...] = ()


def read_assignments(given: Sequence[Assignment], family: Family) -> list[Part]:
    """Return what the assignments give, in several parts where one replaces another; the later part is used.

    One of them may be the `schema_version` that all are read in. What is set inside of a variant that no assignment
    states is read as of each that it may be.

    Args:
        given: With plain values.

    Raises:
        InputError: A key or value is refused, whichever variants there are; all problems of all parts.
    """
    found: list[Part] = []
    problems: list[Problem] = []
    version = [one for one in given if one.path == (VERSION,)][-1:]
    for layer in _layers([one for one in given if one.path != (VERSION,)], family):
        for group in _by_variants(layer, family):
            tree: Tree = {}
            for one in (*group, *version):
                set_path(tree, one.path, one.value)
            own = (*group, *version)
            places = {path: Place(one.where) for one in own for path in (one.path, _now(one.name, family))}
            alone = group[0].where if len(group) == 1 else "overrides"
            parsed = ParsedFile(tree, places, alone)
            parts = [_part(parsed, family, held) for held in ways(tree, family)]
            refused = [one for one in parts if one.refused]
            if len(refused) == len(parts):
                problems += min(refused, key=_unfitting).refused
            found += parts
    if problems:
        raise InputError(dict.fromkeys(problems))
    return found


def _part(parsed: ParsedFile, family: Family, held: Held) -> Part:
    try:
        given = given_in_part(parsed, family, held)
        return Part(given, {**given.variants, **held})
    except InputError as error:
        return Part(Given({}, {}), held, tuple(one._replace(place=str(one.place)) for one in error.problems))


def _unfitting(part: Part) -> int:
    """Return how many keys the variants of a part do not have: where there are few, it is about these."""
    return sum(one.code in ("unknown_key", "conflict") for one in part.refused)


def _by_variants(layer: Sequence[Assignment], family: Family) -> list[list[Assignment]]:
    """Return assignments in groups of which one at most is inside of a field that holds variants."""
    groups: dict[str, list[Assignment]] = {}
    for one in layer:
        now = (_now(".".join(one.path[:depth]), family) for depth in range(1, len(one.path) + 1))
        held = {field.path: field.name for field in family.variant_fields if not field.around}
        groups.setdefault(next((held[path] for path in now if path in held), ""), []).append(one)
    return list(groups.values())


def _layers(given: Sequence[Assignment], family: Family) -> list[list[Assignment]]:
    """Return assignments in groups in which none replaces another one, as few as possible.

    What replaces one of several settings that became one is read beside the others.
    """
    layers: list[list[Assignment]] = []
    for one in given:
        replaced = [
            level for level, layer in enumerate(layers) if any(_replaces(one, other, family) for other in layer)
        ]
        level = max(replaced, default=-1) + 1
        if level == len(layers):
            layers.append([])
        if replaced:
            beside = [other for layer in layers[:level] for other in layer if _meets(one, other, family)]
            latest = {other.path: other for other in beside if other.path not in {own.path for own in layers[level]}}
            layers[level] += latest.values()
        layers[level].append(one)
    return layers


def _replaces(one: Assignment, other: Assignment, family: Family) -> bool:
    """Whether one assignment is of what another one is of, or of a part of it, by whatever name."""
    if one.path[: len(other.path)] == other.path or other.path[: len(one.path)] == one.path:
        return True
    names = {one.name, other.name}
    if names <= family.fields.keys() or names & family.sections:
        return not names <= family.fields.keys()
    now = {spellings_of(family).get(name, name) for name in names}
    return len(now) == 1 and "" not in now and not _meets(one, other, family)


def _now(name: str, family: Family) -> Path:
    """Return what a field is called today; a section, or what is no field any more, as it was."""
    return split(
        name if name in (*family.fields, *family.sections, VERSION) else spellings_of(family).get(name) or name
    )


def _meets(one: Assignment, other: Assignment, family: Family) -> bool:
    """Whether two settings became one in some version, which both of them decide."""
    if {one.name, other.name} <= family.fields.keys() or one.name == other.name:
        return False
    return _become_one(family.chain, one.name, other.name)


def _become_one(chain: Chain, one: str, other: str) -> bool:
    for migration in chain.migrations:
        for operation in migration.operations:
            now = operation.spellings()
            if one in now and other in now and now[one] == now[other] != "":
                return True
            one, other = now.get(one, one), now.get(other, other)
    return False
