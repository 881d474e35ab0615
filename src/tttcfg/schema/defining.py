"""What of a configuration defines the model, by the roles of fields and of those inside of them.

A field that holds a variant is its name, and the fields of that variant are fields of their own. Of sections in lists
and mappings, and of those that may be null, what is inside and has another role is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tttcfg.schema.fields import ConfigField, Role, plain
from tttcfg.schema.fragments import Fragment, Inside, alternatives, fields_inside, fields_of, inside, sections_in
from tttcfg.schema.inside import section_held
from tttcfg.schema.paths import MISSING, copied, get_path, pop_path, set_path, split

MODEL_DEFINING = (Role.ARCHITECTURE, Role.COMPUTATION)
_NAMES = {role.value for role in MODEL_DEFINING}


def defining_value(field: ConfigField, value: Any) -> Any:
    """Return the value of a field that defines the model, as plain data, without what inside of it does not."""
    return _without(plain(value), field)


def _without(value: Any, field: ConfigField) -> Any:
    held = section_held(field.info.annotation)
    if held is None or value is None or all(_defines(one) for one in held.fields.values()):
        return value
    value = copied(value)
    for _, item in sections_in("", value, each=held.each):
        for inner in held.fields.values():
            if inner.role not in MODEL_DEFINING:
                pop_path(item, inner.path)
            elif (found := get_path(item, inner.path, MISSING)) is not MISSING:
                set_path(item, inner.path, _without(found, inner))
    return value


def _defines(field: ConfigField) -> bool:
    """Whether a field and all that is inside of it define the model."""
    held = section_held(field.info.annotation)
    return field.role in MODEL_DEFINING and (held is None or all(map(_defines, held.fields.values())))


def defining_values(tree: Mapping[str, Any], schema: Fragment) -> dict[str, Any]:
    """Return what of a document defines the model, by dotted name, by the schema of its version."""
    found: dict[str, Any] = {}
    for name, fragment in fields_of(schema).items():
        found |= _of_field(name, get_path(tree, split(name), fragment.get("default")), fragment)
    return found


def _of_field(name: str, value: Any, fragment: Fragment) -> dict[str, Any]:
    """Return what of a field's value defines the model, by dotted name."""
    defines = fragment.get("x-role") in _NAMES
    variants = [one for one in inside(fragment) if one.variant is not None and not one.each]
    if not variants:
        return {name: _written(value, fragment)} if defines else {}
    found: dict[str, Any] = {name: None} if defines and value is None else {}
    for one in variants:
        for _, item in one.sections(name, value):
            found |= {name: one.variant[1]} if defines and one.variant is not None else {}
            for inner, below in _fields(one).items():
                found |= _of_field(f"{name}.{inner}", get_path(item, split(inner), below.get("default")), below)
    return found


def _written(value: Any, fragment: Fragment) -> Any:
    """Return a value as the model of its version wrote it, without what inside of it does not define the model.

    A whole number of a field of real ones is a real one.
    """
    held = inside(fragment)
    if held and value is not None:
        value = copied(value)
        for one in held:
            for _, item in one.sections("", value):
                for inner, below in _fields(one).items():
                    given = pop_path(item, split(inner))
                    if given is not MISSING and below.get("x-role", "architecture") in _NAMES:
                        set_path(item, split(inner), _written(given, below))
        return value
    if isinstance(value, list):
        items = [*fragment.get("prefixItems", ()), *[fragment.get("items", {})] * len(value)]
        return [_written(item, below) for item, below in zip(value, items, strict=False)]
    kinds = {one.get("type") for one in alternatives(fragment)}
    return float(value) if type(value) is int and "number" in kinds and "integer" not in kinds else value


def _fields(found: Inside) -> dict[str, Fragment]:
    """Return the fields of a section that a field holds, by their names there."""
    return {name.removeprefix(found.prefix("")): one for name, one in fields_inside("", found).items()}
