"""`tttcfg schema`: checking, comparing, extending and releasing the versions of a family's schema."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tttcfg.cli.options import FAMILY, OUTPUT, Output
from tttcfg.cli.terminal import ink, print_err, print_json, print_out
from tttcfg.errors import InputError, Problem, printable
from tttcfg.family.json_schema import model_schema
from tttcfg.report.schema_changes import change_json, changes_text
from tttcfg.resolving.families import BUILT_IN, family_named
from tttcfg.schema.fragments import fields_of
from tttcfg.schema.plugged import ignore_plug_ins
from tttcfg.schema_tools.answers import Absent, Answers, parsed, spelled, value_of
from tttcfg.schema_tools.changes import SchemaChange, changes, compatibility, renames
from tttcfg.schema_tools.check import check as find_problems
from tttcfg.schema_tools.frozen import read_frozen
from tttcfg.schema_tools.goldens import usual_folder
from tttcfg.schema_tools.layout import History, shown
from tttcfg.schema_tools.missing import SEPARATOR, VALUE, without_refused
from tttcfg.schema_tools.new import Draft, amended_draft, files_of, new_draft
from tttcfg.schema_tools.parent import waiting
from tttcfg.schema_tools.released import release, unrecorded
from tttcfg.schema_tools.steps import read_steps
from tttcfg.schema_tools.write import write_together

HELP = "Check, compare, extend and release the versions of a family's schema."
COMMANDS = ("check", "diff", "new", "freeze")
GOLDEN = Annotated[
    Path | None,
    typer.Option(
        "--golden",
        metavar="FOLDER",
        help="Golden documents; by default tests/golden, or tests/golden/NAME where that is there or the other is not "
        "this family's.",
        show_default=False,
    ),
]


def check(family: FAMILY = None, golden: GOLDEN = None, output: OUTPUT = "text") -> None:
    """List what of a schema's history is missing or wrong, all at once, and how to fix it; nothing is written.

    Model, frozen schemas, migrations, golden documents and the declarations of all fields have to agree, and what is
    released has to be as it was. Made for CI: the exit code is 0 where all is well and 1 where anything is not.

    \b
    Examples:
      tttcfg schema check
      tttcfg schema check --family my_trainer.config:FAMILY --golden tests/golden
    """
    history = history_here(family, golden)
    problems = find_problems(history)
    _report(problems, output)
    if note := unrecorded(history):
        print_err(printable(note))
    if not problems and output == "text":
        agreed = f"versions 0 to {history.family.head} agree with the code and with each other"
        print_err(f"{history.family.name} in {shown(history.migrations.parent)}/: {agreed}")
    raise typer.Exit(1 if problems else 0)


def diff(
    versions: Annotated[
        list[int] | None,
        typer.Argument(metavar="[A [B]]", help="Versions; B is the code by default, A the newest.", show_default=False),
    ] = None,
    family: FAMILY = None,
    output: OUTPUT = "text",
) -> None:
    """Compare two versions of a schema, or one and the code: what differs, and who can read whose documents.

    backward: the new program reads old documents; forward: the old program reads new ones; full: both; breaking:
    neither. A changed default, unit, role or description is semantic, whatever the class: the same document may mean
    something else. The exit code is 0 where nothing differs and 1 where something does.

    \b
    Examples:
      tttcfg schema diff
      tttcfg schema diff 6
      tttcfg schema diff 5 6 --output json
    """
    history = _history(family)
    found = _differences(history, versions or [])
    if output == "json":
        print_json({"compatibility": compatibility(found), "changes": [change_json(one) for one in found]})
    elif found:
        print_out(changes_text(found, ink(sys.stdout)))
    else:
        print_err("no difference")
    raise typer.Exit(1 if found else 0)


def new(
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="What changes, in a few words.", show_default=False)
    ] = "",
    rename: Annotated[
        list[str] | None,
        typer.Option("--rename", metavar="OLD:NEW", help="A field that has another name now."),
    ] = None,
    absent: Annotated[
        list[str] | None,
        typer.Option(
            "--absent",
            metavar="KEY=VALUE: REASON",
            help="What the absence of a new field meant, and why.",
        ),
    ] = None,
    reason: Annotated[
        list[str] | None,
        typer.Option("--reason", metavar="KEY: REASON", help="Why a field is gone, changed or renamed."),
    ] = None,
    convert: Annotated[
        list[str] | None,
        typer.Option(
            "--convert",
            metavar="KEY: REASON",
            help="Old values of a field become others, as after a change of its unit; you write the function.",
        ),
    ] = None,
    unconverted: Annotated[
        list[str] | None,
        typer.Option(
            "--unconverted",
            metavar="KEY: REASON",
            help="The numbers of a field stay what they are, although its unit is called otherwise.",
        ),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--own",
            metavar="KEY",
            help="A field that this family declares itself and that stays so, whatever the parent's next version does.",
        ),
    ] = None,
    evidence: Annotated[
        str,
        typer.Option("--evidence", metavar="TEXT", help="How this is known; by default, model and date."),
    ] = "",
    amend: Annotated[
        bool, typer.Option("--amend", help="Update the newest version, which is not released yet, to the code.")
    ] = False,
    changelog: Annotated[
        Path, typer.Option("--changelog", metavar="FILE", help="Where an entry is added under Unreleased.")
    ] = Path("CHANGELOG.md"),
    family: FAMILY = None,
    golden: GOLDEN = None,
) -> None:
    """Write the next version: its migration, frozen schema, golden document and changelog entry, all or none.

    What was added, removed, changed and perhaps renamed since the newest version is found automatically. You state what
    the absence of a new field meant, why something is gone, and whether numbers in another unit become others: on a
    terminal you are asked, elsewhere all missing statements are listed, with the complete command. Without any version,
    the first is written.

    \b
    Examples:
      tttcfg schema new "dropout" --absent 'ttt.dropout=0.0: there was no dropout'
      tttcfg schema new "clearer names" --rename ttt.base_lr:ttt.inner_lr
      tttcfg schema new "a dead knob goes" --reason 'reset_step: nothing used it'
      tttcfg schema new "milliseconds" --convert 'window: seconds until now'
      tttcfg schema new --amend
      tttcfg schema new "first version" --family my_trainer.config:FAMILY
    """
    history, today = history_here(family, golden), datetime.now(timezone.utc).date().isoformat()
    if not message.strip() and not amend and history.family.parent is None:
        raise typer.BadParameter('describe the change in a few words: tttcfg schema new "dropout"')
    words = [*(["--amend"] if amend else []), *([shlex.quote(message)] if message else [])]
    words += [f"--evidence {shlex.quote(evidence)}"] if evidence else []
    words += [f"--own {one}" for one in own or []]
    make = amended_draft if amend else partial(new_draft, date=today, own=own or [])
    answers = parsed(rename or [], absent or [], reason or [], convert or [], unconverted or [])
    draft = make(history, message, answers, evidence=evidence)
    while draft.missing and sys.stdin.isatty() and all(one.advice for one in draft.missing):
        answers = _asked(draft, answers)
        draft = make(history, message, answers, evidence=evidence)
    if draft.missing:
        _exit_with_missing(history, draft, answers, words)
    written = files_of(history, draft, changelog)
    for path in write_together(written.files):
        print_out(shown(path))
    for note in written.notes:
        print_err(printable(note))


def freeze(family: FAMILY = None, golden: GOLDEN = None, output: OUTPUT = "text") -> None:
    """Mark the newest version as released: from then on, a change of its files is an error in `tttcfg schema check`.

    The digests of its migration, schema and golden documents are recorded in released.json, beside the schemas.
    Nothing is released while the check finds anything; doing it again does nothing.

    \b
    Examples:
      tttcfg schema freeze
    """
    history = history_here(family, golden)
    problems = find_problems(history)
    _report(problems, output)
    if problems:
        raise typer.Exit(1)
    head, before = history.family.head, release(history)
    if output == "text":
        below = f", and every one from {before + 1}," if before + 1 < head else ""
        since = "already" if before == head else "now"
        where = shown(history.migrations.parent)
        print_err(f"version {head} of {history.family.name}{below} in {where}/ is {since} released")


def _history(given: str | None, golden: Path | None = None) -> History:
    """Return a family's files; no bytecode is written beside modules that are only read."""
    sys.dont_write_bytecode = True
    ignore_plug_ins()
    name = given or BUILT_IN
    family = family_named(name)
    named = "" if name == BUILT_IN else f" --family {shlex.quote(name)}"
    options = named + ("" if golden is None else f" --golden {shlex.quote(str(golden))}")
    return History(family, golden or usual_folder(family), options, named)


