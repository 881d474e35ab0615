"""`tttcfg history`: the versions of the schema and what each changed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tttcfg.cli.options import FAMILY, OUTPUT
from tttcfg.cli.terminal import ink, print_json, print_out
from tttcfg.report.history import versions
from tttcfg.resolving.families import BUILT_IN, family_named


def history(
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="One version, in full.", show_default=False)
    ] = None,
    family: FAMILY = None,
    output: OUTPUT = "text",
) -> None:
    """List the schema's versions and what each changed.

    \b
    Examples:
      tttcfg history
      tttcfg history 7
    """
    chosen = family_named(family or BUILT_IN)
    if version is not None:
        chosen.require_version(version)
    found = [one for one in versions(chosen) if version in (None, one["version"])]
    if output == "json":
        print_json(found)
        return
    colours = ink(sys.stdout)
    for one in found:
        parent = f"  (version {one['parent']['version']} of {one['parent']['family']})" if "parent" in one else ""
        print_out(colours("bold", f"version {one['version']}") + f"  {one['date']}  {one['summary']}{parent}")
        print_out(f"    {one['evidence']}")
        shown = one["operations"] if version is not None or one["version"] else []
        for operation in shown:
            print_out(f"    - {operation['line']}")
