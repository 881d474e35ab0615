"""What kept one file of many from being read or written, so that the others are done all the same."""

from __future__ import annotations

import traceback

from tttcfg.errors import Place, Problem, TttcfgError


def problems_of(error: Exception, path: str) -> tuple[Problem, ...]:
    """Return whatever was raised for a file as problems, each of which names that file.

    An error that nothing foresaw, of a plug-in perhaps, is named with where it was raised, but not with its text, which
    may be secret.
    """
    if isinstance(error, TttcfgError):
        return tuple(_of_file(one, path) for one in error.problems)
    if isinstance(error, OSError):
        return (Problem("unwritable", f"cannot be used: {error.strerror or error}", place=Place(path)),)
    raised = traceback.extract_tb(error.__traceback__)[-1]
    message = f"failed with a {type(error).__name__} in {raised.filename}:{raised.lineno}"
    return (Problem("bug", message, place=Place(path), advice="report it with that file"),)


def _of_file(problem: Problem, path: str) -> Problem:
    """Return a problem with the file that it was raised for as its place; any other place goes before what it says."""
    other = str(problem.place)
    if other == path or other.startswith((f"{path}:", f"{path}.", f"{path} (")):
        return problem
    return problem._replace(place=Place(path), message=f"{other}: {problem.message}" if other else problem.message)
