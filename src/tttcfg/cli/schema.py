"""`tttcfg schema`: checking, comparing, extending and releasing the versions of a family's schema."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tttcfg.cli.asking import asked
from tttcfg.cli.options import FAMILY
from tttcfg.cli.terminal import Output, ink, print_err, print_json, print_out
from tttcfg.errors import InputError, Problem, printable
from tttcfg.family.json_schema import model_schema
from tttcfg.report.schema_changes import change_json, changes_text
from tttcfg.resolving.families import BUILT_IN, family_named
from tttcfg.schema.fragments import fields_of
from tttcfg.schema_tools.answers import Answers, parsed, spelled
from tttcfg.schema_tools.changes import Change, changes, compatibility, renames
from tttcfg.schema_tools.check import check as find_faults
from tttcfg.schema_tools.freeze import freeze as release
from tttcfg.schema_tools.frozen import read_frozen
from tttcfg.schema_tools.goldens import usual_folder
from tttcfg.schema_tools.layout import Sources, shown
from tttcfg.schema_tools.missing import without_refused
from tttcfg.schema_tools.new import Draft, amended_draft, files_of, new_draft
from tttcfg.schema_tools.released import unrecorded
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
OUTPUT = Annotated[Output, typer.Option("--output", help="Form of the result.")]


def check(family: FAMILY = None, golden: GOLDEN = None, output: OUTPUT = Output.text) -> None:
    """List what of a schema's history is missing or wrong, all at once, and how to mend it; nothing is written.

    Model, frozen schemas, migrations, golden documents and the declarations of all fields have to agree, and what is
    released has to be as it was. Made for CI: the exit code is 0 where all is well and 1 where anything is not.

    \b
    Examples:
      tttcfg schema check
      tttcfg schema check --family my_trainer.config:FAMILY --golden tests/golden
    """
    sources = _sources_here(family, golden)
    problems = find_faults(sources.family, sources.golden, sources.options)
    _report(problems, output)
    if note := unrecorded(sources):
        print_err(printable(note))
    if not problems and output is Output.text:
        print_err(f"{sources.family.name}: versions 0 to {sources.family.head} agree with the code and with each other")
    raise typer.Exit(1 if problems else 0)


def diff(
    versions: Annotated[
        list[int] | None,
        typer.Argument(metavar="[A [B]]", help="Versions; B is the code by default, A the newest.", show_default=False),
    ] = None,
    family: FAMILY = None,
    output: OUTPUT = Output.text,
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
    sources = _sources(family)
    found = _differences(sources, versions or [])
    if output is Output.json:
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
    the absence of a new field meant, and why something is gone: on a terminal you are asked, elsewhere all missing
    statements are listed, with the complete command. Without any version, the first is written.

    \b
    Examples:
      tttcfg schema new "dropout" --absent 'ttt.dropout=0.0: there was no dropout'
      tttcfg schema new "clearer names" --rename ttt.base_lr:ttt.inner_lr
      tttcfg schema new "a dead knob goes" --reason 'reset_step: nothing used it'
      tttcfg schema new --amend
      tttcfg schema new "first version" --family my_trainer.config:FAMILY
    """
    if not message.strip() and not amend:
        raise typer.BadParameter('describe the change in a few words: tttcfg schema new "dropout"')
    sources, today = _sources_here(family, golden), datetime.now(timezone.utc).date().isoformat()
    words = [*(["--amend"] if amend else []), *([shlex.quote(message)] if message else [])]
    words += [f"--evidence {shlex.quote(evidence)}"] if evidence else []
    make = amended_draft if amend else partial(new_draft, date=today)
    answers = parsed(rename or [], absent or [], reason or [])
    draft = make(sources, message, answers, evidence=evidence)
    while draft.missing and sys.stdin.isatty() and all(one.advice for one in draft.missing):
        answers = asked(draft, answers)
        draft = make(sources, message, answers, evidence=evidence)
    if draft.missing:
        _exit_with_missing(sources, draft, answers, words)
    written = files_of(sources, draft, changelog)
    for path in write_together(written.files):
        print_out(shown(path))
    for note in written.notes:
        print_err(printable(note))


