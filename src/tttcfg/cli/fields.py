"""`tttcfg fields`: what every field is, and one field's history."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from tttcfg import render
from tttcfg.cli.options import FAMILY
from tttcfg.cli.terminal import Output, ink, say, say_json
from tttcfg.errors import InputError, Problem, nearest_key
from tttcfg.extension import all_leaves, extensions_of, path_of
from tttcfg.families import BUILT_IN, family_named
from tttcfg.family import Family
from tttcfg.fields import Leaf, plain
from tttcfg.history import field_history


def fields(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A field, a section, or an old spelling.", show_default=False)
    ] = None,
    family: FAMILY = BUILT_IN,
    output: Annotated[Output, typer.Option("--output", help="Form of the result.")] = Output.text,
) -> None:
    """Say what a field is: role, unit, default and history; without KEY list them all.

    \b
    Examples:
      tttcfg fields
      tttcfg fields ttt
      tttcfg fields ttt.mini_batch_size
      tttcfg fields ttt.use_rope
    """
    chosen = family_named(family)
    leaves = all_leaves(chosen)
    names = _names(key, chosen, leaves)
    if output is Output.json:
        say_json(
            [
                {
                    "key": name,
                    "role": leaves[name].role.value,
                    "unit": leaves[name].unit,
                    "default": plain(leaves[name].default),
                    "description": leaves[name].description,
                    "history": _history(chosen, name),
                }
                for name in names
            ]
        )
    elif len(names) == 1 and key is not None:
        say(render.field_text(leaves[names[0]], _history(chosen, names[0]), ink(sys.stdout)))
    else:
        rows = [
            (
                name,
                leaves[name].role.value,
                leaves[name].unit,
                render.value_text(leaves[name].default),
                leaves[name].description,
            )
            for name in names
        ]
        say(render.table([("KEY", "ROLE", "UNIT", "DEFAULT", "WHAT IT IS"), *rows], ink(sys.stdout), ("cyan",)))


def _history(family: Family, name: str) -> list[str]:
    """Return the history of a field, be it an extension's."""
    for extension in extensions_of(family).values():
        path = path_of(extension.name)
        if name.startswith(path):
            return field_history(extension, name.removeprefix(path))
    return field_history(family, name)


def _names(key: str | None, family: Family, leaves: Mapping[str, Leaf]) -> list[str]:
    if key is None:
        return list(leaves)
    found = [name for name in leaves if name == key or name.startswith(f"{key}.")]
    if not found:
        now = family.chain.spellings.get(key)
        if now:
            return [now]
        message = "no longer exists: nothing read it" if now == "" else "no setting has this name"
        raise InputError(
            Problem("unknown_key", message, key, suggestion="" if now == "" else nearest_key(key, list(leaves)))
        )
    return found
