"""From what differs between the newest frozen schema and the code, and what its author says of it, to a step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from tttcfg.containment import accepts, contains
from tttcfg.evolution.changes import Change, Fields, changes
from tttcfg.migration import Migration
from tttcfg.operations import Add, Convert, Declare, Operation, Remove, Rename, Reshape, Withhold
from tttcfg.shapes import bare

VALUE, REASON = "VALUE", "REASON"
"""What stands in a command line for what its author has to say."""
REUSED = "needs a name that was never in use: a file without a version that says {was} means what older ones called so"
_ALIKE = 0.6
"""How alike two names are, from 0 to 1, at least, for one to be the other's new one."""


class Absent(NamedTuple):
    """What the absence of a field meant: the value that programs took, and why."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Answers:
    """What the author of a change says of it, by dotted path.

    Attributes:
        absent: Of each new field, what its absence meant before.
        reasons: Of each field that is gone or changed, why.
        renamed: The new path of each field that has another now.
    """

    absent: Mapping[str, Absent] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: Answers) -> Answers:
        """Return these answers, and those of `other` where these say nothing."""
        kept = {was: now for was, now in other.renamed.items() if now not in self.absent}
        return Answers({**other.absent, **self.absent}, {**other.reasons, **self.reasons}, {**kept, **self.renamed})

    def about(self, old: Fields, new: Fields) -> Answers:
        """Return those answers that are about a change between two schemas."""
        renamed = {
            was: now
            for was, now in self.renamed.items()
            if was in old and was not in new and now in new and now not in old
        }
        absent = {path: meant for path, meant in self.absent.items() if path in new and path not in old}
        known = {*old, *renamed.values()}
        return Answers(absent, {path: why for path, why in self.reasons.items() if path in known}, renamed)


class Lack(NamedTuple):
    """Something that only the author of a change can say: of which field, what, and the options that say it.

    Attributes:
        kind: `absent` or `reason`.
        maybe: The old field that this new one may be, under another name.
    """

    kind: str
    path: str
    message: str
    option: str
    maybe: str = ""


class Plan(NamedTuple):
    """The operations that lead from one schema to the next, and what is not said yet."""

    operations: tuple[Operation, ...]
    lacks: tuple[Lack, ...]
    changes: tuple[Change, ...]


def plan(old: Fields, new: Fields, answers: Answers, message: str, secrets: Collection[str] = ()) -> Plan:
    """Return the step from `old` to `new`, as far as `answers` go.

    A rename or a changed shape that nobody gives a reason for has that of the whole step, `message`. Another wording of
    a description is no step, unless a reason says that the meaning changed.

    Args:
        secrets: Fields that no document holds; one that was no secret before is withheld, and recorded nowhere.
    """
    found = changes(old, new, answers.renamed)
    lacks = [*_misplaced(old, new, answers), *_unsaid(found, answers)]
    renamed: list[Operation] = []
    reshaped: list[Operation] = []
    removed: list[Operation] = []
    added: list[Operation] = []
    for change in found:
        reason = answers.reasons.get(change.path) or answers.reasons.get(change.was) or ""
        if change.kind == "renamed":
            renamed.append(Rename(change.was, change.path, reason or message))
        if change.kind == "removed":
            gone = Withhold if change.path in secrets else Remove
            removed.append(gone(change.path, reason or REASON))
        elif change.kind == "added":
            meant = answers.absent.get(change.path, Absent(None, REASON))
            added.append(Add(change.path, bare(change.new), meant.value, meant.reason))
        elif bare(change.old) != bare(change.new) or (set(change.semantic) - (set() if reason else {"description"})):
            reshaped.append(_reshaping(change, reason or message))
    removed += [Remove(name, message) for name in _emptied(old, new, secrets)]
    return Plan((*renamed, *reshaped, *removed, *added), tuple(lacks), tuple(found))


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
    return Plan(tuple(operations), (*_misplaced({}, new, answers), *_unsaid(found, answers)), ())


def answered(migration: Migration) -> Answers:
    """Return what an existing step says, for making it anew."""
    answers = Answers({}, {}, {})
    for one in migration.operations:
        if isinstance(one, Add):
            answers = replace(answers, absent={**answers.absent, one.path: Absent(one.fill, one.reason)})
        elif isinstance(one, Rename):
            answers = replace(answers, renamed={**answers.renamed, one.path: one.to})
        if not isinstance(one, (Add, Declare)):
            answers = replace(answers, reasons={**answers.reasons, one.path: one.why})
    return answers


def likely_renames(found: tuple[Change, ...]) -> dict[str, str]:
    """Return the old field that each new one may be under another name: the most alike, each once."""
    scored = sorted(
        (
            (_likeness(gone, new), new.path, gone.path)
            for gone in found
            for new in found
            if gone.kind == "removed" and new.kind == "added"
        ),
        reverse=True,
    )
    pairs: dict[str, str] = {}
    for score, path, was in scored:
        if score >= _ALIKE and path not in pairs and was not in pairs.values():
            pairs[path] = was
    return pairs


def _likeness(gone: Change, new: Change) -> float:
    """Return how likely it is that one field is the other: by name, for shapes of which one allows all of the other."""
    if gone.old is None or new.new is None:
        return 0.0
    if not (contains(gone.old, new.new) or contains(new.new, gone.old)):
        return 0.0
    explained = gone.old.get("description")
    if explained and explained == new.new.get("description"):
        return 1.0
    section, _, last = gone.path.rpartition(".")
    other_section, _, other_last = new.path.rpartition(".")
    if last == other_last:
        return 0.95
    alike = SequenceMatcher(None, last, other_last).ratio()
    parted = set(last.split("_")) & set(other_last.split("_"))
    return max(alike, _ALIKE if parted and section == other_section else 0.0)


def _reshaping(change: Change, reason: str) -> Operation:
    """Return the operation for another shape; where old values may not do, a function that is still to be written."""
    shape = bare(change.new)
    if contains(change.new, change.old) is True:
        return Reshape(change.path, shape, reason)
    return Convert(change.path, unchanged, reason, shape)


def unchanged(value: Any) -> Any:
    """Stand for a conversion that is still to be written."""
    return value


def _unsaid(found: list[Change], answers: Answers) -> Iterator[Lack]:
    """Yield what has to be said of the changes and is not."""
    maybe = likely_renames(tuple(one for one in found if one.path not in answers.absent))
    for change in found:
        if change.kind == "added":
            yield from _unsaid_of_added(change, answers, maybe.get(change.path, ""))
        elif change.kind == "removed" and not said(answers.reasons.get(change.path, "")):
            message = "is gone; say why"
            yield Lack("reason", change.path, message, f"--reason '{change.path}: {REASON}'")


def _unsaid_of_added(change: Change, answers: Answers, was: str) -> Iterator[Lack]:
    path, meant = change.path, answers.absent.get(change.path)
    option = f"--absent '{path}={VALUE}: {REASON}'"
    if meant is None:
        message = "is new; say what its absence meant: the value that the program took before, and why"
        hint = f" (or is it {was} by a new name? then --rename {was}:{path})" if was else ""
        yield Lack("absent", path, message + hint, option, was)
    elif not said(meant.reason):
        yield Lack("absent", path, "is new; say why its absence meant that value", option)
    elif accepts(change.new, meant.value) is False:
        message = f"is new, and does not allow {meant.value!r}, which its absence is said to have meant"
        yield Lack("absent", path, message, option)


def said(reason: str) -> bool:
    """Whether a reason was given: not an empty one, nor the word that stands for one."""
    return reason.strip() not in ("", REASON)


def _misplaced(old: Fields, new: Fields, answers: Answers) -> Iterator[Lack]:
    """Yield the answers that are about no change at all: a slip that would leave something else unsaid."""
    apt = answers.about(old, new)
    for was, now in sorted(answers.renamed.items() - apt.renamed.items()):
        yield Lack("rename", f"{was}:{now}", "is no rename: the one has to be gone, and the other new", "")
    targets = list(answers.renamed.values())
    for path in sorted({path for path in targets if targets.count(path) > 1}):
        yield Lack("rename", path, "is the new name of more than one field", "")
    for path in sorted(answers.absent.keys() - apt.absent.keys()):
        yield Lack("absent", path, "is not a new field", "")
    for path in sorted(answers.reasons.keys() - apt.reasons.keys()):
        yield Lack("reason", path, "is not a field that is gone or changed", "")
