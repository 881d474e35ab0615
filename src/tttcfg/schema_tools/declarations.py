"""Whether every field of a model is declared completely, and accepts its own default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path, PosixPath, PurePath, PurePosixPath
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typing_extensions import is_typeddict

from tttcfg.errors import Problem
from tttcfg.family.family import Family
from tttcfg.family.json_schema import model_schema
from tttcfg.schema.fields import Role, Variants, alternatives, is_enumeration, is_section, unit_of, variants_of
from tttcfg.schema.fragments import EACH, RESERVED
from tttcfg.schema.inside import section_held
from tttcfg.schema_tools.declared_inside import misdeclared, misplaced_roles, undistinguished
from tttcfg.schema_tools.layout import class_name

_ROLES = [role.value for role in Role]
_CONTAINERS = (list, tuple, dict, Sequence, Mapping, set, frozenset)
_TEXTS = (Path, PurePath, PosixPath, PurePosixPath, date, datetime, time, timedelta)
_PLAIN = (*_CONTAINERS, *_TEXTS, str, int, float, bool, type(None), SecretStr, Any, Literal, ...)
"""Types whose values JSON gives back unchanged, from the one form that it has of them."""
_INSTEAD = {
    "bytes": "declare text, in hex or base64",
    "bytearray": "declare text, in hex or base64",
    "Decimal": "declare a float, or text",
    "Fraction": "declare two whole numbers",
    "complex": "declare a list of two floats",
    "Callable": "declare its name as text, and look it up in the trainer",
    "Pattern": "declare its text",
    "ndarray": "declare a list of numbers",
    "Tensor": "declare a list of numbers",
    "dtype": 'declare its name as a Literal ("bfloat16", …)',
    "device": "declare its name as text",
}


def undeclared(model: type[BaseModel], prefix: str = "", besides: str = "") -> Iterator[Problem]:
    """Yield every field without a role, a unit or a description, and every one that a document cannot contain.

    Args:
        besides: The name of a field that is none: the discriminator of a variant.
    """
    for name, info in model.model_fields.items():
        path, where = f"{prefix}{name}", f"{class_name(model)}.{name}"
        if name == besides:
            continue
        if path in RESERVED:
            yield _problem(where, f"{name} is a key that every saved document has of its own", "rename it")
        yield from _aliased(info, path, where)
        if is_section(info.annotation):
            yield from undeclared(info.annotation, f"{path}.")
            continue
        if recursive := next(_recursive(info.annotation, path), ""):
            message, advice = f"{recursive}, and a document has no room for any depth", "give it a depth of its own"
            yield _problem(where, message, f"{advice}, or declare a free-form mapping: dict[str, Any]")
            continue
        held, variants = section_held(info.annotation), variants_of(info, plugged=False)
        yield from _not_plain(info.annotation, path, where) if held is None and variants is None else ()
        yield from undistinguished(info, path, where)
        yield from misdeclared(info, variants, path, where) if variants is not None else ()
        inside = held is not None or variants is not None
        yield from misplaced_roles(info, path, where) if inside else _ignored_roles(info, path, where)
        missing = list(_missing(info))
        if missing:
            message = f"{path} declares no {', no '.join(missing)}"
            advice = f"{name} = setting(…, role=Role.…, unit=…, description=…); docs/roles.md of tttcfg has the roles"
            yield _problem(where, message, advice)
        if held is not None and not isinstance(held.model, Variants):
            yield from undeclared(held.model, held.prefix(path))
        elif variants := held.model if held is not None and isinstance(held.model, Variants) else variants:
            around = f"{path}.{EACH}" if held is not None else path
            for tag, one in variants.models.items():
                yield from undeclared(one, f"{around}[{tag}].", variants.key)


def _problem(where: str, message: str, advice: str) -> Problem:
    return Problem("declaration", message, place=where, advice=advice)


def _within(annotation: Any) -> Iterator[Any]:
    """Yield every type that an annotation is made of, down to the models."""
    for kind in alternatives(annotation):
        origin = get_origin(kind) or kind
        yield origin
        if origin in _CONTAINERS:
            for below in get_args(kind):
                yield from _within(below)


def _aliased(info: FieldInfo, path: str, where: str) -> Iterator[Problem]:
    """Yield whether a field is read or written under another name than its own."""
    aliases = (info.alias, info.validation_alias, info.serialization_alias)
    if alias := next((one for one in aliases if one is not None), None):
        message = f"{path} has the alias {alias!r}, and documents have every field by its own name"
        yield _problem(where, message, "leave the alias out; an old name is a Rename in a step")


def _recursive(annotation: Any, path: str, inside: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield every section in an annotation that is in itself, with its path."""
    for model in filter(is_section, _within(annotation)):
        if model in inside:
            yield f"{path} is a {model.__name__} inside a {model.__name__}"
        else:
            for name, info in model.model_fields.items():
                yield from _recursive(info.annotation, f"{path}.{name}", (*inside, model))


