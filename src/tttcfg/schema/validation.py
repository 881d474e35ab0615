"""From pydantic's errors to problems: the key as written, its place, and the nearest valid name."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, TypeVar, Union

from pydantic import BaseModel, SecretStr, ValidationError, create_model

from tttcfg.errors import MAX_PROBLEMS, InputError, Place, Problem, nearest, nearest_key, quote
from tttcfg.schema.fields import (
    PARTIAL,
    Role,
    alternatives,
    closed,
    config_fields,
    is_section,
    plain,
    plugins_of,
    sections,
    variants_of,
)
from tttcfg.schema.paths import MISSING, Path, get_path, value_at
from tttcfg.secrets import assigns_secret, looks_secret

Model = TypeVar("Model", bound=BaseModel)
WhereIs = Callable[[Path], "Place | str"]

_WORDING = (
    ("Field required", "is missing"),
    ("Input should be a valid ", "must be a "),
    ("Input should be ", "must be "),
    ("Tuple should", "must"),
    ("String should have", "must have"),
    (" after validation", ""),
    ("a tuple", "a list"),
    ("a dictionary or instance of", "a section, as of"),
    ("an object", "a mapping"),
    ("a array", "a list"),
    ("a integer", "an integer"),
)
_OF_VARIANTS = ("union_tag_invalid", "union_tag_not_found")
_HINTS = {
    "int_from_float": "write a whole number",
    "float_type": "write a number without quotes",
    "int_type": "write a whole number without quotes or point",
    "bool_type": "write true or false",
    "string_type": "write text; put a number in quotes",
    "time_delta_type": "write it like PT1H30M",
    "time_delta_parsing": "write it like PT1H30M",
    "date_type": "write it like 2026-01-31",
    "date_from_datetime_parsing": "write it like 2026-01-31",
    "time_type": "write it like 07:30:00",
    "time_parsing": "write it like 07:30:00",
    "datetime_type": "write it like 2026-01-31T07:30:00",
    "datetime_from_date_parsing": "write it like 2026-01-31T07:30:00",
}


def validate(
    model: type[Model], tree: Any, where: WhereIs, names: Iterable[str] = (), *, partial: bool = False
) -> Model:
    """Return `tree` as a `model`, or raise one InputError with all that is wrong.

    Every source may have what a saved document may have: where values of Python's types are refused, their JSON values
    decide, such as a list for a tuple.

    Args:
        where: Returns the place of a path, for the problems.
        names: Old names, to recognise beside the model's own.
        partial: Whether other sources give the rest: nothing is missing, and rules across fields are not checked.
    """
    context, reader = (PARTIAL, _demanding_nothing(model)) if partial else (None, model)
    try:
        return reader.model_validate(tree, context=context)
    except ValidationError as error:
        refused = error
    try:
        return reader.model_validate_json(json.dumps(tree, default=_json_value), context=context)
    except ValidationError as error:
        refused = refused if error.errors()[0]["type"] == "json_invalid" else error
    except (TypeError, ValueError):
        pass  # a value that JSON cannot hold
    raise InputError(problems_of(refused, model, tree, where, names))


def accepted(model: type[Model], tree: Any) -> Model | None:
    """Return what a source gives of a model, or None where the model refuses it."""
    try:
        return validate(model, tree, lambda _: "", partial=True)
    except InputError:
        return None


@lru_cache(maxsize=64)
def _demanding_nothing(model: type[Model]) -> type[Model]:
    """Return a model that takes the same values and may lack all; the model itself where that demands none."""
    changed: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        kind: Any = _demanding_nothing(info.annotation) if is_section(info.annotation) else info.annotation
        if (variants := variants_of(info)) is not None:
            models = {one: _demanding_nothing(one) for one in variants.models.values()}
            others = tuple(one for one in alternatives(kind) if one not in models)
            kind = Union[(*models.values(), *others)] if any(one is not own for one, own in models.items()) else kind
        if info.is_required() or kind is not info.annotation:
            own = copy(info)
            if kind is not info.annotation:
                closed(own)  # what plug-ins provide is in the type
            own.default, own.annotation = (None if info.is_required() else info.default), kind
            own.discriminator = variants.key if variants is not None else info.discriminator
            changed[name] = (kind, own)
    return create_model(model.__name__, __base__=model, **changed) if changed else model


def _json_value(value: Any) -> Any:
    """Return a value of a model as JSON has it, secrets in full: it is written to no file."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if (found := plain(value)) is not value:
        return found
    raise TypeError(f"a {type(value).__name__} has no value in JSON")


def problems_of(
    error: ValidationError, model: type[BaseModel], tree: Any, where: WhereIs, names: Iterable[str] = ()
) -> list[Problem]:
    """Return one problem per path of a ValidationError, never with a value that the error itself holds."""
    found: dict[Path, list[dict[str, Any]]] = {}
    names_of_model = [*config_fields(model), *sections(model)]
    for detail in error.errors(include_url=False, include_input=False):
        if detail["type"] == "default_factory_not_called":
            continue  # a default that follows from a field which is wrong itself
        path = _real_path(tree, detail["loc"], names_of_model)
        found.setdefault(path, []).append(dict(detail))
    inner = {path[:depth] for path in found for depth in range(len(path))}
    found = {
        path: details for path, details in found.items() if path not in inner
    }  # the problem of an item is more precise
    old = list(names)
    valid = [*names_of_model, *old]
    problems: list[Problem] = []
    for path, details in found.items():
        if details[0]["type"] in _OF_VARIANTS:
            problems.append(_no_variant(path, details[0], where, model))
        elif details[0]["type"] == "extra_forbidden":
            for below in _unknown_below(path, tree, old):
                near = valid if len(problems) < MAX_PROBLEMS else ()  # looking for one takes time
                elsewhere = _of_other_variant(below, tree, model, old)
                unknown = _unknown(below, where(below), near, old)
                problems.append(unknown._replace(message=elsewhere) if elsewhere else unknown)
        else:
            problems.append(_rejected(path, details, tree, where(path), model))
    return problems


