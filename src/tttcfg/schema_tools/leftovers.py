"""What a file still has that its author has to take out."""

from __future__ import annotations

import re

from tttcfg.errors import Place, Problem

EDIT = "# EDIT"
"""Marks what a generated migration leaves to its author; nothing is released while it is there."""
_CONFLICT = re.compile(r"^(<<<<<<< |=======$|>>>>>>> )", re.MULTILINE)
_EDIT = re.compile(rf"^\s*{EDIT}\b", re.MULTILINE)


def leftovers(kind: str, place: str, text: str, remake: str) -> list[Problem]:
    """Return a problem for every conflict marker of a merge and every line that is to be edited in a file."""
    found = []
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        number = text[: conflict.start()].count("\n") + 1
        message = "has conflict markers of a merge"
        found.append(Problem(kind, message, place=Place(place, number), advice="keep one side, and remove the markers"))
    for match in _EDIT.finditer(text):
        number = text[: match.end()].count("\n") + 1
        message = f"is to be edited: the line {EDIT} says what is open"
        found.append(
            Problem(kind, message, place=Place(place, number), advice=f"write it, remove the line, then {remake}")
        )
    return found
