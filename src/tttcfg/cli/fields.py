"""`tttcfg fields`: what every field is, and one field's history."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from tttcfg.cli.options import FAMILY
from tttcfg.cli.terminal import Output, ink, print_json, print_out
from tttcfg.errors import InputError, Problem, nearest_key
from tttcfg.family.extension import all_fields, extensions_of, path_of
from tttcfg.family.family import Family
from tttcfg.report import render
from tttcfg.report.history import field_history
from tttcfg.resolving.families import chosen_family
from tttcfg.schema.fields import ConfigField, plain


def fields(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A field, a section, or an old spelling.", show_default=False)
    ] = None,
    family: FAMILY = None,
    output: Annotated[Output, typer.Option("--output", help="Form of the result.")] = Output.text,
) -> None:
    """Print what a field is: role, unit, default and history; without KEY, list all fields.

    \b
    Examples:
      tttcfg fields
      tttcfg fields ttt
      tttcfg fields ttt.mini_batch_size
      tttcfg fields ttt.use_rope
    """
    chosen = chosen_family(family)
    fields = all_fields(chosen)
    names = _names(key, chosen, fields)
    if output is Output.json:
        print_json(
            [
                {
                    "key": name,
                    "role": fields[name].role.value,
                    "unit": fields[name].unit,
                    "default": plain(fields[name].default),
                    "description": fields[name].description,
                    "history": _history(chosen, name),
                }
                for name in names
            ]
        )
    elif len(names) == 1 and key is not None:
        print_out(render.field_text(fields[names[0]], _history(chosen, names[0]), ink(sys.stdout)))
    else:
        rows = [
            (
                name,
                fields[name].role.value,
                fields[name].unit,
                render.value_text(fields[name].default),
                fields[name].description,
            )
            for name in names
        ]
        print_out(render.table([("KEY", "ROLE", "UNIT", "DEFAULT", "WHAT IT IS"), *rows], ink(sys.stdout), ("cyan",)))


def _history(family: Family, name: str) -> list[str]:
    """Return the history of a field, be it an extension's."""
    for extension in extensions_of(family).values():
        path = path_of(extension.name)
        if name.startswith(path):
            return field_history(extension, name.removeprefix(path))
    return field_history(family, name)


def _names(key: str | None, family: Family, fields: Mapping[str, ConfigField]) -> list[str]:
    if key is None:
        return list(fields)
    found = [name for name in fields if name == key or name.startswith(f"{key}.")]
    if not found:
        now = family.chain.spellings.get(key)
        if now:
            return [now]
        message = "no longer exists: nothing used it" if now == "" else "no setting has this name"
        raise InputError(
            Problem("unknown_key", message, key, suggestion="" if now == "" else nearest_key(key, list(fields)))
        )
    return found
