"""What the author of a change says of it, as a command line holds it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from tttcfg.errors import InputError, Problem, quote
from tttcfg.evolution.planning import Absent, Answers

_KEY = re.compile(r"[^\s=:]+")


def parsed(renamed: Iterable[str], absent: Iterable[str], reasons: Iterable[str]) -> Answers:
    """Return what options say: `OLD:NEW`, `KEY=VALUE: REASON` and `KEY: REASON`.

    A value is JSON, or else text up to the first colon that a space follows.

    Raises:
        InputError: Options that are not of their form, all of them.
    """
    problems: list[Problem] = []
    found: dict[str, dict[str, Any]] = {"renamed": {}, "absent": {}, "reasons": {}}
    for kind, texts, read, form in (
        ("renamed", renamed, _rename, "--rename OLD:NEW"),
        ("absent", absent, _absent, "--absent 'KEY=VALUE: REASON'"),
        ("reasons", reasons, _reason, "--reason 'KEY: REASON'"),
    ):
        for text in texts:
            pair = read(text)
            if pair is None:
                problems.append(Problem("override", f"{quote(text)} is not of the form {form}"))
            elif pair[0] in found[kind]:
                problems.append(Problem("duplicate_key", f"is said twice with {form.split()[0]}", pair[0]))
            else:
                found[kind][pair[0]] = pair[1]
    if problems:
        raise InputError(problems)
    return Answers(**found)


def spelled(answers: Answers) -> Iterator[str]:
    """Yield the options that say `answers`."""
    for was, now in answers.renamed.items():
        yield f"--rename {shlex.quote(f'{was}:{now}')}"
    for path, meant in answers.absent.items():
        value = json.dumps(meant.value, ensure_ascii=False)
        yield f"--absent {shlex.quote(f'{path}={value}: {meant.reason}')}"
    for path, reason in answers.reasons.items():
        yield f"--reason {shlex.quote(f'{path}: {reason}')}"


def value_of(text: str) -> Any:
    """Return a value as JSON has it, or as the text it is."""
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
    said, colon, reason = rest.partition(": ")
    return (key, Absent(value_of(said), reason.strip())) if colon else None
