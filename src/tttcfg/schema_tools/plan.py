"""From the differences between the newest frozen schema and the code, and its author's answers, to a step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tttcfg.errors import Problem
from tttcfg.migration.chain import Migration
from tttcfg.migration.held import RenameVariant
from tttcfg.migration.operations import (
    Add,
    Convert,
    Declare,
    Operation,
    Redeclare,
    Remove,
    Rename,
    Withhold,
    removing_section,
)
from tttcfg.schema.containment import contains
from tttcfg.schema.fragments import EACH, bare, inside
from tttcfg.schema.paths import sections_of
from tttcfg.schema_tools.answers import Absent, Answers
from tttcfg.schema_tools.changes import Fields, SchemaChange, changes, opened
from tttcfg.schema_tools.missing import REASON, misplaced, missing_statements
from tttcfg.schema_tools.variants import variant_changes
from tttcfg.schema_tools.within import HeldSection, around, held_sections, within

REUSED = "needs a name that was never in use: in a file without a version, {was} is the setting of older versions"


class Plan(NamedTuple):
    """The operations that lead from one schema to the next, and the statements that are missing."""

    operations: tuple[Operation, ...]
    missing: tuple[Problem, ...]


def plan(old: Fields, new: Fields, answers: Answers, message: str, secrets: Collection[str] = ()) -> Plan:
    """Return the step from `old` to `new`, as far as `answers` go.

    A rename or a changed field without a reason of its own has that of the whole step, `message`. Another wording of a
    description is not a step, unless a reason states that the meaning changed.

    Args:
        secrets: Fields that documents do not contain; one that was not a secret before, under this name or the one that
            it is renamed from, is withheld, and recorded nowhere.
    """
    answers = answers.by_field(old, new, secrets)
    whole = {was: to for was, to in answers.renamed.items() if inside(old.get(was, {})) and inside(new.get(to, {}))}
    first: list[Operation] = [Rename(was, to, answers.reasons.get(was, message)) for was, to in whole.items()]
    emptied = sections_of(old)
    old = {whole.get(path, path): fragment for path, fragment in old.items()}
    variants = variant_changes(old, new, answers, message)
    first += variants.renames
    old = variants.old
    done = {*whole, *variants.about}
    answers = replace(
        answers,
        renamed={was: to for was, to in answers.renamed.items() if was not in done},
        reasons={path: why for path, why in answers.reasons.items() if path not in done},
    )
    held = held_sections(old, new)
    old, new = opened(old, new)
    hidden = {*secrets, *answers.withheld, *(was for was, now in answers.renamed.items() if now in secrets)}
    answers = answers.over(Answers({}, {was: message for was in answers.renamed if was in hidden}))
    found = changes(old, new, answers.about(old, new, secrets).renamed)
    missing = [*variants.missing, *_across(answers, held), *misplaced(old, new, answers, secrets)]
    missing += missing_statements(found, answers, secrets)
    renamed: list[Operation] = []
    redeclared: list[Operation] = []
    removed: list[Operation] = []
    added: list[Operation] = []
    for change in found:
        reason = answers.reasons.get(change.path) or answers.reasons.get(change.was) or ""
        if change.kind == "renamed":
            renamed.append(Rename(change.was, change.path, reason or message))
        if change.kind == "removed":
            gone = Withhold if change.path in hidden else Remove
            removed.append(gone(change.path, reason or REASON))
        elif change.kind == "added":
            meant = answers.absent.get(change.path, Absent(None, REASON))
            added.append(Add(change.path, bare(change.new), meant.value, meant.reason))
        elif change.path in answers.converted:
            redeclared.append(Convert(change.path, unchanged, answers.converted[change.path], bare(change.new)))
        elif change.path in answers.unconverted:
            stay = answers.unconverted[change.path]
            redeclared.append(Redeclare(change.path, bare(change.new), stay, change.other_unit))
        elif bare(change.old) != bare(change.new) or (set(change.semantic) - (set() if reason else {"description"})):
            redeclared.append(_redeclaring(change, reason or message))
    removed += _emptied(emptied | sections_of(old), {*old, *new}, sections_of([*new, *secrets]), message)
    single = [*renamed, *redeclared, *removed, *added]
    return Plan((*first, *within(single, held)), tuple(missing))


def _across(answers: Answers, held: Sequence[HeldSection]) -> Iterator[Problem]:
    """Yield every rename that leaves a section of which there may be several or none, or comes into one."""
    for was, to in answers.renamed.items():
        if around(was, held) != around(to, held):
            message = "is not a rename: one of the two is in a section that may be there several times, or not at all"
            yield Problem("rename", message, f"{was}:{to}")


def _emptied(old: set[str], fields: set[str], new: set[str], reason: str) -> list[Operation]:
    """Return what removes the outermost sections that have become empty: that do not even contain a secret."""
    gone = old - new - fields
    gone = {name for name in gone if not name.endswith((f".{EACH}", "]"))}
    outermost = sorted(name for name in gone if name.rpartition(".")[0] not in gone)
    return [removing_section(name, reason, gone) for name in outermost]


def reused(spellings: Mapping[str, str], fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield every field whose name, or whose section's, was that of another setting in older versions, with that name.

    Configuration files have no version: the two settings could not be distinguished there.
    """
    taken = {was for was, now in spellings.items() if was != now}
    for path in fields:
        yield from ((path, was) for was in sorted(taken & {path, *sections_of([path])}))


def first_step(new: Fields, answers: Answers) -> Plan:
    """Return the operations of the first version.

    A field whose absence is stated to mean something is added, not declared: an extension is younger than the documents
    that it is added to.
    """
    operations: list[Operation] = []
    for path, fragment in new.items():
        meant = answers.absent.get(path)
        declared = (
            Declare(path, bare(fragment)) if meant is None else Add(path, bare(fragment), meant.value, meant.reason)
        )
        operations.append(declared)
    found = [one for one in changes({}, new) if one.path in answers.absent]
    return Plan(tuple(operations), (*misplaced({}, new, answers), *missing_statements(found, answers)))


def answered(migration: Migration) -> Answers:
    """Return the answers that an existing step contains, for making it again."""
    operations = [single for one in migration.operations for single in one.singly()]
    return Answers(
        {one.path: Absent(one.fill, one.reason) for one in operations if isinstance(one, Add)},
        {
            name: one.why
            for one in operations
            if not isinstance(one, (Add, Declare))
            for name in ({*one.spellings()} if isinstance(one, RenameVariant) else {one.path, *one.spellings()})
        },
        {
            was: to
            for one in operations
            if isinstance(one, (Rename, RenameVariant))
            for was, to in one.spellings().items()
        },
        frozenset(one.path for one in operations if isinstance(one, Withhold)),
        {one.path: one.reason for one in operations if isinstance(one, Convert)},
        {one.path: one.reason for one in operations if isinstance(one, Redeclare) and one.unit},
    )


def _redeclaring(change: SchemaChange, reason: str) -> Operation:
    """Return the operation for a changed field; if it may refuse old values, with a function that is to be written."""
    fragment = bare(change.new)
    if contains(change.new, change.old) is True:
        return Redeclare(change.path, fragment, reason)
    return Convert(change.path, unchanged, reason, fragment)


def unchanged(value: Any) -> Any:
    """Return `value`: the placeholder for a conversion that is to be written."""
    return value
