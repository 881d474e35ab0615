"""Missing statements: what only the author of a change knows and has to state.

Each is a problem of code `absent`, `reason` or `rename`. Its advice is the option that states it; its suggestion is
the old field that a new one may be, or the secret that an old one may have become.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from difflib import SequenceMatcher

from tttcfg.errors import Problem
from tttcfg.schema.containment import accepts, contains
from tttcfg.schema.fragments import Fragment, alternatives
from tttcfg.schema_tools.answers import Answers, no_rename
from tttcfg.schema_tools.changes import Fields, SchemaChange

VALUE, REASON = "VALUE", "REASON"
"""Placeholders in a command line for what its author has to state."""
_SIMILAR = 0.6
"""The similarity of two names, from 0 to 1, from which one may be the other's new name."""


def likely_renames(found: tuple[SchemaChange, ...]) -> dict[str, str]:
    """Return the old field that each new one may be under another name: the most similar, each once."""
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
        if score >= _SIMILAR and path not in pairs and was not in pairs.values():
            pairs[path] = was
    return pairs


def _likeness(gone: SchemaChange, new: SchemaChange) -> float:
    """Return how likely it is that one field is the other: by name, if one allows all that the other does."""
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
    similar = SequenceMatcher(None, last, other_last).ratio()
    parted = set(last.split("_")) & set(other_last.split("_"))
    return max(similar, _SIMILAR if parted and section == other_section else 0.0)


def missing_statements(found: list[SchemaChange], answers: Answers, secrets: Collection[str] = ()) -> Iterator[Problem]:
    """Yield the statements that the changes need and that `answers` does not have."""
    maybe = likely_renames(tuple(one for one in found if one.path not in answers.absent))
    maybe = {path: was for path, was in maybe.items() if not is_stated(answers.reasons.get(was, ""))}
    names = {was: path for path, was in maybe.items()}
    for change in found:
        if change.kind == "added":
            yield from _of_added(change, answers, maybe.get(change.path, ""))
        elif change.kind == "removed" and not is_stated(answers.reasons.get(change.path, "")):
            yield _of_removed(change, names.get(change.path, ""), secrets)


def _of_added(change: SchemaChange, answers: Answers, was: str) -> Iterator[Problem]:
    path, meant = change.path, answers.absent.get(change.path)
    option = f"--absent '{path}={VALUE}: {REASON}'"
    if meant is None and was:
        message = f"is new, and {was} is gone: --rename if it is that field; otherwise {option}"
        yield Problem("absent", message, path, suggestion=was, advice=f"--rename {was}:{path}")
    elif meant is None:
        message = "is new; state what its absence meant: the value that the program used before, and why"
        yield Problem("absent", message, path, advice=option)
    elif not is_stated(meant.reason):
        yield Problem("absent", "is new; state why its absence meant that value", path, advice=option)
    elif accepts(change.new, meant.value) is False:
        message = f"is new, and does not allow {meant.value!r}, which is stated as what its absence meant"
        yield Problem("absent", message, path, advice=option)


def _of_removed(change: SchemaChange, now: str, secrets: Collection[str]) -> Problem:
    path, option = change.path, f"--reason '{change.path}: {REASON}'"
    if now:
        message = f"is gone, and {now} is new: --rename if it is that field; otherwise {option}"
        return Problem("reason", message, path, advice=f"--rename {path}:{now}")
    secret = likely_secret(path, change.old, secrets)
    hint = f" (or did it become the secret {secret}? then --rename {path}:{secret})" if secret else ""
    return Problem("reason", f"is gone; state why{hint}", path, suggestion=secret, advice=option)


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
    )
