"""What the commands share that work on many files: folders that cannot be searched, and the form of their reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from tttcfg.cli.terminal import ink, json_text, print_err, print_out
from tttcfg.errors import InputError, Problem

Outcome = TypeVar("Outcome")
Counts = dict[str, int]
"""How many files there are of each status."""


def unsearched(unlisted: list[InputError]) -> Iterator[tuple[str, tuple[Problem, ...]]]:
    """Take out the folders that could not be searched so far, and yield each with the reasons."""
    while unlisted:
        error = unlisted.pop(0)
        yield str(error.problems[0].place), error.problems


def print_problems(status: str, problems: Sequence[Problem]) -> None:
    """Print what is wrong with one file to standard error, behind what became of it."""
    lines = str(InputError(problems)).replace("\n", "\n       ")
    print_err(f"{ink(sys.stderr)('red', status)} {lines}")


def print_files(
    outcomes: Iterable[Outcome], as_json: Callable[[Outcome], Any], count: Callable[[Counts, Outcome], None]
) -> Counts:
    """Print outcomes as one JSON object, each as soon as it is known, or nothing where there are none; count them.

    Args:
        as_json: Returns an outcome as plain values.
        count: Counts an outcome; what is under an empty text is not in the summary.
    """
    counts: Counts = {}
    for outcome in outcomes:
        print_out(("," if counts else '{"files": [') + json_text(as_json(outcome), indent=None))
        count(counts, outcome)
    if counts:
        summary = {name: number for name, number in counts.items() if name}
        print_out('], "summary": ' + json_text(summary, indent=None) + "}")
    return counts