def _not_plain(annotation: Any, path: str, where: str) -> Iterator[Problem]:
    """Yield every type of a field whose values JSON gives back as something else."""
    for kind in _within(annotation):
        if is_section(kind):
            for name, info in kind.model_fields.items():
                yield from _not_plain(info.annotation, f"{path}.{name}", where)
        elif kind not in _PLAIN and not is_typeddict(kind) and not _is_plain_enumeration(kind):
            name = getattr(kind, "__name__", str(kind))
            message = f"{path} has the type {name}, which JSON has no values of"
            yield _problem(where, message, advice_for(kind))


def advice_for(kind: Any) -> str:
    """Return what to declare in place of a type that JSON has no values of."""
    if usual := _INSTEAD.get(getattr(kind, "__name__", str(kind))):
        return usual
    if str(getattr(kind, "__module__", "")).partition(".")[0] == "numpy":
        return "declare an int, a float or a bool"
    return "declare what is in the file: text, a number, a Literal, a list; the trainer converts it"


def _is_plain_enumeration(kind: Any) -> bool:
    return is_enumeration(kind) and all(isinstance(one.value, (str, int, float)) for one in kind)


def _ignored_roles(info: FieldInfo, path: str, where: str) -> Iterator[Problem]:
    """Yield every role below a value of sections of which none has a name, so that it has one role."""
    role = _declared(info).get("x-role")
    if role not in _ROLES or role == Role.SECRET.value:
        return
    for other in _other_roles(info.annotation, str(role), path):
        message = f"{other}, but {path} is one value, and its role {role} counts"
        yield _problem(where, message, f"make {path} a section that is always there, or give both one role")


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


def _missing(info: FieldInfo) -> Iterator[str]:
    if _declared(info).get("x-role") not in _ROLES:
        yield "role"
    if not unit_of(info):
        yield "unit"
    if not (info.description or "").strip():
        yield "description"


def indescribable(family: Family) -> Iterator[Problem]:
    """Yield whether the model has a field of a type that no JSON Schema can describe."""
    try:
        model_schema(family)
    except RecursionError:
        return  # a section in itself, which `undeclared` reports
    except PydanticUserError as error:
        cause = str(error).partition("\n")[0]
        message = f"no JSON Schema can be made: {cause}"
        yield _problem(class_name(family.model), message, "give the field a type that JSON has values of")


def refused_defaults(model: type[BaseModel]) -> Iterator[Problem]:
    """Yield every default that its own field refuses; a field without a default is not checked."""
    try:
        model.model_validate(_defaults(model))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            if detail["type"] != "missing":
                path = ".".join(map(str, detail["loc"])) or model.__name__
                message = f"the default of {path} is refused by its own rules: {detail['msg']}"
                yield _problem(class_name(model), message, "change the default or the rule")


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
