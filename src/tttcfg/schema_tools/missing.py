"""Missing statements: what only the author of a change knows and has to state.

Each is a problem of code `absent`, `reason`, `rename` or `unit`. Its advice is the option that states it; its
suggestion is the old field that a new one may be, or several, or the secret that an old one may have become.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from tttcfg.errors import Problem
from tttcfg.schema.containment import accepts, contains
from tttcfg.schema.fragments import Fragment, allowed, alternatives, default_of
from tttcfg.schema_tools.answers import Answers, no_rename
from tttcfg.schema_tools.changes import Fields, SchemaChange, meaning_of

SEPARATOR = ", "
"""What is between the fields of a suggestion of several."""
VALUE, REASON = "VALUE", "REASON"
"""Placeholders in a command line for what its author has to state."""
_SIMILAR = 0.6
"""The similarity of two names, from 0 to 1, from which one may be the other's new name."""
_LIKELY = 0.7
"""The likeness of two fields, from 0 to 1, from which a command with that rename is printed."""
_NEAR = 0.1
"""Fields whose likeness differs by less may each be the one: that is asked, and no command picks one."""


class Resembling(NamedTuple):
    """The fields on the other side of a change that one may be under another name.

    Attributes:
        fields: The most similar first.
        likely: Whether there is one, and it is likely enough for a command to be printed that renames it.
    """

    fields: tuple[str, ...] = ()
    likely: bool = False


def likely_renames(found: Sequence[SchemaChange]) -> tuple[dict[str, Resembling], dict[str, Resembling]]:
    """Return the old fields that each new one may be, and the new fields that each one that is gone may be."""
    pairs = sorted(
        (
            _Pair(score, new.path, gone.path)
            for gone in found
            for new in found
            if gone.kind == "removed" and new.kind == "added" and (score := _likeness(gone, new))
        ),
        reverse=True,
    )
    new_ones: dict[str, Resembling] = {}
    gone_ones: dict[str, Resembling] = {}
    for pair in pairs:
        left = [one for one in pairs if one.new not in new_ones and one.gone not in gone_ones]
        near = [
            one for one in left if one.score > pair.score - _NEAR and (one.new == pair.new or one.gone == pair.gone)
        ]
        if near == [pair]:
            new_ones[pair.new] = Resembling((pair.gone,), pair.score >= _LIKELY)
            gone_ones[pair.gone] = Resembling((pair.new,), pair.score >= _LIKELY)
    left = [one for one in pairs if one.new not in new_ones and one.gone not in gone_ones]
    new_ones |= _near_each((one.score, one.new, one.gone) for one in left)
    gone_ones |= _near_each((one.score, one.gone, one.new) for one in left)
    return new_ones, gone_ones


def _near_each(scored: Iterable[tuple[float, str, str]]) -> dict[str, Resembling]:
    """Return for each field those that it may be, none of which is much less likely than the first."""
    found: dict[str, list[tuple[float, str]]] = {}
    for score, field, other in scored:
        found.setdefault(field, []).append((score, other))
    return {
        field: Resembling(tuple(other for score, other in others if score > others[0][0] - _NEAR))
        for field, others in found.items()
    }


class _Pair(NamedTuple):
    """A new field, and one that is gone which it may be."""

    score: float
    new: str
    gone: str


def _likeness(gone: SchemaChange, new: SchemaChange) -> float:
    """Return how likely it is that one field is the other, from 0 to 1; 0 where it is not to be thought of.

    One has to allow all that the other does, and their names or descriptions have to be similar. What counts then:
    the name, the section, the description, the default and the type.
    """
    if _home(gone.path) != _home(new.path):
        return 0.0
    if gone.old is None or new.new is None or not (contains(gone.old, new.new) or contains(new.new, gone.old)):
        return 0.0
    (section, _, last), (other_section, _, other_last) = gone.path.rpartition("."), new.path.rpartition(".")
    name = _similarity(last, other_last)
    said, other_said = (str(one.get("description", "")) for one in (gone.old, new.new))
    parted = set(last.split("_")) & set(other_last.split("_"))
    if (parted and section == other_section) or (said and said == other_said):
        name = max(name, _SIMILAR)
    if name < _SIMILAR:
        return 0.0
    return float(
        0.4 * name
        + 0.25 * _similarity(section, other_section)
        + 0.15 * _similarity(said, other_said)
        + 0.1 * (default_of(gone.old) == default_of(new.new))
        + 0.1 * (allowed(gone.old) == allowed(new.new))
    )


def _home(path: str) -> str:
    """Return the innermost list, mapping or variant that a field is in; nothing leaves one by a rename."""
    parts = path.split(".")
    return ".".join(parts[: max((at + 1 for at, one in enumerate(parts[:-1]) if one[-1] in "*]"), default=0)])


def _similarity(one: str, other: str) -> float:
    """Return how similar two texts are, from 0 to 1."""
    return 1.0 if one == other else SequenceMatcher(None, one, other).ratio()


def missing_statements(found: list[SchemaChange], answers: Answers, secrets: Collection[str] = ()) -> Iterator[Problem]:
    """Yield the statements that the changes need and that `answers` does not have."""
    open_ones = [one for one in found if one.path not in answers.absent]
    maybe, names = likely_renames([one for one in open_ones if not is_stated(answers.reasons.get(one.path, ""))])
    for change in found:
        if change.kind == "added":
            yield from _of_added(change, answers, maybe.get(change.path, Resembling()))
        elif change.kind == "removed" and not is_stated(answers.reasons.get(change.path, "")):
            yield _of_removed(change, names.get(change.path, Resembling()), secrets)
        elif change.other_unit and change.path not in {*answers.converted, *answers.unconverted}:
            yield _of_other_unit(change)


