"""`tttcfg fields`: what every field is, and one field's history."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tttcfg import render
from tttcfg.cli.terminal import Output, ink, say, say_json
from tttcfg.errors import InputError, Problem, nearest_key
from tttcfg.fields import plain
from tttcfg.history import field_history
from tttcfg.ttt_moshi.family import TTT_MOSHI


def fields(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A field, a section, or an old spelling.", show_default=False)
    ] = None,
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
    names = _names(key)
    leaves = TTT_MOSHI.leaves
    if output is Output.json:
        say_json(
            [
                {
                    "key": name,
                    "role": leaves[name].role.value,
                    "unit": leaves[name].unit,
                    "default": plain(leaves[name].default),
                    "description": leaves[name].description,
                    "history": field_history(TTT_MOSHI, name),
                }
                for name in names
            ]
        )
    elif len(names) == 1 and key is not None:
        say(render.field_text(leaves[names[0]], field_history(TTT_MOSHI, names[0]), ink(sys.stdout)))
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


def _names(key: str | None) -> list[str]:
    leaves = TTT_MOSHI.leaves
    if key is None:
        return list(leaves)
    found = [name for name in leaves if name == key or name.startswith(f"{key}.")]
    if not found:
        now = TTT_MOSHI.chain.spellings.get(key)
        if now:
            return [now]
        message = "no longer exists: nothing read it" if now == "" else "no setting has this name"
        raise InputError(
            Problem("unknown_key", message, key, suggestion="" if now == "" else nearest_key(key, list(leaves)))
        )
    return found