def freeze(family: FAMILY = None, golden: GOLDEN = None, output: OUTPUT = Output.text) -> None:
    """Mark the newest version as released: from then on, a change of its files is an error in `tttcfg schema check`.

    The digests of its migration, schema and golden documents are recorded in released.json, beside the schemas.
    Nothing is released while the check finds anything; doing it again does nothing.

    \b
    Examples:
      tttcfg schema freeze
    """
    sources = _sources_here(family, golden)
    done = release(sources)
    _report(list(done.problems), output)
    if done.problems:
        raise typer.Exit(1)
    if output is Output.text:
        below = f", and every one from {done.before + 1}," if done.before + 1 < done.version else ""
        state = "already" if done.before == done.version else "now"
        print_err(f"version {done.version} of {sources.family.name}{below} is {state} released")


def _sources(given: str | None, golden: Path | None = None) -> Sources:
    """Return a family's files; no bytecode is written beside modules that are only read."""
    sys.dont_write_bytecode = True
    name = given or BUILT_IN
    family = family_named(name)
    options = "" if name == BUILT_IN else f" --family {shlex.quote(name)}"
    options += "" if golden is None else f" --golden {shlex.quote(str(golden))}"
    return Sources(family, golden or usual_folder(family), options)


def _sources_here(name: str | None, golden: Path | None) -> Sources:
    """Return a family's files, having seen that those of this package are not looked for in another project."""
    sources = _sources(name, golden)
    home = sources.migrations
    if name in (None, BUILT_IN) and golden is None and not home.is_relative_to(Path.cwd()):
        message = f"its files lie in {home}, not here; give --family module:NAME, or --golden FOLDER for this one"
        raise InputError(Problem("schema", message, BUILT_IN))
    return sources


def _report(problems: list[Problem], output: Output) -> None:
    if output is Output.json:
        print_json([one.as_json() for one in problems])
        return
    colours = ink(sys.stdout)
    for one in problems:
        print_out(f"{colours('red', printable(str(one.place)))}: {printable(one.message)}")
        print_out(f"    {printable(one.advice)}")
    if problems:
        print_err(f"{len(problems)} to mend")


def _differences(sources: Sources, versions: list[int]) -> list[Change]:
    family, chain = sources.family, read_steps(sources).chain
    if chain is None:
        message = f"the steps are not one line from the first version to the newest: {sources.command('check')}"
        raise InputError(Problem("schema", message, place=shown(sources.migrations)))
    if len(versions) > 2:
        raise typer.BadParameter(f"two versions are compared, not {len(versions)}")
    for version in versions:
        if not 0 <= version <= family.head:
            message = f"there is no version {version}; versions go from 0 to {family.head}"
            raise InputError(Problem("version", message, str(version)))
    first = versions[0] if versions else family.head
    frozen, problems = read_frozen(sources, family.head)
    for version in (first, *versions[1:]):
        if version not in frozen:
            place = shown(sources.schema(version))
            message = next((one.message for one in problems if one.place == place), "is missing")
            raise InputError(Problem("not_found", message, place=place))
    old = fields_of(frozen[first])
    last = versions[1] if len(versions) > 1 else family.head
    fields = fields_of(frozen[last]) if len(versions) > 1 else fields_of(model_schema(family))
    return changes(old, fields, renames(chain.migrations[first + 1 : last + 1], old))


def _exit_with_missing(sources: Sources, draft: Draft, answers: Answers, words: list[str]) -> None:
    """Print the missing statements, and the command that gives them."""
    for one in draft.missing:
        print_err(printable(f"{one.key}: {one.message}"))
    again = without_refused(answers, draft.missing)
    lines = [" ".join(words), *spelled(again), *dict.fromkeys(one.advice for one in draft.missing if one.advice)]
    print_err("nothing is written; give them like this:")
    print_err(printable("  " + sources.command("new " + " \\\n    ".join(lines))))
    raise typer.Exit(2)
