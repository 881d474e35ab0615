"""Whether every field of a model says what it is, and takes its own default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typing_extensions import is_typeddict

from tttcfg.errors import Problem
from tttcfg.family.family import Family
from tttcfg.family.json_schema import RESERVED, model_schema
from tttcfg.schema.fields import Role, alternatives, is_section, unit_of

_ROLES = [role.value for role in Role]
_HOLDING = (list, tuple, dict, Sequence, Mapping)
_HELD = (*_HOLDING, str, int, float, bool, type(None), SecretStr, Any, Literal, ...)
"""Types whose values come back from JSON as they went in; a list becomes a tuple where one is declared."""


def undeclared(model: type[BaseModel], prefix: str = "") -> Iterator[Problem]:
    """Yield every field without a role, a unit or a description, and every one that a document cannot hold."""
    for name, info in model.model_fields.items():
        if not prefix and name in RESERVED:
            where = f"{model.__module__}.{model.__qualname__}.{name}"
            yield Problem(
                "declaration",
                f"{name} is a key that every saved document has of its own",
                place=where,
                advice="rename it",
            )
        if is_section(info.annotation):
            yield from undeclared(info.annotation, f"{prefix}{name}.")
            continue
        where = f"{model.__module__}.{model.__qualname__}.{name}"
        yield from _unheld(info.annotation, f"{prefix}{name}", where)
        yield from _unheeded(info, f"{prefix}{name}", where)
        lacking = list(_lacking(info))
        if lacking:
            message = f"{prefix}{name} declares no {', no '.join(lacking)}"
            mend = f"{name} = setting(…, role=Role.…, unit=…, description=…); docs/roles.md of tttcfg says which role"
            yield Problem("declaration", message, place=where, advice=mend)


def _within(annotation: Any) -> Iterator[Any]:
    """Yield every type that an annotation is made of, down to the models."""
    for kind in alternatives(annotation):
        origin = get_origin(kind) or kind
        yield origin
        if origin in _HOLDING:
            for below in get_args(kind):
                yield from _within(below)


def _unheld(annotation: Any, path: str, where: str) -> Iterator[Problem]:
    """Yield every type of a field whose values JSON gives back as something else."""
    for kind in _within(annotation):
        if is_section(kind):
            for name, info in kind.model_fields.items():
                yield from _unheld(info.annotation, f"{path}.{name}", where)
        elif kind not in _HELD and not is_typeddict(kind):
            called = getattr(kind, "__name__", str(kind))
            message = f"{path} has the type {called}, of which JSON holds no value"
            mend = "declare what the file holds: text, a number, a Literal of words, a list; the trainer makes the rest"
            yield Problem("declaration", message, place=where, advice=mend)


def _unheeded(info: FieldInfo, path: str, where: str) -> Iterator[Problem]:
    """Yield every role below an optional or listed section: that is one value, and what it is, it is as a whole."""
    role = _declared(info).get("x-role")
    if role not in _ROLES or role == Role.SECRET.value:
        return
    for other in _other_roles(info.annotation, str(role), path):
        message = f"{other}, but {path} is one value, and its role {role} counts"
        mend = f"make {path} a section that is always there, or give both one role"
        yield Problem("declaration", message, place=where, advice=mend)


def _other_roles(annotation: Any, role: str, path: str) -> Iterator[str]:
    """Yield every field in the models that an annotation is made of which has a role other than `role`, and which."""
    for model in filter(is_section, _within(annotation)):
        for name, info in model.model_fields.items():
            below = _declared(info).get("x-role")
            if below in _ROLES and below != role:
                yield f"{path}.{name} has the role {below}"
            yield from _other_roles(info.annotation, role, f"{path}.{name}")


def _declared(info: FieldInfo) -> dict[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def _lacking(info: FieldInfo) -> Iterator[str]:
    said = _declared(info)
    if said.get("x-role") not in _ROLES:
        yield "role"
    if not unit_of(info):
        yield "unit"
    if not (info.description or "").strip():
        yield "description"


def indescribable(family: Family) -> Iterator[Problem]:
    """Yield whether the model has a field of a type that no JSON Schema can describe."""
    try:
        model_schema(family)
    except PydanticUserError as error:
        where = f"{family.model.__module__}.{family.model.__qualname__}"
        said = str(error).partition("\n")[0]
        yield Problem(
            "declaration",
            f"no JSON Schema can be made: {said}",
            place=where,
            advice="give the field a type that JSON holds",
        )


def refused_defaults(model: type[BaseModel]) -> Iterator[Problem]:
    """Yield every default that its own field refuses; a field without a default is no one."""
    try:
        model.model_validate(_defaults(model))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            if detail["type"] == "missing":
                continue
            path = ".".join(map(str, detail["loc"])) or model.__name__
            where = f"{model.__module__}.{model.__qualname__}"
            message = f"the default of {path} is refused by its own rules: {detail['msg']}"
            yield Problem("declaration", message, place=where, advice="change the default or the rule")


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if is_section(info.annotation):
            found[name] = _defaults(info.annotation)
        elif not info.is_required():
            value = info.get_default(call_default_factory=True, validated_data={})
            if value is not PydanticUndefined:
                found[name] = value
    return found
