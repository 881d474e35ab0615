"""Whether every field of a model says what it is, and takes its own default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, PydanticUserError, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tttcfg.evolution.faults import Fault
from tttcfg.family import Family
from tttcfg.fields import Role, is_section
from tttcfg.schema import RESERVED, model_schema

_ROLES = [role.value for role in Role]


def undeclared(model: type[BaseModel], prefix: str = "") -> Iterator[Fault]:
    """Yield every field without a role, a unit or a description, all that it lacks at once."""
    for name, info in model.model_fields.items():
        if not prefix and name in RESERVED:
            where = f"{model.__module__}.{model.__qualname__}.{name}"
            yield Fault("declaration", where, f"{name} is a key that every saved document has of its own", "rename it")
        if is_section(info.annotation):
            yield from undeclared(info.annotation, f"{prefix}{name}.")
            continue
        lacking = list(_lacking(info))
        if lacking:
            where = f"{model.__module__}.{model.__qualname__}.{name}"
            message = f"{prefix}{name} declares no {', no '.join(lacking)}"
            mend = f"{name} = setting(…, role=Role.…, unit=…, description=…); docs/roles.md of tttcfg says which role"
            yield Fault("declaration", where, message, mend)


def _lacking(info: FieldInfo) -> Iterator[str]:
    said = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    if said.get("x-role") not in _ROLES:
        yield "role"
    if not str(said.get("x-unit", "")).strip():
        yield "unit"
    if not (info.description or "").strip():
        yield "description"


def indescribable(family: Family) -> Iterator[Fault]:
    """Yield whether the model has a field of a type that no JSON Schema can describe."""
    try:
        model_schema(family)
    except PydanticUserError as error:
        where = f"{family.model.__module__}.{family.model.__qualname__}"
        said = str(error).partition("\n")[0]
        yield Fault(
            "declaration", where, f"no JSON Schema can be made: {said}", "give the field a type that JSON holds"
        )


def refused_defaults(model: type[BaseModel]) -> Iterator[Fault]:
    """Yield every default that its own field refuses; a field without a default is no fault."""
    try:
        model.model_validate(_defaults(model))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            if detail["type"] == "missing":
                continue
            path = ".".join(map(str, detail["loc"])) or model.__name__
            where = f"{model.__module__}.{model.__qualname__}"
            message = f"the default of {path} is refused by its own rules: {detail['msg']}"
            yield Fault("declaration", where, message, "change the default or the rule")


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
