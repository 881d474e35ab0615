"""Putting the commands together, and turning errors into exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import typer

from tttcfg.cli.terminal import fail, print_out
from tttcfg.errors import InputError, Problem, TttcfgError
from tttcfg.resolving.families import family_in
from tttcfg.version import __version__

COMMANDS = ("resolve", "verify", "inspect", "migrate", "diff", "fields", "history", "schema")
EPILOG = (
    "Exit codes: 0 fine; 1 the answer is no (contradiction, difference, failed file); 2 wrong use or unreadable input."
)


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
            app.command(name, epilog=EPILOG, **getattr(module, "SETTINGS", {}))(_in_family(getattr(module, name)))
    return app


def _module(name: str) -> ModuleType:
    """Import one command: a run pays for no other."""
    match name:
        case "resolve":
            from tttcfg.cli import resolve

            return resolve
        case "verify":
            from tttcfg.cli import verify

            return verify
        case "inspect":
            from tttcfg.cli import inspect

            return inspect
        case "migrate":
            from tttcfg.cli import migrate

            return migrate
        case "diff":
            from tttcfg.cli import diff

            return diff
        case "fields":
            from tttcfg.cli import fields

            return fields
        case "history":
            from tttcfg.cli import history

            return history
        case _:
            from tttcfg.cli import schema

            return schema


def _in_family(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that runs again where, without --family, the documents that it reads name another one."""

    @wraps(command)
    def run(**given: Any) -> None:
        try:
            command(**given)
        except InputError as error:
            found = None if given.get("family") else family_in(error)
            if found is None:
                raise
            command(**{**given, "family": found.name})

    return run


def _group(name: str, module: ModuleType) -> typer.Typer:
    """Return the commands of a module that has several."""
    group = typer.Typer(name=name, no_args_is_help=True, rich_markup_mode=None, epilog=EPILOG, help=module.HELP)
    for one in module.COMMANDS:
        group.command(one, epilog=EPILOG)(getattr(module, one))
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
        application(args=prepared(arguments), prog_name="tttcfg")
    except TttcfgError as error:
        fail(error)
    except BrokenPipeError:
        _silence()
        sys.exit(141)
    except OSError as error:
        _silence()
        place = str(error.filename or "standard output")
        fail(InputError(Problem("unwritable", f"cannot be used: {error.strerror or error}", place=place)))


def _silence() -> None:
    """Keep the interpreter from writing what is left to a standard output that takes nothing more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prepared(arguments: list[str]) -> list[str]:
    """Give `--explain` its value, the key that follows it or everything; and keep the position of each `--set`."""
    if arguments[:1] != ["resolve"]:
        return arguments
    result: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--explain":
            follows = bool(rest) and not rest[0].startswith("-") and "=" not in rest[0]
            argument = f"--explain={rest.pop(0) if follows else '*'}"
        elif argument == "--set" and rest and "=" in rest[0]:  # overrides apply in the order in which they are given
            argument = rest.pop(0)
        elif argument.startswith("--set=") and argument.count("=") > 1:
            argument = argument.removeprefix("--set=")
        result.append(argument)
    return result