def _of_other_unit(change: SchemaChange) -> Problem:
    """Return the problem of numbers of which nothing says whether they become others."""
    convert, stay = (f"--{option} '{change.path}: {REASON}'" for option in ("convert", "unconverted"))
    was = meaning_of(change.old or {}, "unit")
    message = f"is in {change.other_unit}, and was in {was}: {convert} if old numbers become others; otherwise {stay}"
    return Problem("unit", message, change.path, advice=convert)


def _of_added(change: SchemaChange, answers: Answers, was: Resembling) -> Iterator[Problem]:
    path, meant = change.path, answers.absent.get(change.path)
    option = f"--absent '{path}={VALUE}: {REASON}'"
    if meant is None and was.fields:
        rename, gone = _renaming([f"{one}:{path}" for one in was.fields]), _either(was.fields, "gone")
        shown = "--rename" if was.likely else rename
        message = f"is new, and {gone}: {shown} if it is that field; otherwise {option}"
        suggestion = SEPARATOR.join(was.fields)
        yield Problem("absent", message, path, suggestion=suggestion, advice=rename if was.likely else option)
    elif meant is None:
        message = "is new; state what its absence meant: the value that the program used before, and why"
        yield Problem("absent", message, path, advice=option)
    elif not is_stated(meant.reason):
        yield Problem("absent", "is new; state why its absence meant that value", path, advice=option)
    elif accepts(change.new, meant.value) is False:
        message = f"is new, and does not allow {meant.value!r}, which is stated as what its absence meant"
        yield Problem("absent", message, path, advice=option)


def _of_removed(change: SchemaChange, now: Resembling, secrets: Collection[str]) -> Problem:
    path, option = change.path, f"--reason '{change.path}: {REASON}'"
    if now.fields:
        rename, new = _renaming([f"{path}:{one}" for one in now.fields]), _either(now.fields, "new")
        shown = "--rename" if now.likely else rename
        message = f"is gone, and {new}: {shown} if it is that field; otherwise {option}"
        return Problem("reason", message, path, advice=rename if now.likely else option)
    secret = likely_secret(path, change.old, secrets)
    hint = f" (or did it become the secret {secret}? then --rename {path}:{secret})" if secret else ""
    return Problem("reason", f"is gone; state why{hint}", path, suggestion=secret, advice=option)


def _either(fields: Sequence[str], what: str) -> str:
    """Return that one field is new or gone, or that several are."""
    *others, last = fields
    return f"{', '.join(others)} and {last} are {what}" if others else f"{last} is {what}"


def _renaming(pairs: Sequence[str]) -> str:
    """Return the option that renames, or one of several."""
    return " or ".join(f"--rename {shlex.quote(pair)}" for pair in pairs)


def likely_secret(path: str, fragment: Fragment | None, secrets: Collection[str]) -> str:
    """Return the secret that a field which is gone may have become: the most similar, if it was free text at all."""
    kinds = alternatives(fragment or {})
    free = any(one.get("type", "string") == "string" and not one.keys() & {"enum", "const"} for one in kinds)
    if path in secrets or not free:
        return ""
    last = path.rpartition(".")[2]
    return max(sorted(secrets), key=lambda one: SequenceMatcher(None, last, one.rpartition(".")[2]).ratio(), default="")


def is_stated(reason: str) -> bool:
    """Whether a reason was given: neither empty nor the placeholder."""
    return reason.strip() not in ("", REASON)


def misplaced(old: Fields, new: Fields, answers: Answers, secrets: Collection[str] = ()) -> Iterator[Problem]:
    """Yield a problem for every answer that is not about a change: a slip that leaves another statement missing."""
    fitting = answers.about(old, new, secrets)
    for was, now in sorted(answers.renamed.items() - fitting.renamed.items()):
        yield Problem("rename", f"is not a rename: {no_rename(was, now, old, new)}", f"{was}:{now}")
    for path in sorted(path for path, count in Counter(answers.renamed.values()).items() if count > 1):
        yield Problem("rename", "is the new name of more than one field", path)
    for path in sorted(answers.absent.keys() - fitting.absent.keys()):
        yield Problem("absent", "is not a new field", path)
    for path in sorted(answers.reasons.keys() - fitting.reasons.keys()):
        yield Problem("reason", "is not a field that is gone or changed", path)
    for path in sorted({*answers.converted, *answers.unconverted} - {*fitting.converted, *fitting.unconverted}):
        yield Problem("unit", "is not a field that the version before has as well", path)


def without_refused(answers: Answers, problems: Iterable[Problem]) -> Answers:
    """Return the answers that none of the problems is about."""
    refused = {(one.code, one.key) for one in problems}
    return Answers(
        {path: meant for path, meant in answers.absent.items() if ("absent", path) not in refused},
        {path: reason for path, reason in answers.reasons.items() if ("reason", path) not in refused},
        {
            was: now
            for was, now in answers.renamed.items()
            if not {("rename", f"{was}:{now}"), ("rename", now)} & refused
        },
        answers.withheld,
        {path: reason for path, reason in answers.converted.items() if ("unit", path) not in refused},
        {path: reason for path, reason in answers.unconverted.items() if ("unit", path) not in refused},
    )
