"""From what differs between the newest frozen schema and the code, and what its author says of it, to a step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from tttcfg.errors import Problem
from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Convert, Declare, Operation, Remove, Rename, Reshape, Withhold
from tttcfg.schema.containment import contains
from tttcfg.schema.fragments import bare
from tttcfg.schema_tools.answers import Absent, Answers
from tttcfg.schema_tools.changes import Change, Fields, changes
from tttcfg.schema_tools.missing import REASON, misplaced, missing_statements

REUSED = "needs a name that was never in use: a file without a version that says {was} means what older ones called so"


class Plan(NamedTuple):
    """The operations that lead from one schema to the next, and the statements that are missing."""

    operations: tuple[Operation, ...]
    missing: tuple[Problem, ...]
    changes: tuple[Change, ...]


def plan(old: Fields, new: Fields, answers: Answers, message: str, secrets: Collection[str] = ()) -> Plan:
    """Return the step from `old` to `new`, as far as `answers` go.

    A rename or a changed shape that nobody gives a reason for has that of the whole step, `message`. Another wording of
    a description is no step, unless a reason says that the meaning changed.

    Args:
        secrets: Fields that no document holds; one that was no secret before, under this name or one that it is renamed
            from, is withheld, and recorded nowhere.
    """
    answers = answers.by_field(old, new, secrets)
    hidden = {*secrets, *answers.withheld, *(was for was, now in answers.renamed.items() if now in secrets)}
    answers = answers.over(Answers({}, {was: message for was in answers.renamed if was in hidden}))
    found = changes(old, new, answers.about(old, new, secrets).renamed)
    missing = [*misplaced(old, new, answers, secrets), *missing_statements(found, answers, secrets)]
    renamed: list[Operation] = []
    reshaped: list[Operation] = []
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
        elif bare(change.old) != bare(change.new) or (set(change.semantic) - (set() if reason else {"description"})):
            reshaped.append(_reshaping(change, reason or message))
    removed += [Remove(name, message) for name in _emptied(old, new, secrets)]
    return Plan((*renamed, *reshaped, *removed, *added), tuple(missing), tuple(found))


def _emptied(old: Fields, new: Fields, secrets: Collection[str]) -> list[str]:
    """Return the outermost sections that hold nothing any more, not even a secret."""
    gone = _sections(old) - _sections(new) - _sections(secrets) - new.keys()
    return sorted(name for name in gone if name.rpartition(".")[0] not in gone)


def _sections(paths: Iterable[str]) -> set[str]:
    return {path[:place] for path in paths for place, letter in enumerate(path) if letter == "."}


def reused(spellings: Mapping[str, str], fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield every field that is or is below what older versions called something else, with that old name.

    Configuration files carry no version: what they say under such a name cannot be told from the old setting.
    """
    taken = {was for was, now in spellings.items() if was != now}
    for path in fields:
        yield from ((path, was) for was in sorted(taken & {path, *_sections([path])}))


def first_step(new: Fields, answers: Answers) -> Plan:
    """Return the operations of the first version.

    A field whose absence is said to mean something is added, not declared: an extension is younger than the documents
    that it comes into.
    """
    operations: list[Operation] = []
    for path, shape in new.items():
        meant = answers.absent.get(path)
        declared = Declare(path, bare(shape)) if meant is None else Add(path, bare(shape), meant.value, meant.reason)
        operations.append(declared)
    found = [one for one in changes({}, new) if one.path in answers.absent]
    return Plan(tuple(operations), (*misplaced({}, new, answers), *missing_statements(found, answers)), ())


def answered(migration: Migration) -> Answers:
    """Return what an existing step says, for making it anew."""
    answers = Answers({}, {}, {})
    for one in migration.operations:
        if isinstance(one, Add):
            answers = replace(answers, absent={**answers.absent, one.path: Absent(one.fill, one.reason)})
        elif isinstance(one, Rename):
            answers = replace(answers, renamed={**answers.renamed, one.path: one.to})
        elif isinstance(one, Withhold):
            answers = replace(answers, withheld=answers.withheld | {one.path})
        if not isinstance(one, (Add, Declare)):
            answers = replace(answers, reasons={**answers.reasons, one.path: one.why})
    return answers


def _reshaping(change: Change, reason: str) -> Operation:
    """Return the operation for another shape; where old values may not do, a function that is still to be written."""
    shape = bare(change.new)
    if contains(change.new, change.old) is True:
        return Reshape(change.path, shape, reason)
    return Convert(change.path, unchanged, reason, shape)


def unchanged(value: Any) -> Any:
    """Stand for a conversion that is still to be written."""
    return value