def _no_variant(path: Path, detail: dict[str, Any], where: WhereIs, model: type[BaseModel]) -> Problem:
    """Return the problem of a section that states no variant, or one that there is not."""
    stated, key = detail.get("ctx", {}), ".".join(path)
    name = str(stated.get("discriminator", "")).strip("'")
    known = [one.strip("'") for one in str(stated.get("expected_tags", "")).split(", ") if one]
    if detail["type"] == "union_tag_not_found":
        return Problem("missing", f"states no variant: {name} is missing", f"{key}.{name}", where(path))
    given = str(stated.get("tag", ""))
    shown = "of that name" if looks_secret(given) else quote(given)
    field = config_fields(model).get(key)
    group = plugins_of(field.info) if field is not None else ""
    others = f", and what plug-ins provide: install one with an entry point of {group} that has it" if group else ""
    message = f"has no variant {shown}; there are {', '.join(known)}{others}"
    return Problem("rejected", message, key, where((*path, name)), nearest(given, known))


def _of_other_variant(path: Path, tree: Any, model: type[BaseModel], old: Collection[str]) -> str:
    """Return what is wrong with a key that another variant than the one that is given has; empty for other keys."""
    fields, name = config_fields(model), ".".join(path)
    names = (".".join(path[:depth]) for depth in range(len(path) - 1, 0, -1))
    holder = next((fields[one] for one in names if one in fields and fields[one].variants is not None), None)
    if holder is None or holder.variants is None:
        return ""
    given = get_path(tree, (*holder.path, holder.variants.key))
    if (field := fields.get(name)) is not None and field.declared:
        having = dict.fromkeys(one.within.get(holder.name, one.variant) for one in field.declared)
        return f"is a setting of {' and '.join(having)}, and {holder.name} is {given}"
    return f"is the old name of a setting that {given}, which {holder.name} is, does not have" if name in old else ""


def _unknown_below(path: Path, tree: Any, old: list[str]) -> list[Path]:
    """Return the keys below an unknown one that is an old section, else the key itself."""
    value, prefix = get_path(tree, path), ".".join(path) + "."
    if not isinstance(value, dict) or not any(name.startswith(prefix) for name in old):
        return [path]
    return [below for key in value for below in _unknown_below((*path, key), tree, old)]


def _unknown(path: Path, place: Place | str, valid: Sequence[str], old: Sequence[str]) -> Problem:
    key = ".".join(path)
    if key in old:
        message = "is the old name of a setting that is given under its new name as well; keep one of them"
        return Problem("conflict", message, key, place)
    if key in valid:  # but not at that place: the dots are part of a name
        section, _, last = key.rpartition(".")
        message = f"is one name with dots in it; write {last} in a section {section}"
        return Problem("unknown_key", message, key, place)
    return Problem("unknown_key", "no setting has this name", key, place, nearest_key(key, list(valid)))


def _real_path(tree: Any, location: tuple[int | str, ...], names: Collection[str]) -> Path:
    """Return the part of pydantic's location that is in the tree, or missing there; it has branches of unions too."""
    path: Path = ()
    for part in location:
        found = _child(tree, part)
        if found is not MISSING:
            tree = found
        elif isinstance(tree, dict) and ".".join((*path, str(part))) in names:
            return (*path, str(part))
        else:
            continue
        path = (*path, str(part))
    return path


def _child(tree: Any, part: int | str) -> Any:
    if isinstance(tree, dict):
        return tree.get(part, MISSING)
    if isinstance(tree, (list, tuple)) and isinstance(part, int) and part < len(tree):
        return tree[part]
    return MISSING


def _rejected(
    path: Path, details: list[dict[str, Any]], tree: Any, place: Place | str, model: type[BaseModel]
) -> Problem:
    reasons: dict[str, None] = dict.fromkeys(_reason(detail) for detail in details)
    value = value_at(tree, path)
    hidden = value is MISSING or isinstance(value, dict) or _is_secret(model, path) or any(map(looks_secret, path))
    hidden = hidden or (isinstance(value, str) and assigns_secret(value))
    shown = "" if hidden else f"{quote(value)} is refused: "
    field = config_fields(model).get(".".join(path))
    if field is not None and field.nullable and isinstance(value, str) and value.lower() in ("none", "nil", ""):
        reasons["write null for nothing"] = None
    return Problem("rejected", shown + ", or ".join(reasons), ".".join(path), place)


def _is_secret(model: type[BaseModel], path: Path) -> bool:
    """Whether a secret is at `path`, above it or below it."""
    secrets = [field.path for field in config_fields(model).values() if field.role is Role.SECRET]
    return any(secret[: len(path)] == path or path[: len(secret)] == secret for secret in secrets)


def _reason(detail: dict[str, Any]) -> str:
    message: str = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing" and isinstance(detail["loc"][-1], int):
        return f"must have an item {detail['loc'][-1]}, too"
    for pydantic, ours in _WORDING:
        message = message.replace(pydantic, ours)
    hint = _HINTS.get(detail["type"])
    return f"{message} ({hint})" if hint else message
