"""Following the parent of a family: its next versions as steps of the family's own history."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

from tttcfg.errors import InputError, Problem
from tttcfg.family.family import Family
from tttcfg.family.json_schema import framed_schema, model_schema
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.inherited import inherited
from tttcfg.schema.fragments import Fragment, bare, body_of, fields_of, properties_at, section
from tttcfg.schema.paths import split
from tttcfg.schema_tools.codegen import inherited_source
from tttcfg.schema_tools.conflicts import Meeting, Sides, opened_fields
from tttcfg.schema_tools.frozen import Frozen, drift, read_frozen
from tttcfg.schema_tools.layout import History, class_name, problem_in, shown
from tttcfg.schema_tools.released import Released, read_released


class Inherited(NamedTuple):
    """A step that takes over one of the parent: its migration and file, the frozen schema after it, and notes."""

    migration: Migration
    source: str
    schema: Fragment
    notes: tuple[str, ...]


def followed(steps: Iterable[Migration]) -> int:
    """Return the newest version of the parent that steps take over; -1 for none."""
    return max((one.parent for one in steps if one.parent is not None), default=-1)


def waiting(parent: Family, steps: Iterable[Migration]) -> tuple[Migration, ...]:
    """Return the steps of a family's parent that its own steps do not take over yet."""
    return parent.chain.migrations[followed(steps) + 1 :]


def misplaced_steps(history: History, chain: Chain) -> Iterator[Problem]:
    """Yield what keeps the steps from taking over the versions of the parent from the first on, each once."""
    parent, wanted = history.family.parent, 0
    for step in chain.migrations:
        path = history.step(step.version)
        if parent is None and step.parent is not None:
            message = "takes over a step of a parent, and the family declares none"
            yield problem_in(path, "step", message, "declare it: Family(…, parent=…)")
        elif parent is not None and step.version == 0 and step.parent is None:
            advice = f"remove the history, and write it: {history.command('new MESSAGE')}"
            message = f"is a step of its own, and the history of {history.family.name} begins with that of"
            yield problem_in(path, "step", f"{message} {parent.name}", advice)
        elif parent is not None and step.parent is not None:
            if step.parent != wanted:
                message = f"takes over version {step.parent} of {parent.name}, and version {wanted} is the next"
                yield problem_in(path, "step", message, "take over every version once, in their order")
            wanted = step.parent + 1


def unfollowed(history: History, chain: Chain, frozen: Frozen) -> Iterator[Problem]:
    """Yield every version of the parent that the steps do not take over, and what is in the way."""
    parent = history.family.parent
    if parent is None:
        return
    in_the_way = list(unready(parent))
    yield from in_the_way
    missing = () if in_the_way else waiting(parent, chain.migrations)
    for step in missing:
        message = f"there is no step for version {step.version} of {parent.name} ({step.summary})"
        yield problem_in(history.migrations, "step", message, f"write it: {history.command('new')}")
    if missing and (chain.head in frozen or not chain.migrations):
        try:
            following(history, chain.migrations, frozen)
        except InputError as error:
            for one in error.problems:
                yield problem_in(history.migrations, one.code, f"{one.key} {one.message}", one.advice)


def unready(parent: Family) -> Iterator[Problem]:
    """Yield why a family cannot be followed: its code has to agree with its newest version, and that be released."""
    history = History(parent, Path(), f" --family {_reference(parent)}")
    try:
        _ = parent.chain.introduced
        frozen, problems = read_frozen(history, parent.head)
        released = read_released(history)
    except Exception as error:  # whatever the modules of its history raise
        frozen, released, problems = {}, Released(), [Problem("step", f"{type(error).__name__}: {error}")]
    if problems:
        message = f"the history of the parent {parent.name} cannot be used: {problems[0].message}"
        yield problem_in(history.migrations, "step", message, f"see {history.command('check')}")
        return
    whole = not released.versions or released.newest >= parent.head  # a history written by hand may have no record
    if next(drift(history, frozen, released.newest >= parent.head), None) is not None:
        message = f"the parent {parent.name} has changes that are in no version of it"
        amend = history.command('new "message"' if whole else "new --amend")
        yield Problem("step", message, place=class_name(parent.model), advice=f"write its version first: {amend}")
    elif not whole:
        message = f"version {parent.head} of the parent {parent.name} is not released, and may still change"
        yield problem_in(history.migrations, "step", message, f"release it first: {history.command('freeze')}")


