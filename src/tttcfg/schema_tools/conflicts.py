"""Where a step of a family's parent meets fields that the family declares itself, and what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from tttcfg.errors import Problem
from tttcfg.migration.operations import Operation
from tttcfg.schema.containment import contains
from tttcfg.schema.fragments import Fragment, bare, emptied, fields_inside, inside, with_inside
from tttcfg.schema.paths import sections_of
from tttcfg.schema_tools.changes import Fields, differs, meaning_of

_OTHER_NAME = "one of the two needs another name: that of a version which is not released can still be changed"
_BY_HAND = "write the step by hand, with the operations that apply (docs/inheritance.md), then new --amend"
_MOVING = ("renamed", "promoted", "merged", "split")


class Sides(NamedTuple):
    """What a step of the parent is taken over into. Fields inside of others are among the fields.

    Attributes:
        parent: The parent's version that the step leads to, in words.
        theirs: The parent's fields before the step.
        ours: The family's fields before it.
        model: The family's fields in the code.
        old_names: The names that fields of the family had in older versions.
        now: The current name of each field that the parent renames, then or later.
        own: Fields of which the author states that they stay the family's own.
    """

    parent: str
    theirs: Fields
    ours: Fields
    model: Fields
    old_names: Collection[str]
    now: Mapping[str, str]
    own: Collection[str]


class Meeting:
    """What becomes of operations on fields that the family declares itself.

    Attributes:
        without: Fields whose operations are left out.
        declared: Fields that have the family's JSON Schema after a conversion.
        problems: What is not clear, with what to do.
        notes: What was decided automatically.
    """

    def __init__(self, operations: Sequence[Operation], sides: Sides) -> None:
        self.without: set[str] = set()
        self.declared: dict[str, Fragment] = {}
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._sides = sides
        self._was: dict[str, str] = {}  # the name before the step of what it has renamed
        for whole in operations:
            for one in whole.singly():
                for path in _created(one):
                    self._create(one, path, alone=one is whole)
                for path in _used(one):
                    self._use(one, path, alone=one is whole)
                if one.kind == "renamed":
                    self._was[getattr(one, "to", "")] = self._was.get(one.path, one.path)

    def _create(self, one: Operation, path: str, *, alone: bool) -> None:
        """Decide about an operation after which there is a field at `path`."""
        sides, names = self._sides, {path, *sections_of([path])}
        if path in sides.theirs:
            return
        own = sides.ours.keys() - sides.theirs.keys()
        clashing = sorted(names & own) or sorted({path} & sections_of(own))
        if path in own and one.kind == "added" and alone:
            self._keep(path, "is added, and is a field here already", f"both are one setting; otherwise {_OTHER_NAME}")
        elif clashing:
            self._refuse(path, f"is {one.kind}, and {clashing[0]} is of this family itself", _OTHER_NAME)
        elif old := sorted(names & set(sides.old_names)):
            self._refuse(path, f"is {one.kind}, and {old[0]} is a setting of older versions here", _OTHER_NAME)

    def _use(self, one: Operation, path: str, *, alone: bool) -> None:
        """Decide about an operation on what is at `path` before it."""
        sides, was = self._sides, self._was.get(path, path)
        if was not in sides.theirs:  # a section, which goes with the last field in it; or what the step itself has made
            own = (name for name in sides.ours if name.startswith(f"{path}.") and name not in sides.theirs)
            if one.kind == "removed" and any(own):
                self.without.add(path)
        elif was not in sides.ours:
            self._refuse(path, f"is {one.kind}, and is not a field here any more", _BY_HAND)
        elif one.kind == "removed" and path in sides.model and alone:
            self._keep(path, "is removed, and is declared here", "it stays a setting here; otherwise remove it as well")
        elif one.kind in _MOVING and path in sides.model:
            self._refuse(path, f"is {one.kind}, and is declared here", "declare it here as the parent does now")
        elif one.kind in ("redeclared", "converted") and differs(sides.theirs[was], sides.ours[was]):
            self._redeclare(one, path, sides.ours[was], alone=alone)

    def _redeclare(self, one: Operation, path: str, ours: Fragment, *, alone: bool) -> None:
        """Decide about an operation that gives another schema to a field which this family declares otherwise."""
        sides, stated = self._sides, path in self._sides.own
        theirs, mine = getattr(one, "fragment", None), sides.model.get(sides.now.get(path, path))
        converted = one.kind == "converted"
        if theirs is None or mine is None or (bare(mine) == bare(theirs) and (converted or contains(mine, ours))):
            return
        restated = differs(ours, mine)
        renamed_unit = getattr(one, "unit", "") not in ("", meaning_of(mine, "unit"))
        if not alone:
            self._refuse(path, f"is {one.kind}, and is declared otherwise here, inside of a field", _BY_HAND)
        elif (converted and (stated or restated)) or (not converted and restated and contains(mine, ours) is True):
            self.declared[path] = bare(mine)
        elif (converted or renamed_unit) and not stated:
            what = f"is {one.kind} ({one.why}), and is declared here as before"
            self._refuse(path, what, f"declare it anew or leave it to the parent, or --own {path} if it stays right")
        else:
            self.without.add(path)
            self.notes.append(f"{path} stays as it is declared here; {sides.parent} redeclares it: {one.why}")

    def _keep(self, path: str, what: str, meaning: str) -> None:
        """Leave out the operation if the author has stated that the field stays the family's own."""
        if path in self._sides.own:
            self.without.add(path)
        else:
            self._refuse(path, what, f"--own {path} if {meaning}")

    def _refuse(self, path: str, what: str, advice: str) -> None:
        self.problems.append(Problem("inherited", f"{what} ({self._sides.parent})", path, advice=advice))


def opened_fields(fields: Fields) -> Iterator[tuple[str, Fragment]]:
    """Yield every field, and those in the sections that it holds, with its own fragment."""
    for path, fragment in fields.items():
        bare_one = fragment
        for held in inside(fragment):
            bare_one = with_inside(bare_one, held, emptied(held))
        yield path, bare_one
        for held in inside(fragment):
            yield from opened_fields(fields_inside(path, held))


def _created(one: Operation) -> tuple[str, ...]:
    """Return the names of the fields that there are after an operation, of which some are new."""
    if one.kind in ("declared", "added", "merged"):
        return (one.path,)
    to: str = getattr(one, "to", "") if one.kind != "variant renamed" else ""
    targets: tuple[str, ...] = getattr(one, "targets", ())
    return (to, *targets) if to else targets


def _used(one: Operation) -> tuple[str, ...]:
    """Return the names of the fields that an operation takes."""
    if one.kind in ("declared", "added"):
        return ()
    sources: tuple[str, ...] = getattr(one, "sources", ())
    return sources or (one.path,)
