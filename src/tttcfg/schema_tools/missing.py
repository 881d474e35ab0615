"""What only the author of a change can say of it, and has not said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from tttcfg.schema.containment import accepts, contains
from tttcfg.schema.fragments import Shape, alternatives
from tttcfg.schema_tools.answers import Answers
from tttcfg.schema_tools.changes import Change, Fields

VALUE, REASON = "VALUE", "REASON"
"""What stands in a command line for what its author has to say."""
_ALIKE = 0.6
"""How alike two names are, from 0 to 1, at least, for one to be the other's new one."""


class Lack(NamedTuple):
    """Something that only the author of a change can say: of which field, what, and the options that say it.

    Attributes:
        kind: `absent`, `reason` or `rename`.
        maybe: The old field that this new one may be, or the secret that this old one may have become.
    """

    kind: str
    path: str
    message: str
    option: str
    maybe: str = ""


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


def unsaid(found: list[Change], answers: Answers, secrets: Collection[str] = ()) -> Iterator[Lack]:
    """Yield what has to be said of the changes and is not."""
    maybe = likely_renames(tuple(one for one in found if one.path not in answers.absent))
    maybe = {path: was for path, was in maybe.items() if not said(answers.reasons.get(was, ""))}
    names = {was: path for path, was in maybe.items()}
    for change in found:
        if change.kind == "added":
            yield from _unsaid_of_added(change, answers, maybe.get(change.path, ""))
        elif change.kind == "removed" and not said(answers.reasons.get(change.path, "")):
            yield _unsaid_of_removed(change, names.get(change.path, ""), secrets)


def _unsaid_of_added(change: Change, answers: Answers, was: str) -> Iterator[Lack]:
    path, meant = change.path, answers.absent.get(change.path)
    option = f"--absent '{path}={VALUE}: {REASON}'"
    if meant is None and was:
        message = f"is new, and {was} is gone: --rename says that it is that one; if it is not, say {option}"
        yield Lack("absent", path, message, f"--rename {was}:{path}", was)
    elif meant is None:
        message = "is new; say what its absence meant: the value that the program took before, and why"
        yield Lack("absent", path, message, option)
    elif not said(meant.reason):
        yield Lack("absent", path, "is new; say why its absence meant that value", option)
    elif accepts(change.new, meant.value) is False:
        message = f"is new, and does not allow {meant.value!r}, which its absence is said to have meant"
        yield Lack("absent", path, message, option)


def _unsaid_of_removed(change: Change, now: str, secrets: Collection[str]) -> Lack:
    path, option = change.path, f"--reason '{change.path}: {REASON}'"
    if now:
        message = f"is gone, and {now} is new: --rename says that it is that one; if it is not, say {option}"
        return Lack("reason", path, message, f"--rename {path}:{now}")
    secret = likely_secret(path, change.old, secrets)
    hint = f" (or did it become the secret {secret}? then --rename {path}:{secret})" if secret else ""
    return Lack("reason", path, f"is gone; say why{hint}", option, secret)


def likely_secret(path: str, shape: Shape | None, secrets: Collection[str]) -> str:
    """Return the secret that a field which is gone may have become: the most alike, if it held free text at all."""
    kinds = alternatives(shape or {})
    free = any(one.get("type", "string") == "string" and not one.keys() & {"enum", "const"} for one in kinds)
    if path in secrets or not free:
        return ""
    last = path.rpartition(".")[2]
    return max(sorted(secrets), key=lambda one: SequenceMatcher(None, last, one.rpartition(".")[2]).ratio(), default="")


def said(reason: str) -> bool:
    """Whether a reason was given: not an empty one, nor the word that stands for one."""
    return reason.strip() not in ("", REASON)


def misplaced(old: Fields, new: Fields, answers: Answers, secrets: Collection[str] = ()) -> Iterator[Lack]:
    """Yield the answers that are about no change at all: a slip that would leave something else unsaid."""
    apt = answers.about(old, new, secrets)
    for was, now in sorted(answers.renamed.items() - apt.renamed.items()):
        yield Lack("rename", f"{was}:{now}", f"is no rename: {_no_rename(was, now, old, new)}", "")
    targets = list(answers.renamed.values())
    for path in sorted({path for path in targets if targets.count(path) > 1}):
        yield Lack("rename", path, "is the new name of more than one field", "")
    for path in sorted(answers.absent.keys() - apt.absent.keys()):
        yield Lack("absent", path, "is not a new field", "")
    for path in sorted(answers.reasons.keys() - apt.reasons.keys()):
        yield Lack("reason", path, "is not a field that is gone or changed", "")


def _no_rename(was: str, now: str, old: Fields, new: Fields) -> str:
    if was in new:
        return f"{was} is still in the code"
    if was not in old:
        return f"the version before has no {was}"
    if now in old:
        return f"the version before has {now} already"
    return f"the code has no {now}"


def without_refused(answers: Answers, lacks: Iterable[Lack]) -> Answers:
    """Return the answers that can be given again as they are."""
    refused = {(lack.kind, lack.path) for lack in lacks}
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