def history_here(name: str | None, golden: Path | None = None) -> History:
    """Return a family's files, having seen that they are those of the checkout that one stands in.

    Otherwise the steps and schemas of one checkout would be compared with the golden documents of another one, or
    written beside them.
    """
    history = _history(name, golden)
    if elsewhere := history.elsewhere:
        advice = "run it in the checkout that is imported, or install this one: pip install --editable ."
        advice += "; or give the family that you mean: --family module:NAME"
        raise InputError(Problem("schema", elsewhere, name or BUILT_IN, advice=advice))
    return history


def _report(problems: list[Problem], output: Output) -> None:
    if output == "json":
        print_json([one.as_json() for one in problems])
        return
    colours = ink(sys.stdout)
    notes = [one for one in problems if one.severity == "info"]
    problems = [one for one in problems if one not in notes]
    for one in problems:
        print_out(f"{colours('red', printable(str(one.place)))}: {printable(one.message)}")
        print_out(f"    {printable(one.advice)}")
    for one in notes:
        print_err(printable(f"note: {one.place}: {one.message}"))
    if problems:
        print_err(f"problems: {len(problems)}")


def _differences(history: History, versions: list[int]) -> list[SchemaChange]:
    family, chain = history.family, read_steps(history).chain
    if chain is None:
        message = f"the steps are not one line from the first version to the newest: {history.command('check')}"
        raise InputError(Problem("schema", message, place=shown(history.migrations)))
    if len(versions) > 2:
        raise typer.BadParameter(f"two versions are compared, not {len(versions)}")
    for version in versions:
        family.require_version(version)
    first = versions[0] if versions else family.head
    frozen, problems = read_frozen(history, family.head)
    for version in (first, *versions[1:]):
        if version not in frozen:
            place = shown(history.schema(version))
            message = next((one.message for one in problems if one.place == place), "is missing")
            raise InputError(Problem("not_found", message, place=place))
    old = fields_of(frozen[first])
    last = versions[1] if len(versions) > 1 else family.head
    fields = fields_of(frozen[last]) if len(versions) > 1 else fields_of(model_schema(family))
    steps = chain.migrations[first + 1 : last + 1]
    if family.parent is not None and len(versions) < 2:
        steps += waiting(family.parent, chain.migrations)
    return changes(old, fields, renames(steps, old))


