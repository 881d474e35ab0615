"""`tttcfg family`: a family made of a dataclass or pydantic model, and confirming what is guessed of it."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from tttcfg.cli.options import FAMILY
from tttcfg.cli.schema import history_here
from tttcfg.cli.terminal import print_err, print_out
from tttcfg.errors import printable
from tttcfg.scaffold.confirm import confirmed
from tttcfg.scaffold.new import NewFamily, new_family
from tttcfg.schema_tools.layout import History, shown
from tttcfg.schema_tools.unconfirmed import declared_fields, unconfirmed
from tttcfg.schema_tools.write import write_together

HELP = "Make a family of a dataclass, and confirm its guessed roles."
COMMANDS = ("new", "confirm")


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the family is called: lower-case letters, digits and _.")
    ],
    source: Annotated[
        str,
        typer.Option("--from", metavar="MODULE:CLASS", help="The dataclass or pydantic model of the configuration."),
    ],
    package: Annotated[
        str,
        typer.Option(
            "--package",
            metavar="PACKAGE",
            help="The package that is written; by default NAME_config, in src where packages are there.",
            show_default=False,
        ),
    ] = "",
    changelog: Annotated[
        Path, typer.Option("--changelog", metavar="FILE", help="Where an entry is added under Unreleased.")
    ] = Path("CHANGELOG.md"),
) -> None:
    """Write a family of its own for a trainer that keeps its configuration in a dataclass or pydantic model.

    Written are the models with all settings, their declaration, the first version of the schema with its golden
    document, a test, and the entry point in pyproject.toml: all of them or none, and no file is overwritten. Nested
    classes become sections; comments, docstrings and help texts become descriptions.

    Roles are guessed. The family can be used at once, but `tttcfg schema check` and `freeze` refuse it until
    `tttcfg family confirm` has confirmed every role, each unit is stated, and what is marked with EDIT is done. A
    setting of a type that no document can contain is written as text, with such a mark and what to declare instead.

    \b
    Examples:
      tttcfg family new trainer --from trainer.args:TrainArgs
      tttcfg family new trainer --from trainer.args:TrainArgs --package trainer.settings
    """
    sys.dont_write_bytecode = True
    today = datetime.now(timezone.utc).date().isoformat()
    made = new_family(name, source, package=package, changelog=changelog, date=today)
    for path in write_together(made.files):
        print_out(shown(path))
    for note in made.notes:
        print_err(printable(f"note: {note}"))
    if made.lines:
        print_err(printable("\n".join(["add to pyproject.toml:", *(f"  {line}" for line in made.lines)])))
    print_err(printable("\n".join(_steps(made))))


def _steps(made: NewFamily) -> list[str]:
    """Return what is to be done now, in its order."""
    reference = made.names.reference if made.importable else made.names.family
    family, models = f" --family {shlex.quote(reference)}", shown(made.models)
    edits = f"{made.edits} marked with EDIT" if made.edits else ""
    units = f"{len(made.units)} with the unit EDIT" if made.units else ""
    todo = [
        *([] if made.importable else ["pip install --editable ."]),
        f"read {models}: {', '.join(filter(None, (f'{len(made.draft.settings)} settings', edits, units)))}",
        f"tttcfg family confirm{family}  # lists the guessed roles, and the commands that confirm them",
        f"tttcfg schema new --amend{family}",
        f"tttcfg schema check{family}, and pytest {shown(made.laws)}",
        f"tttcfg schema freeze{family}, and commit everything",
    ]
    lines = [f"  {number}. {one}" for number, one in enumerate(todo, 1)]
    save = f"in the trainer: tttcfg.from_any(args, family=FAMILY), with FAMILY from {made.names.package}.family"
    return ["what to do now:", *lines, save]


def confirm(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY[=ROLE]",
            help="Settings, with * for any characters; with a role, that in place of the guess.",
            show_default=False,
        ),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option("--unit", metavar="KEY=UNIT", help="What a number counts, where the unit is EDIT."),
    ] = None,
    family: FAMILY = None,
) -> None:
    """Confirm guessed roles and state units, in the file that declares the settings; without any, list what is open.

    A setting is named by its dotted key; `*` stands for any characters, so that 'optim.*' is a whole section. Of
    several that fit a setting, the last counts. Only what is open changes: a role that is confirmed stays. The exit
    code is 1 where something is listed.

    \b
    Examples:
      tttcfg family confirm --family trainer
      tttcfg family confirm 'optim.*' 'data.*=run' data.shuffle=training --family trainer
      tttcfg family confirm --unit comm.buffer=entries --family trainer
    """
    history = history_here(family)
    if patterns or unit:
        done = confirmed(declared_fields(history.family.model), patterns or [], unit or [])
        for path in write_together(done.files):
            print_out(shown(path))
        print_err(f"confirmed: {done.roles} roles, {done.units} units; then {history.command('new --amend')}")
        return
    _list(history)


def _list(history: History) -> None:
    problems = [*unconfirmed(history)]
    for one in problems:
        print_out(printable(f"{one.message}\n    {one.advice}"))
    if not problems:
        print_err("every role is confirmed")
    raise typer.Exit(1 if problems else 0)
