"""`tttcfg history`: the versions of the schema and what each changed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tttcfg.cli.options import FAMILY
from tttcfg.cli.terminal import Output, ink, print_json, print_out
from tttcfg.report.history import versions
from tttcfg.resolving.families import chosen_family


def history(
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="One version, in full.", show_default=False)
    ] = None,
    family: FAMILY = None,
    output: Annotated[Output, typer.Option("--output", help="Form of the result.")] = Output.text,
) -> None:
    """List the schema's versions and what each changed.

    \b
    Examples:
      tttcfg history
      tttcfg history 7
    """
    chosen = chosen_family(family)
    found = [one for one in versions(chosen) if version in (None, one["version"])]
    if not found:
        raise typer.BadParameter(f"there is no version {version}; versions go from 0 to {chosen.head}")
    if output is Output.json:
        print_json(found)
        return
    colours = ink(sys.stdout)
    for one in found:
        print_out(colours("bold", f"version {one['version']}") + f"  {one['date']}  {one['summary']}")
        print_out(f"    {one['evidence']}")
        shown = one["operations"] if version is not None or one["version"] else []
        for operation in shown:
            print_out(f"    - {operation['line']}")
