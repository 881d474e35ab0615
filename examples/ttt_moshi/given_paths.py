"""Relative paths in a configuration are relative to the working directory, as in the trainer, not to the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tttcfg import Origin, Place, Problem


def not_found(path: str, key: str, reason: str, given: Sequence[Origin] = ()) -> Problem:
    """Return the problem of a path that cannot be read: where it was looked for, and a suggestion.

    Args:
        given: The sources that gave it, the one in use first; if that is a file, a path beside it is suggested.
    """
    sought = Path(path).absolute()
    message = f"cannot be read: {reason}; paths are relative to the working directory, so it was looked for at {sought}"
    suggestion = ""
    if given and given[0].source == "config" and isinstance(given[0].place, Place):
        beside = Path(given[0].place.file).absolute().parent / path
        suggestion = str(beside) if beside.exists() else ""
    return Problem("not_found", message, key, Place(path), suggestion)
