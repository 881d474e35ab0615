"""Relative paths in a configuration begin where the program is started, as the trainer has it, and not at the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tttcfg import Origin, Place, Problem


def not_found(path: str, key: str, reason: str, given: Sequence[Origin] = ()) -> Problem:
    """Return the problem of a path that cannot be read: what was looked for, and what was perhaps meant.

    Args:
        given: Who gave it, the one that counts first; where that is a configuration file, it is looked for there too.
    """
    sought = Path(path).absolute()
    message = f"cannot be read: {reason}; paths begin where the program is started, so it was looked for at {sought}"
    suggestion = ""
    if given and given[0].source == "config" and isinstance(given[0].place, Place):
        beside = Path(given[0].place.file).absolute().parent / path
        suggestion = str(beside) if beside.exists() else ""
    return Problem("not_found", message, key, Place(path), suggestion)