def refuse_behind(history: History, steps: Iterable[Migration]) -> None:
    """Raise an InputError where the parent cannot be followed, or has a version that the steps do not take over."""
    parent = history.family.parent
    if parent is None:
        return
    if problems := list(unready(parent)):
        raise InputError(problems)
    if waiting(parent, steps):
        message = f"{parent.name} has a version that is not followed: {history.command('new')}"
        raise InputError(Problem("schema", message, place=shown(history.migrations)))


def _reference(family: Family) -> str:
    """Return what `--family` takes for a family: where its model's module declares it, or else its name."""
    module = family.model.__module__
    declared = (name for name, one in vars(sys.modules[module]).items() if one is family)
    return next((f"{module}:{name}" for name in declared), family.name)


def following(
    history: History, known: Sequence[Migration], frozen: Mapping[int, Fragment], own: Collection[str] = ()
) -> list[Inherited]:
    """Return the steps for the versions of the parent that a history does not take over yet; none without a parent.

    Args:
        known: The steps of the history.
        frozen: Their schemas.
        own: Fields of which the author states that they stay the family's own.

    Raises:
        InputError: The parent cannot be followed, or it is not clear what becomes of a field of the family's own.
    """
    family, parent = history.family, history.family.parent
    if parent is None:
        return []
    if problems := list(unready(parent)):
        raise InputError(problems)
    newest = len(known) - 1
    if known and newest not in frozen:
        raise InputError(problem_in(history.schema(newest), "schema", "is missing", history.command("new --amend")))
    theirs = read_frozen(History(parent, Path()), parent.head)[0]
    model = dict(opened_fields(fields_of(model_schema(family))))
    before = section(body_of(frozen[newest]["properties"])) if known else section()
    steps, found = list(known), list[Inherited]()
    for step in waiting(parent, known):
        there = fields_of(theirs[step.version - 1]) if step.version else {}
        sides = Sides(
            f"version {step.version} of {parent.name}",
            dict(opened_fields(there)),
            dict(opened_fields(fields_of(before))),
            model,
            {was for was, now in Chain(steps).spellings.items() if was != now},
            parent.chain.spellings,
            own,
        )
        meeting = Meeting(step.operations, sides)
        problems += meeting.problems
        one = _inherited(history, step, meeting, before, theirs[step.version], len(steps))
        before = section(body_of(one.schema["properties"]))
        steps.append(one.migration)
        found.append(one)
    problems += [Problem("override", "--own names no field", name) for name in sorted({*own} - model.keys())]
    if problems:
        raise InputError(problems)
    return found


def _inherited(
    history: History, step: Migration, meeting: Meeting, before: Fragment, theirs: Fragment, version: int
) -> Inherited:
    """Return what takes over a step of the parent as that to `version`, from the schema `before` it."""
    family, parent = history.family, history.family.parent
    assert parent is not None
    migration = inherited(step, version=version, without=meeting.without, declared=meeting.declared)
    schema = _annotated(migration, before, fields_of(theirs))
    module = next(name for name, one in parent.steps.items() if one == step.version)
    source = inherited_source(
        migration, parent.name, f"{parent.migrations}.{module}", sorted(meeting.without), meeting.declared
    )
    return Inherited(migration, source, framed_schema(family, migration, schema), tuple(meeting.notes))


def _annotated(step: Migration, before: Fragment, theirs: Mapping[str, Fragment]) -> Fragment:
    """Return the schema that a step makes, in which the parent's fields have their descriptions, units and roles."""
    schema = section(deepcopy(before["properties"]))
    step.apply_to_schema(schema)
    for path, fragment in fields_of(schema).items():
        if path in theirs and bare(theirs[path]) == bare(fragment):
            properties_at(schema, split(path))[split(path)[-1]] = theirs[path]
    return schema
