"""`tttcfg migrate`: bring saved documents to another version."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from tttcfg.cli.files import Counts, print_files, print_problems, unsearched
from tttcfg.cli.options import FAMILY, STRICT_EXTENSIONS, Output
from tttcfg.cli.terminal import ink, print_out
from tttcfg.documents.secret_values import keeping
from tttcfg.errors import InputError, Problem, printable
from tttcfg.fleet.migrate import MigrationResult, MigrationTask, migrate_many
from tttcfg.fleet.plan import as_json, changes_digest
from tttcfg.fleet.scan import find_documents
from tttcfg.report.render import plan_text
from tttcfg.resolving.families import family_named
from tttcfg.schema.paths import Tree

REMEMBERED = 64
"""How many plans are remembered, so that a file with the same one need not show it again."""
ERASE = "\r\x1b[K"


def migrate(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Documents, or folders to search for them.")],
    write: Annotated[bool, typer.Option("--write", help="Change the files; without it nothing is.")] = False,
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", help="Version to reach, up or down; by default the current one.")
    ] = None,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Going down, drop what the older version cannot hold.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=256, help="Processes; by default, enough for all processors."
        ),
    ] = None,
    family: FAMILY = None,
    strict_extensions: STRICT_EXTENSIONS = False,
    fsync: Annotated[bool, typer.Option(help="Make every file durable before the next.")] = True,
    output: Annotated[Output, typer.Option("--output", help="Form of the report.")] = "text",
) -> None:
    """Bring saved documents to the current version, or to another one.

    Shows the plan and changes nothing unless --write is given. Every file is replaced whole or not at
    all; the old one is kept beside it (training_config.json.v3.bak), and what is removed is kept
    in the document's provenance, except for secrets; those that the old one has are reported, and for its
    owner alone to read. Running again does no harm.

    \b
    Examples:
      tttcfg migrate runs
      tttcfg migrate runs --write --workers 4
      tttcfg migrate runs/exp/checkpoints/checkpoint_001000 --to 6 --write
    """
    if to is not None and family is not None:
        family_named(family).require_version(to, "--to")
    explain = output == "json" or not write
    task = MigrationTask(to, write, allow_loss, fsync, explain, family, strict_extensions)
    with closing(_outcomes(paths, task, workers)) as outcomes:
        counts = print_files(outcomes, _as_json, _count) if output == "json" else _report_text(outcomes, task)
    if not counts:
        raise InputError(Problem("not_found", f"no training_config.json in {', '.join(map(str, paths))}"))
    raise typer.Exit(1 if counts.get("failed") else 0)


def _outcomes(
    paths: Sequence[Path], task: MigrationTask, workers: int | None
) -> Generator[MigrationResult, None, None]:
    """Yield what becomes of every document, and of every folder that cannot be searched, with a bar on a terminal."""
    unlisted: list[InputError] = []
    length = sum(1 for _ in find_documents(paths, lambda _: None)) if sys.stderr.isatty() else 0
    bar = typer.progressbar(length=length, label="documents", show_pos=True, file=sys.stderr) if length else None
    with bar or nullcontext():
        for outcome in migrate_many(find_documents(paths, unlisted.append), task, workers):
            if bar is not None and (unlisted or outcome.status != "current"):
                sys.stderr.write(ERASE)
                sys.stderr.flush()
            yield from _failures(unlisted, task)
            yield outcome
            if bar is not None:
                bar.update(1)
    yield from _failures(unlisted, task)


def _failures(unlisted: list[InputError], task: MigrationTask) -> Iterator[MigrationResult]:
    for place, problems in unsearched(unlisted):
        yield MigrationResult(place, "failed", to=task.to, problems=problems)


def _count(counts: Counts, outcome: MigrationResult) -> None:
    counts[outcome.status] = counts.get(outcome.status, 0) + 1


def _report_text(outcomes: Iterable[MigrationResult], task: MigrationTask) -> Counts:
    counts: Counts = {}
    steps: dict[tuple[int | None, int | None], int] = {}
    shown: dict[bytes, str] = {}
    for outcome in outcomes:
        _count(counts, outcome)
        if outcome.status == "failed":
            print_problems("failed", outcome.problems)
            continue
        if outcome.status == "current":
            continue
        step = (outcome.version, outcome.to)
        steps[step] = steps.get(step, 0) + 1
        _show(outcome, task, shown)
    if counts:
        print_out(_summary(counts, steps, task))
    return counts


def _show(outcome: MigrationResult, task: MigrationTask, shown: dict[bytes, str]) -> None:
    """Print what happens to one file; its changes in full unless they were `shown` lately, of another one.

    Once it is written only what is lost is among them.
    """
    colours = ink(sys.stdout)
    by = f" (no number; decided by {', '.join(outcome.decided_by[:3])})" if outcome.decided_by else ""
    verb = "migrated" if outcome.status == "migrated" else "would go"
    line = f"{colours('bold', printable(outcome.path))}: {verb} {_step(outcome.version, outcome.to)}{by}"
    if outcome.passed_through:
        line += f", with extensions that are not installed as they are: {printable(', '.join(outcome.passed_through))}"
    if outcome.secrets:
        what = "its backup keeps" if task.write else "its backup would keep"
        holds = outcome.backup or outcome.path  # what is scrubbed before is not in its backup
        line += f"; {printable(keeping(outcome.secrets, [holds], what, task.family_name or ''))}"
    if task.write and not outcome.changes:
        print_out(line)
        return
    key = changes_digest(outcome.changes)
    like = shown.pop(key, None)
    shown[key] = like or outcome.path
    if len(shown) > REMEMBERED:
        del shown[next(iter(shown))]
    if like is None:
        print_out(f"{line}\n{plan_text(outcome.changes, colours) or '  (no field changes)'}")
    else:
        print_out(f"{line}; same {'losses' if task.write else 'changes'} as {printable(like)}")


def _step(version: int | None, to: int | None) -> str:
    """Return from which version a document goes to which; where it stays in its own, some sections go."""
    return (
        f"from version {version} to {to}" if version != to else "to the current versions of its extensions and plug-ins"
    )


def _summary(counts: Counts, steps: dict[tuple[int | None, int | None], int], task: MigrationTask) -> str:
    done = "migrated" if task.write else "to migrate"
    parts = [f"{count} {_step(*step)}" for step, count in sorted(steps.items(), key=str)]
    line = f"{counts.get('migrated', 0) + counts.get('planned', 0)} {done}"
    line += f" ({', '.join(parts)})" if parts else ""
    where = "current" if task.to is None else f"at version {task.to}"
    line += f", {counts.get('current', 0)} already {where}, {counts.get('failed', 0)} failed"
    return line + ("" if task.write or not counts.get("planned") else "; --write does it")


def _as_json(outcome: MigrationResult) -> Tree:
    lists = {"problems": [one.as_json() for one in outcome.problems], "changes": list(map(as_json, outcome.changes))}
    return {**outcome._asdict(), **lists}
