"""What is missing or wrong in the history of a family's schema."""

from __future__ import annotations

import re
from typing import NamedTuple

from tttcfg.errors import printable

EDIT = "# EDIT"
"""Marks what a written migration leaves to its author; nothing is released as long as it stands."""
_CONFLICT = re.compile(r"^(<<<<<<< |=======$|>>>>>>> )", re.MULTILINE)
_EDIT = re.compile(rf"^\s*{EDIT}\b", re.MULTILINE)


class Fault(NamedTuple):
    """One thing that is missing or wrong: of which kind, where, what, and the command or the deed that mends it."""

    kind: str
    place: str
    message: str
    mend: str

    def __str__(self) -> str:
        return printable(f"{self.place}: {self.message}; {self.mend}")


def leftovers(kind: str, place: str, text: str, remake: str) -> list[Fault]:
    """Return what a file still holds that somebody had to take out: marks of a merge, and of what is to be edited."""
    found = []
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        number = text[: conflict.start()].count("\n") + 1
        message = "holds the marks of a merge that was not settled"
        found.append(Fault(kind, f"{place}:{number}", message, "keep one side, and take the marks out"))
    for match in _EDIT.finditer(text):
        number = text[: match.end()].count("\n") + 1
        message = f"is to be edited: the line {EDIT} says what is left open"
        found.append(Fault(kind, f"{place}:{number}", message, f"write it, take the line out, then {remake}"))
    return found
