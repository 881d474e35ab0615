"""Fields of the sections that other fields hold: in a list, in a mapping, or where a section may be null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from tttcfg.schema.fields import ConfigField, alternatives, config_fields, is_section, kinds_of
from tttcfg.schema.paths import Path


class InnerField(NamedTuple):
    """A field of a section that another field holds: its declaration, and its name with `*` for every item or key."""

    field: ConfigField
    pattern: str

    @property
    def named(self) -> ConfigField:
        """The field by its whole name."""
        return self.field._replace(name=self.pattern)


def section_held(annotation: Any) -> tuple[type[BaseModel], bool] | None:
    """Return the section that values of a type hold, and whether several; see `tttcfg.schema.fragments.inside`."""
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    if len(kinds) != 1:
        return None
    if is_section(kinds[0]):
        return kinds[0], False
    several = get_origin(kinds[0]) in (list, tuple, dict, Sequence, Mapping)
    items = [kind for kind in get_args(kinds[0]) if kind is not ...] if several else []
    held = section_held(items[-1]) if items and (len(items) == 1 or items[0] is str) else None
    return (held[0], True) if held is not None and not held[1] and is_section(alternatives(items[-1])[0]) else None


def field_inside(field: ConfigField, below: Path) -> InnerField | None:
    """Return the field that is at a path in the sections which another one holds; None where there is none."""
    held = section_held(field.info.annotation)
    if held is None:
        return None
    model, each = held
    prefix, rest = (f"{field.name}.*", below[1:]) if each else (field.name, below)
    for depth in range(len(rest), 0, -1):
        inner = config_fields(model).get(".".join(rest[:depth]))
        if inner is not None and depth == len(rest):
            return InnerField(inner, f"{prefix}.{inner.name}")
        if inner is not None:
            deeper = field_inside(inner, rest[depth:])
            return deeper._replace(pattern=f"{prefix}.{deeper.pattern}") if deeper is not None else None
    return None


def fields_held(field: ConfigField) -> Iterator[InnerField]:
    """Yield every field of the sections that a field holds, and of those that these hold."""
    held = section_held(field.info.annotation)
    if held is None:
        return
    prefix = f"{field.name}.*." if held[1] else f"{field.name}."
    for inner in config_fields(held[0]).values():
        yield InnerField(inner, prefix + inner.name)
        yield from (one._replace(pattern=prefix + one.pattern) for one in fields_held(inner))


def leads_inside(field: ConfigField, below: Path) -> bool:
    """Whether a path below a field is an index of a list, an item or key of sections, or inside of one of these."""
    held = section_held(field.info.annotation)
    is_index = below[0].isascii() and below[0].isdigit() and len(below[0]) < 7
    if len(below) == 1 and (is_index or _is_mapping(field) or (held is not None and held[1])):
        return True
    if held is None:
        return False
    model, rest = held[0], below[1:] if held[1] else below
    inner = [(config_fields(model).get(".".join(rest[:depth])), rest[depth:]) for depth in range(len(rest), 0, -1)]
    return any(one is not None and (not left or leads_inside(one, left)) for one, left in inner)


def _is_mapping(field: ConfigField) -> bool:
    kinds = [kind for kind in kinds_of(field.info) if kind is not type(None)]
    return len(kinds) == 1 and get_origin(kinds[0]) in (dict, Mapping)


def names_inside(field: ConfigField, key: str) -> list[str]:
    """Return the names of the fields in a section that a field holds, after what precedes them."""
    held = section_held(field.info.annotation)
    return [f"{key}.{name}" for name in config_fields(held[0])] if held is not None else []
