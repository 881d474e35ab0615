"""What the author of a change states about it, and how a command line expresses that."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem, quote
from tttcfg.schema_tools.changes import Fields

_KEY = re.compile(r"[^\s=:]+")


class Absent(NamedTuple):
    """What the absence of a field meant: the value that programs took, and why."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Answers:
    """What the author of a change states about it, by dotted path.

    Attributes:
        absent: Of each new field, what its absence meant before.
        reasons: Of each field that is gone or changed, why.
        renamed: The new path of each field or section that has another now; that of a secret is one too.
        withheld: Fields that became secrets, under whatever name.
        converted: Why old values of a field become others, by a function that is to be written.
        unconverted: Why the numbers of a field stay what they are, although its unit is another.
    """

    absent: Mapping[str, Absent] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    converted: Mapping[str, str] = field(default_factory=dict)
    unconverted: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: Answers) -> Answers:
        """Return these answers, and those of `other` where these have none."""
        renamed = {was: now for was, now in other.renamed.items() if now not in self.absent}
        converted = {path: why for path, why in other.converted.items() if path not in self.unconverted}
        unconverted = {path: why for path, why in other.unconverted.items() if path not in self.converted}
        return Answers(
            {**other.absent, **self.absent},
            {**other.reasons, **self.reasons},
            {**renamed, **self.renamed},
            self.withheld | other.withheld,
            {**converted, **self.converted},
            {**unconverted, **self.unconverted},
        )

    def about(self, old: Fields, new: Fields, secrets: Collection[str] = ()) -> Answers:
        """Return those answers that are about a change between two schemas."""
        renamed = {was: now for was, now in self.renamed.items() if not no_rename(was, now, old, new, secrets)}
        absent = {path: meant for path, meant in self.absent.items() if path in new and path not in old}
        known = {*old, *renamed.values()}
        reasons = {path: why for path, why in self.reasons.items() if path in known}
        withheld = frozenset(path for path in self.withheld if path in old)
        kept = {path for path in new if path in old or path in renamed.values()}
        converted = {path: why for path, why in self.converted.items() if path in kept}
        unconverted = {path: why for path, why in self.unconverted.items() if path in kept}
        return Answers(absent, reasons, renamed, withheld, converted, unconverted)

    def by_field(self, old: Fields, new: Fields, secrets: Collection[str] = ()) -> Answers:
        """Return the same answers with the rename of each section as renames of its fields."""
        renamed: dict[str, str] = {}
        for was, now in self.renamed.items():
            inside = {path: now + path.removeprefix(was) for path in old if path.startswith(f"{was}.")}
            moved = {path: to for path, to in inside.items() if not no_rename(path, to, old, new, secrets)}
            renamed |= moved or {was: now}
        return replace(self, renamed=renamed)


def no_rename(was: str, now: str, old: Fields, new: Fields, secrets: Collection[str] = ()) -> str:
    """Return why a field cannot have been renamed to another, or nothing if it can.

    As no schema shows which secrets are new, the other may be any secret.
    """
    if was in new:
        return f"{was} is still in the code"
    if was not in old:
        return f"the version before has no {was}"
    if now in secrets or (now in new and now not in old):
        return ""
    return f"the version before has {now} already" if now in old else f"the code has no {now}"


def parsed(
    renamed: Iterable[str],
    absent: Iterable[str],
    reasons: Iterable[str],
    converted: Iterable[str] = (),
    unconverted: Iterable[str] = (),
) -> Answers:
    """Return the answers in options: `OLD:NEW`, `KEY=VALUE: REASON` and `KEY: REASON`.

    A value is JSON, or else text up to the first colon that a space follows.

    Raises:
        InputError: Options that are not of their form, all of them.
    """
    problems: list[Problem] = []
    found: dict[str, dict[str, Any]] = {
        kind: {} for kind in ("absent", "reasons", "renamed", "converted", "unconverted")
    }
    for kind, texts, read, form in (
        ("renamed", renamed, _rename, "--rename OLD:NEW"),
        ("absent", absent, _absent, "--absent 'KEY=VALUE: REASON'"),
        ("reasons", reasons, _reason, "--reason 'KEY: REASON'"),
        ("converted", converted, _reason, "--convert 'KEY: REASON'"),
        ("unconverted", unconverted, _reason, "--unconverted 'KEY: REASON'"),
    ):
        for text in texts:
            pair = read(text)
            if pair is None:
                problems.append(Problem("override", f"{quote(text)} is not of the form {form}"))
            elif pair[0] in found[kind]:
                problems.append(Problem("duplicate_key", f"is given twice with {form.split()[0]}", pair[0]))
            else:
                found[kind][pair[0]] = pair[1]
    both = found["converted"].keys() & found["unconverted"].keys()
    problems += [Problem("conflict", "is given with --convert and --unconverted", key) for key in sorted(both)]
    if problems:
        raise InputError(problems)
    return Answers(
        found["absent"],
        found["reasons"],
        found["renamed"],
        converted=found["converted"],
        unconverted=found["unconverted"],
    )


def spelled(answers: Answers) -> Iterator[str]:
    """Yield the options that express `answers`."""
    for was, now in answers.renamed.items():
        yield f"--rename {shlex.quote(f'{was}:{now}')}"
    for path, meant in answers.absent.items():
        value = json.dumps(meant.value, ensure_ascii=False)
        yield f"--absent {shlex.quote(f'{path}={value}: {meant.reason}')}"
    for option, reasons in (
        ("--reason", answers.reasons),
        ("--convert", answers.converted),
        ("--unconverted", answers.unconverted),
    ):
        for path, reason in reasons.items():
            yield f"{option} {shlex.quote(f'{path}: {reason}')}"


def value_of(text: str) -> Any:
    """Return a value read as JSON if it is JSON, otherwise the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _rename(text: str) -> tuple[str, str] | None:
    was, _, now = (part.strip() for part in text.partition(":"))
    return (was, now) if _KEY.fullmatch(was) and _KEY.fullmatch(now) else None


def _reason(text: str) -> tuple[str, str] | None:
    key, _, reason = (part.strip() for part in text.partition(":"))
    return (key, reason) if _KEY.fullmatch(key) and reason else None


def _absent(text: str) -> tuple[str, Absent] | None:
    key, equals, rest = text.partition("=")
    key, rest = key.strip(), rest.lstrip()
    if not equals or not _KEY.fullmatch(key):
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(rest)
        after = rest[end:].lstrip()
        if after.startswith(":"):
            return key, Absent(value, after[1:].strip())
    except ValueError:
        pass
    given, colon, reason = rest.partition(": ")
    return (key, Absent(value_of(given), reason.strip())) if colon else None
