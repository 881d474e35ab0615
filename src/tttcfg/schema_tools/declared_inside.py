"""Whether fields that hold sections are declared so that each section can be distinguished and restored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tttcfg.errors import Problem
from tttcfg.schema.fields import (
    GRAVITY,
    ConfigField,
    Role,
    Variants,
    alternatives,
    config_fields,
    is_section,
    variants_in,
    variants_of,
)
from tttcfg.schema.inside import section_held
from tttcfg.schema_tools.layout import class_name

_NAME = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")


def undistinguished(info: FieldInfo, path: str, where: str) -> Iterator[Problem]:
    """Yield every union of sections, also of items, in which no discriminator states which one it is."""
    key = info.discriminator if isinstance(info.discriminator, str) else ""
    annotation: Any = info.annotation
    for union, named in _unions(annotation, key):
        models = [one for one in alternatives(union) if is_section(one)]
        if len(models) > 1 and variants_in(cast("Any", union), named) is None:
            names = " or ".join(one.__name__ for one in models)
            message = f"{path} is {names}, and nothing in a document states which"
            advice = 'give each a field such as name: Literal["…"] = "…", and the union discriminator="name"'
            yield _problem(where, message, advice)


def _unions(annotation: Any, key: str = "") -> Iterator[tuple[Any, str]]:
    """Yield the types of a field and of its items, with the discriminator that the field states."""
    yield annotation, key
    for kind in alternatives(annotation):
        if get_origin(kind) in (list, tuple, dict):
            for below in get_args(kind):
                yield from _unions(below)


def misdeclared(info: FieldInfo, variants: Variants, path: str, where: str) -> Iterator[Problem]:
    """Yield what is wrong with variants that a field holds one of."""
    names: dict[type[BaseModel], list[str]] = {}
    for name, model in variants.models.items():
        names.setdefault(model, []).append(name)
    models = list(filter(is_section, alternatives(cast("Any", info.annotation))))
    for model in models:
        yield from _misnamed(model, variants.key, names.get(model, []), path)
    default = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel):
        yield from _unusual(default, path, where)


def _misnamed(model: type[BaseModel], key: str, names: list[str], path: str) -> Iterator[Problem]:
    """Yield what is wrong with the discriminator of a variant."""
    info, where = model.model_fields[key], f"{class_name(model)}.{key}"
    stated = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    if not stated or not all(isinstance(one, str) and _NAME.fullmatch(one) for one in stated):
        message = f"{key} states which variant of {path} a section is, and is no name"
        yield _problem(where, message, f'declare {key}: Literal["…"] = "…", of letters, digits, _, + and -')
    elif info.is_required() or info.get_default() not in stated:
        yield _problem(where, f"{key} has no default, so that a {model.__name__} has no name", f'= "{stated[0]}"')
    if missing := [one for one in stated if isinstance(one, str) and one not in names]:
        yield _problem(where, f"another variant of {path} is called {missing[0]} as well", "give one another name")


def misplaced_roles(info: FieldInfo, path: str, where: str) -> Iterator[Problem]:
    """Yield fields inside of one that matter more than it does, that are secret, or have a role in each variant."""
    declared = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    role, held = declared.get("x-role"), section_held(info.annotation)
    variants = variants_of(info, plugged=False)
    if role not in [one.value for one in GRAVITY] or (held is None and variants is None):
        return
    around = path if held is None else held.prefix(path)[:-1]
    found: dict[str, ConfigField] = {}
    for name, field in _fields_inside(held.model if held is not None else cast("Variants", variants)):
        full = f"{around}{name}"
        if field.role is Role.SECRET:
            message = f"{full} is a secret, and {path} is not always there, or several times"
            yield _problem(where, message, "declare it in a section that is always there")
        elif GRAVITY.index(field.role) > GRAVITY.index(Role(role)):
            message = f"{full} has the role {field.role.value}, and {path}, which decides whether it is there, {role}"
            yield _problem(where, message, f"give {path} the role {field.role.value}")
        other = found.setdefault(field.name, field)
        if other.role is not field.role:
            message = f"{full} has the role {field.role.value}, and {other.role.value} in another variant"
            yield _problem(where, message, "give it one role, or one of the two another name")


def _fields_inside(held: type[BaseModel] | Variants) -> Iterator[tuple[str, ConfigField]]:
    """Yield the fields of a section, or of every variant, each with its name after that of what holds it."""
    if not isinstance(held, Variants):
        yield from ((f".{field.name}", field) for field in _fields(held, ""))
        return
    for tag, model in held.models.items():
        yield from ((f"[{tag}].{field.name}", field) for field in _fields(model, held.key))


def _fields(model: type[BaseModel], key: str) -> list[ConfigField]:
    try:
        return list(config_fields(model, key, plugged=False).values())
    except TypeError:
        return []  # a field without a declaration, which is reported as such


def _unusual(default: BaseModel, path: str, where: str) -> Iterator[Problem]:
    """Yield whether the default of a field is another section than its own model makes."""
    own = {
        name: info.get_default(call_default_factory=True, validated_data={})
        for name, info in type(default).model_fields.items()
    }
    differing = [name for name, value in own.items() if getattr(default, name) != value]
    if differing:
        message = f"the default of {path} has another {differing[0]} than {type(default).__name__} has by default"
        yield _problem(
            where, message, f"give it to {type(default).__name__}.{differing[0]}, and {type(default).__name__}() here"
        )


def _problem(where: str, message: str, advice: str) -> Problem:
    return Problem("declaration", message, place=where, advice=advice)
