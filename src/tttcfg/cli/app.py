"""Putting the commands together, and turning errors into exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections import deque
from io import StringIO
from types import ModuleType
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand

from tttcfg.cli.terminal import discard, fail, print_err, print_out
from tttcfg.errors import InputError, Problem, TttcfgError, printable
from tttcfg.secrets import without_secrets
from tttcfg.version import __version__

COMMANDS = ("resolve", "verify", "inspect", "migrate", "scrub", "diff", "fields", "history", "family", "schema")
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
"""click's ClickException, which typer has no name for; with some of its versions it comes from a copy of click."""
EPILOG = (
    "Exit codes: 0 fine; 1 the answer is no (contradiction, difference, failed file); 2 wrong use or unreadable input."
)


class _Command(TyperCommand):
    """A command that prints no argument that may be a secret: one too many, or what is assigned to a key."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        try:
            rest: list[str] = super().parse_args(ctx, args)
        except _USAGE_ERROR as error:
            vars(error)["message"] = without_secrets(vars(error)["message"])
            raise
        if rest and not ctx.resilient_parsing:
            ctx.fail(f"Got {len(rest)} unexpected extra argument{'s' if len(rest) > 1 else ''}")
        return rest


def build(names: tuple[str, ...]) -> typer.Typer:
    """Return the application with the commands of those names, importing no others."""
    app = typer.Typer(
        name="tttcfg",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name in names:
        module = _module(name)
        if hasattr(module, "COMMANDS"):
            app.add_typer(_group(name, module), name=name)
        else:
            settings = getattr(module, "SETTINGS", {})
            app.command(name, cls=_Command, epilog=EPILOG, **settings)(getattr(module, name))
    return app


def _module(name: str) -> ModuleType:
    """Import one command: a run pays for no other."""
    match name:
        case "resolve":
            import tttcfg.cli.resolve
        case "verify":
            import tttcfg.cli.verify
        case "inspect":
            import tttcfg.cli.inspect
        case "migrate":
            import tttcfg.cli.migrate
        case "scrub":
            import tttcfg.cli.scrub
        case "diff":
            import tttcfg.cli.diff
        case "fields":
            import tttcfg.cli.fields
        case "history":
            import tttcfg.cli.history
        case "family":
            import tttcfg.cli.family
        case _:
            import tttcfg.cli.schema
    module: ModuleType = getattr(tttcfg.cli, name)
    return module


def _group(name: str, module: ModuleType) -> typer.Typer:
    """Return the commands of a module that has several."""
    group = typer.Typer(name=name, no_args_is_help=True, rich_markup_mode=None, epilog=EPILOG, help=module.HELP)
    for one in module.COMMANDS:
        group.command(one, cls=_Command, epilog=EPILOG)(getattr(module, one))
    return group


def _version(wanted: bool) -> None:
    if wanted:
        print_out(f"tttcfg {__version__}")
        raise typer.Exit


def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Configurations of test-time-training checkpoints: resolve, verify, migrate, compare, explain."""
    del version


def run(arguments: list[str]) -> None:
    """Run the command line and exit with its code."""
    names = tuple(name for name in COMMANDS if name in arguments[:1]) or COMMANDS
    try:
        application = build(names)
        gc.freeze()
        gc.enable()
        sys.exit(typer.main.get_command(application)(prepared(arguments), "tttcfg", standalone_mode=False))
    except TttcfgError as error:
        fail(error)
    except _USAGE_ERROR as error:
        _misused(error)
    except BrokenPipeError:
        discard(sys.stdout)
        sys.exit(141)
    except OSError as error:
        discard(sys.stdout)
        fail(InputError(_unusable(error)))


def _unusable(error: OSError) -> Problem:
    """Return what the file system refused where nothing else foresaw it, as a problem of a file, folder or stream."""
    if error.filename is None and isinstance(error, FileNotFoundError):  # no stream that is open is missing
        return Problem("not_found", "is a folder that was removed", place=os.curdir, advice="change to another one")
    place = str(error.filename or "standard output")
    return Problem("unwritable", f"cannot be used: {error.strerror or error}", place=place)


def _misused(error: Any) -> NoReturn:
    """Print what typer does not take, and exit with its code; an option that it does not know may be any text."""
    shown = StringIO()
    error.show(file=shown)
    try:
        print_err(printable(shown.getvalue()))
    except OSError:
        discard(sys.stderr)
    sys.exit(error.exit_code)


def prepared(arguments: list[str]) -> list[str]:
    """Give `--explain` its value, the key that follows it or everything; and keep the position of each `--set`."""
    if arguments[:1] != ["resolve"]:
        return arguments
    result: list[str] = []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if argument == "--explain":
            follows = bool(rest) and not rest[0].startswith("-") and "=" not in rest[0]
            argument = f"--explain={rest.popleft() if follows else '*'}"
        elif argument == "--set" and rest and "=" in rest[0]:  # overrides apply in the order in which they are given
            argument = rest.popleft()
        elif argument.startswith("--set=") and argument.count("=") > 1:
            argument = argument.removeprefix("--set=")
        result.append(argument)
    return result
