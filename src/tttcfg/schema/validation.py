"""From pydantic's errors to ours: the key as it was written, its place, and the nearest valid name."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from tttcfg.errors import MAX_PROBLEMS, InputError, Place, Problem, nearest_key, quote
from tttcfg.schema.fields import PARTIAL, Role, config_fields, is_section
from tttcfg.schema.paths import MISSING, Path, get_path

Model = TypeVar("Model", bound=BaseModel)
WhereIs = Callable[[Path], "Place | str"]

_WORDING = (
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
_HINTS = {
    "int_from_float": "write a whole number",
    "float_type": "write a number without quotes",
    "int_type": "write a whole number without quotes or point",
    "bool_type": "write true or false",
    "string_type": "write text; put a number in quotes",
}


def validate(
    model: type[Model], tree: Any, where: WhereIs, names: Iterable[str] = (), *, partial: bool = False
) -> Model:
    """Return `tree` as a `model`, or raise one InputError with all that is wrong.

    What a saved document may hold, every source may: where values in Python's types are refused, those that JSON has
    for them decide, such as a list for a tuple.

    Args:
        where: Tells the place of a path, for the problems.
        names: Old spellings, to suggest beside the model's own names.
        partial: Whether other sources give the rest, so that rules across fields have to wait.
    """
    context = PARTIAL if partial else None
    try:
        return model.model_validate(tree, context=context)
    except ValidationError as error:
        refused = error
    try:
        return model.model_validate_json(json.dumps(tree, default=_shown), context=context)
    except ValidationError as error:
        refused = refused if error.errors()[0]["type"] == "json_invalid" else error
    except (TypeError, ValueError):
        pass  # what JSON has no value for
    raise InputError(problems_of(refused, model, tree, where, names))


def _shown(value: Any) -> Any:
    """Return a value of a model as JSON has it, secrets in full: it goes to no file."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    raise TypeError(f"a {type(value).__name__} has no value in JSON")


def problems_of(
    error: ValidationError, model: type[BaseModel], tree: Any, where: WhereIs, names: Iterable[str] = ()
) -> list[Problem]:
    """Return one problem per path of a ValidationError, never with a value that the error itself holds."""
    found: dict[Path, list[dict[str, Any]]] = {}
    names_of_model = list(_names(model))
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        if detail["type"] == "default_factory_not_called":
            continue  # a default that follows from a field which is wrong itself
        path = _real_path(tree, detail["loc"], names_of_model)
        found.setdefault(path, []).append(dict(detail))
    inner = {path[:depth] for path in found for depth in range(len(path))}
    found = {path: details for path, details in found.items() if path not in inner}  # an item says it better
    old = list(names)
    valid = [*names_of_model, *old]
    problems: list[Problem] = []
    for path, details in found.items():
        if details[0]["type"] == "extra_forbidden":
            for below in _unknown_below(path, tree, old):
                near = valid if len(problems) < MAX_PROBLEMS else ()  # looking for one takes time
                problems.append(_unknown(below, where(below), near, old))
        else:
            problems.append(
                _rejected(path, details, tree, where(path), _is_secret(model, path), _may_be_null(model, path))
            )
    return problems


def _unknown_below(path: Path, tree: Any, old: list[str]) -> list[Path]:
    """Return the keys below an unknown one where it is an old section: they are what is unknown."""
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
        sections, _, last = key.rpartition(".")
        message = f"is one name with dots in it; write {last} in a section {sections}"
        return Problem("unknown_key", message, key, place)
    return Problem("unknown_key", "no setting has this name", key, place, nearest_key(key, list(valid)))


def _real_path(tree: Any, location: tuple[int | str, ...], names: Collection[str]) -> Path:
    """Cut pydantic's location down to what stands in the tree, or is missing there: it names branches of unions too."""
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
    path: Path, details: list[dict[str, Any]], tree: Any, place: Place | str, secret: bool, nullable: bool
) -> Problem:
    reasons: dict[str, None] = dict.fromkeys(_reason(detail) for detail in details)
    value = get_path(tree, path, MISSING)
    shown = "" if value is MISSING or isinstance(value, dict) or secret else f"{quote(value)} is refused: "
    if nullable and isinstance(value, str) and value.lower() in ("none", "nil", ""):
        reasons["write null for nothing"] = None
    return Problem("rejected", shown + ", or ".join(reasons), ".".join(path), place)


def _is_secret(model: type[BaseModel], path: Path) -> bool:
    """Whether a secret stands at `path`, above it or below it."""
    secrets = [field.path for field in config_fields(model).values() if field.role is Role.SECRET]
    return any(secret[: len(path)] == path or path[: len(secret)] == secret for secret in secrets)


def _may_be_null(model: type[BaseModel], path: Path) -> bool:
    field = config_fields(model).get(".".join(path))
    return field is not None and field.nullable


def _reason(detail: dict[str, Any]) -> str:
    message: str = detail["msg"].removeprefix("Value error, ")
    for pydantic, ours in _WORDING:
        message = message.replace(pydantic, ours)
    hint = _HINTS.get(detail["type"])
    return f"{message} ({hint})" if hint else message


def _names(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, info in model.model_fields.items():
        yield prefix + name
        if is_section(info.annotation):
            yield from _names(info.annotation, f"{prefix}{name}.")
