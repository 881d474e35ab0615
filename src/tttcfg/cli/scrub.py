"""`tttcfg scrub`: remove secrets from the files of checkpoints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tttcfg.cli.files import Counts, print_files, print_problems, unsearched
from tttcfg.cli.options import FAMILY, Output
from tttcfg.cli.terminal import ink, print_err, print_out
from tttcfg.errors import InputError, Problem, printable
from tttcfg.fleet.scan import find_files
from tttcfg.fleet.scrub import EVERYWHERE, ScrubResult, ScrubTask, scrub_file, scrub_found
from tttcfg.resolving.families import family_named
from tttcfg.schema.paths import Tree


def scrub(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or folders to search for them.")],
    write: Annotated[bool, typer.Option("--write", help="Change the files; without it nothing is.")] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="KEY", help="A key that looks like a secret's and is none; may be repeated."),
    ] = None,
    family: FAMILY = None,
    output: Annotated[Output, typer.Option("--output", help="Form of the report.")] = "text",
) -> None:
    """Remove secrets from saved documents, their backups, args.yaml and weights with an embedded configuration.

    Shows the plan and changes nothing unless --write is given. Every file is replaced whole or not at
    all, no copy is kept, and nothing else in it changes: weights and documents stay bound. A setting
    that is declared a secret becomes null; text at any other key that looks like a secret's becomes
    "(withheld)", and so does a text that gives one (--api-key VALUE, HF_TOKEN=VALUE) and is no setting.
    What was in a file may have been read, so renew it as well.

    \b
    Examples:
      tttcfg scrub runs
      tttcfg scrub runs --write
      tttcfg scrub runs --keep extensions.text.pad_token --write
    """
    if family is not None:
        family_named(family)  # one that is not there is wrong use, whatever the files are
    task = ScrubTask(write, tuple(keep or ()), family)
    outcomes = _outcomes(paths, task)
    counts = print_files(outcomes, _as_json, _count) if output == "json" else _report_text(outcomes, task)
    if not counts:
        looked_for = "training_config.json, backup, args.yaml or weights file"
        raise InputError(Problem("not_found", f"no {looked_for} in {', '.join(map(str, paths))}"))
    raise typer.Exit(1 if counts.get("failed") or counts.get("") else 0)


def _outcomes(paths: Sequence[Path], task: ScrubTask) -> Iterator[ScrubResult]:
    """Yield what becomes of every file, and of every folder that cannot be searched."""
    unlisted: list[InputError] = []
    given = set(map(os.path.realpath, paths))
    for path in find_files(paths, EVERYWHERE, unlisted.append):
        yield from (ScrubResult(place, "failed", problems=problems) for place, problems in unsearched(unlisted))
        outcome = (scrub_file if os.path.realpath(path) in given else scrub_found)(path, task)
        if outcome is not None:
            yield outcome
    yield from (ScrubResult(place, "failed", problems=problems) for place, problems in unsearched(unlisted))


def _count(counts: Counts, outcome: ScrubResult) -> None:
    """Count an outcome by its status, and under an empty text where something is left to be done by hand."""
    counts[outcome.status] = counts.get(outcome.status, 0) + 1
    if outcome.problems and outcome.status != "failed":
        counts[""] = counts.get("", 0) + 1


def _report_text(outcomes: Iterable[ScrubResult], task: ScrubTask) -> Counts:
    counts: Counts = {}
    colours = ink(sys.stdout)
    for outcome in outcomes:
        _count(counts, outcome)
        for one in outcome.secrets:
            verb = "became" if task.write else "would become"
            print_out(f"{printable(str(one.place))}: {colours('bold', printable(one.key))} {verb} {one.becomes}")
        if outcome.problems:
            print_problems("failed" if outcome.status == "failed" else "left", outcome.problems)
    if counts:
        done, rest = ("scrubbed", "") if task.write else ("to scrub", "; --write does it")
        line = f"{counts.get('scrubbed', 0) + counts.get('planned', 0)} {done}"
        line += f", {counts.get('clean', 0)} without secrets, {counts.get('failed', 0)} failed"
        print_out(line + (rest if counts.get("planned") else ""))
        if counts.get("scrubbed"):
            print_err("renew what was removed: it may have been read")
    return counts


def _as_json(outcome: ScrubResult) -> Tree:
    secrets = [
        {"key": one.key, "line": one.place.line, "column": one.place.column, "becomes": one.becomes}
        for one in outcome.secrets
    ]
    problems = [one.without_secrets().as_json() for one in outcome.problems]
    return {**outcome._asdict(), "secrets": secrets, "problems": problems}