def _asked(draft: Draft, answers: Answers) -> Answers:
    """Return `answers` with those to every missing statement, asked one by one on standard error."""
    absent, reasons, renamed = dict(answers.absent), dict(answers.reasons), dict(answers.renamed)
    converted, unconverted = dict(answers.converted), dict(answers.unconverted)
    for one in draft.missing:
        if one.code == "unit":
            question, _, _ = one.message.partition(":")
            becomes = _confirmed(f"{one.key} {question}: do old numbers become others, by a function that you write?")
            (converted if becomes else unconverted)[one.key] = _answer("  why, or how that is known")
        elif one.code == "absent" and (was := _renamed_from(one, renamed)):
            renamed[was] = one.key
        elif one.code == "absent":
            refused = one.key in absent
            typer.echo(printable(f"{one.key} {one.message if refused else 'is new'}."), err=True)
            value = _answer(f"  {VALUE.lower()} that the program took before there was {one.key}")
            absent[one.key] = Absent(value_of(value), _answer("  why, or how that is known"))
        elif one.key in renamed:
            continue
        elif one.suggestion and _confirmed(f"{one.key} is gone: did it become the secret {one.suggestion}?"):
            renamed[one.key] = one.suggestion
        else:
            reasons[one.key] = _answer(f"{one.key} is gone; why")
    return Answers(absent, reasons, renamed, answers.withheld, converted, unconverted)


def _renamed_from(one: Problem, renamed: Mapping[str, str]) -> str:
    """Return the field that a new one was, asking for each that it may be, or nothing."""
    asked = [was for was in filter(None, one.suggestion.split(SEPARATOR)) if was not in renamed]
    return next((was for was in asked if _confirmed(f"{one.key} is new, and {was} is gone: is it that one?")), "")


def _confirmed(question: str) -> bool:
    return typer.confirm(printable(question), err=True)


def _answer(question: str) -> str:
    return str(typer.prompt(printable(question), err=True))


def _exit_with_missing(history: History, draft: Draft, answers: Answers, words: list[str]) -> None:
    """Print the missing statements, and the command that gives them."""
    for one in draft.missing:
        print_err(printable(f"{one.key}: {one.message}"))
    again = without_refused(answers, draft.missing)
    lines = [" ".join(words), *spelled(again), *dict.fromkeys(one.advice for one in draft.missing if one.advice)]
    print_err("nothing is written; give them like this:")
    print_err(printable("  " + history.command("new " + " \\\n    ".join(lines))))
    raise typer.Exit(2)
