"""Fields of the sections that other fields hold: in a list, in a mapping, or where a section may be null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from tttcfg.schema.fields import (
    ConfigField,
    Role,
    Variants,
    alternatives,
    config_fields,
    fields_of_variants,
    is_section,
    kinds_of,
    plain,
    variants_in,
)
from tttcfg.schema.fragments import sections_in
from tttcfg.schema.paths import Path, copied, get_path, pop_path, set_path

_SCALARS = (str, int, float, bool)


class Held(NamedTuple):
    """What a field holds: a section, or one of several variants; `each` where there are several such."""

    model: type[BaseModel] | Variants
    each: bool

    @property
    def fields(self) -> Mapping[str, ConfigField]:
        """The fields in it, by their names there."""
        return fields_of_variants(self.model) if isinstance(self.model, Variants) else config_fields(self.model)

    @property
    def models(self) -> Sequence[type[BaseModel]]:
        """The models that a section in it may be of."""
        return list(self.model.models.values()) if isinstance(self.model, Variants) else [self.model]

    @property
    def key(self) -> str:
        """The name of the discriminator, where it holds variants."""
        return self.model.key if isinstance(self.model, Variants) else ""

    def prefix(self, name: str) -> str:
        """Return what precedes the names of the fields inside the field of that name."""
        return f"{name}.*." if self.each else f"{name}."


class InnerField(NamedTuple):
    """A field of a section that another field holds: its declaration, and its name with `*` for every item or key."""

    field: ConfigField
    pattern: str

    @property
    def named(self) -> ConfigField:
        """The field by its whole name."""
        return self.field._replace(name=self.pattern)


def section_held(annotation: Any) -> Held | None:
    """Return what values of a type hold sections of; see `tttcfg.schema.fragments.inside`.

    Variants that a field itself holds are no such: their fields are fields of the configuration.
    """
    if annotation in _SCALARS:
        return None
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    if len(kinds) != 1:
        return None
    if is_section(kinds[0]):
        return Held(kinds[0], each=False)
    several = get_origin(kinds[0]) in (list, tuple, dict, Sequence, Mapping)
    items = [kind for kind in get_args(kinds[0]) if kind is not ...] if several else []
    if not items or (len(items) > 1 and items[0] is not str):
        return None
    if (variants := variants_in(items[-1])) is not None:
        return Held(variants, each=True)
    only = alternatives(items[-1])
    return Held(only[0], each=True) if len(only) == 1 and is_section(only[0]) else None


def field_inside(field: ConfigField, below: Path) -> InnerField | None:
    """Return the field that is at a path in the sections which another one holds; None where there is none."""
    held = section_held(field.info.annotation)
    if held is None:
        return None
    rest = below[1:] if held.each else below
    for depth in range(len(rest), 0, -1):
        inner = held.fields.get(".".join(rest[:depth]))
        if inner is not None and depth == len(rest):
            return InnerField(inner, held.prefix(field.name) + inner.name)
        if inner is not None:
            deeper = field_inside(inner, rest[depth:])
            pattern = "" if deeper is None else held.prefix(field.name) + deeper.pattern
            return deeper._replace(pattern=pattern) if deeper is not None else None
    return None


def fields_held(field: ConfigField) -> Iterator[InnerField]:
    """Yield every field of the sections that a field holds, and of those that these hold."""
    held = section_held(field.info.annotation)
    if held is None:
        return
    prefix = held.prefix(field.name)
    for inner in held.fields.values():
        yield InnerField(inner, prefix + inner.name)
        yield from (one._replace(pattern=prefix + one.pattern) for one in fields_held(inner))


def leads_inside(field: ConfigField, below: Path) -> bool:
    """Whether a path below a field is an index of a list, an item or key of sections, or inside of one of these."""
    held = section_held(field.info.annotation)
    is_index = below[0].isascii() and below[0].isdigit() and len(below[0]) < 7
    if len(below) == 1 and (is_index or _is_mapping(field) or (held is not None and held.each)):
        return True
    if held is None:
        return False
    rest = below[1:] if held.each else below
    if rest == (held.key,):
        return True
    inner = [(held.fields.get(".".join(rest[:depth])), rest[depth:]) for depth in range(len(rest), 0, -1)]
    return any(one is not None and (not left or leads_inside(one, left)) for one, left in inner)


def with_run_settings(field: ConfigField, value: Any, other: Any) -> Any | None:
    """Return a field's value with what another one gives of the role `run`, inside of sections that are the same.

    They are the same where all else in them is equal, at one index or key. The value comes back as plain data, None
    where nothing changes.
    """
    held = section_held(field.info.annotation)
    if held is None or all(one.role is not Role.RUN for one in held.fields.values()):
        return None
    changed, before = copied(plain(value)), plain(value)
    mine, theirs = (dict(sections_in("", plain(one), each=held.each)) for one in (value, other))
    new = dict(sections_in("", changed, each=held.each))
    given = _given_in(other, each=held.each)
    for name in mine.keys() & theirs.keys():
        run = [one for one in held.fields.values() if one.role is Role.RUN]
        rest = [copied(mine[name]), copied(theirs[name])]
        for tree in rest:
            for one in run:
                pop_path(tree, one.path)
        for one in run if rest[0] == rest[1] else ():
            if _is_given(given[name], one.path):
                set_path(new[name], one.path, get_path(theirs[name], one.path))
    return changed if changed != before else None


def _given_in(value: Any, *, each: bool) -> dict[str, BaseModel]:
    """Return the sections in a value by the names that `sections_in` gives them."""
    if not each:
        return {"": value}
    found = value.items() if isinstance(value, Mapping) else enumerate(value)
    return {f".{key}": item for key, item in found}


def _is_given(section: Any, path: Path) -> bool:
    """Whether a source gave what is at a path of a section."""
    for part in path:
        if part not in section.model_fields_set:
            return False
        section = getattr(section, part)
    return True


def _is_mapping(field: ConfigField) -> bool:
    kinds = [kind for kind in kinds_of(field.info) if kind is not type(None)]
    return len(kinds) == 1 and get_origin(kinds[0]) in (dict, Mapping)


def names_inside(field: ConfigField, key: str) -> list[str]:
    """Return the names of the fields in a section that a field holds, after what precedes them."""
    held = section_held(field.info.annotation)
    return [f"{key}.{name}" for name in held.fields] if held is not None else []
