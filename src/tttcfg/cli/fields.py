"""`tttcfg fields`: what every field is, and one field's history."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from tttcfg.cli.options import FAMILY, OUTPUT
from tttcfg.cli.terminal import ink, print_err, print_json, print_out
from tttcfg.family.extension import all_fields, extensions_of, path_of
from tttcfg.family.family import Family
from tttcfg.family.plugged import plugged_fields, plugins_for
from tttcfg.report import render
from tttcfg.report.history import field_history
from tttcfg.resolving.families import BUILT_IN, family_named
from tttcfg.schema.fields import UNSET, ConfigField, plain
from tttcfg.schema.inside import fields_held


def fields(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A field, a section, or an old name.", show_default=False)
    ] = None,
    family: FAMILY = None,
    output: OUTPUT = "text",
) -> None:
    """Print what a field is: role, unit, default and history; without KEY, list all fields.

    \b
    Examples:
      tttcfg fields
      tttcfg fields ttt
      tttcfg fields ttt.mini_batch_size
      tttcfg fields ttt.use_rope
    """
    chosen = family_named(family or BUILT_IN)
    fields: dict[str, ConfigField] = {}
    for name, one in all_fields(chosen).items():
        prefix = name.removesuffix(one.name)  # that of an extension
        fields |= {name: one, **{prefix + each.pattern: each.named for each in fields_held(one)}}
    names = list(fields) if key is None else render.names_at(key, fields, chosen)
    if output == "json":
        print_json(
            [
                {
                    "key": name,
                    "role": fields[name].role.value,
                    "unit": fields[name].unit,
                    "default": None if fields[name].default is UNSET else plain(fields[name].default),
                    "required": fields[name].is_required,
                    **_by_variant(fields[name]),
                    "description": fields[name].description,
                    "history": _history(chosen, name),
                }
                for name in names
            ]
        )
    elif len(names) == 1 and key is not None:
        print_out(render.field_text(fields[names[0]], _history(chosen, names[0]), ink(sys.stdout)))
    else:
        if key is not None and not any(name.startswith(f"{key}.") for name in names):
            print_err(f"{key} is an old name: its settings are in {', '.join(sorted(_sections(names)))} now")
        shown = [(name, fields[name]) for name in names]
        rows = [(name, one.role.value, one.unit, _default(one), one.description) for name, one in shown]
        print_out(render.table([("KEY", "ROLE", "UNIT", "DEFAULT", "WHAT IT IS"), *rows], ink(sys.stdout), ("cyan",)))


def _default(field: ConfigField) -> str:
    if field.declared:
        return render.default_text(field)
    return "required" if field.default is UNSET else render.value_text(field.default)


def _by_variant(field: ConfigField) -> dict[str, Any]:
    """Return the default of a field in every variant that has it, as JSON holds them; nothing for any other field."""
    found = {one.variant: None if one.default is UNSET else plain(one.default) for one in field.declared}
    return {"variants": found} if found else {}


def _sections(names: list[str]) -> set[str]:
    return {name.rpartition(".")[0] or name for name in names}


def _history(family: Family, name: str) -> list[str]:
    """Return the history of a field, be it an extension's."""
    for extension in extensions_of(family).values():
        path = path_of(extension.name)
        if name.startswith(path):
            return field_history(extension, name.removeprefix(path))
    return [*field_history(family, name), *_plugged_history(family, name)]


def _plugged_history(family: Family, name: str) -> Iterator[str]:
    """Yield the history of a field in the variants of plug-ins, each line with the plug-in's name."""
    for field in plugged_fields(family):
        for plugin in plugins_for(field) if name.startswith(f"{field.name}.") else ():
            inner = name.removeprefix(f"{field.name}.")
            yield from (f"{plugin.name}, {line}" for line in field_history(plugin, inner) if inner in plugin.fields)
