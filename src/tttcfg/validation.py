"""From pydantic's errors to ours: the key as it was written, its place, and the nearest valid name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tttcfg.errors import InputError, Place, Problem, nearest_key, quote
from tttcfg.fields import PARTIAL, Path, dig, is_section
from tttcfg.record import MISSING

Model = TypeVar("Model", bound=BaseModel)
WhereIs = Callable[[Path], "Place | str"]

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

    Args:
        where: Tells the place of a path, for the problems.
        names: Old spellings, to suggest beside the model's own names.
        partial: Whether other sources give the rest, so that rules across fields have to wait.
    """
    try:
        return model.model_validate(tree, context=PARTIAL if partial else None)
    except ValidationError as error:
        raise InputError(problems_of(error, model, tree, where, names)) from None


def problems_of(
    error: ValidationError, model: type[BaseModel], tree: Any, where: WhereIs, names: Iterable[str] = ()
) -> list[Problem]:
    """Return one problem per path of a ValidationError, never with a value that the error itself holds."""
    found: dict[Path, list[dict[str, Any]]] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        path = _real_path(tree, detail["loc"])
        found.setdefault(path, []).append(dict(detail))
    old = list(names)
    valid = [*_names(model), *old]
    problems: list[Problem] = []
    for path, details in found.items():
        unknown = _unknown_below(path, details, tree, old)
        problems += [_problem(below, details, tree, where(below), valid) for below in unknown]
    return problems


def _unknown_below(path: Path, details: list[dict[str, Any]], tree: Any, old: list[str]) -> list[Path]:
    """Return the keys below an unknown one where it is an old section: they are what is unknown."""
    value, prefix = dig(tree, path), ".".join(path) + "."
    if (
        details[0]["type"] != "extra_forbidden"
        or not isinstance(value, dict)
        or not any(n.startswith(prefix) for n in old)
    ):
        return [path]
    return [below for key in value for below in _unknown_below((*path, key), details, tree, old)]


def _real_path(tree: Any, location: tuple[int | str, ...]) -> Path:
    """Cut pydantic's location down to what stands in the tree: it names branches of unions as well."""
    path: Path = ()
    for part in location:
        found = _child(tree, part)
        if found is not MISSING:
            tree = found
        elif isinstance(tree, dict):
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


def _problem(path: Path, details: list[dict[str, Any]], tree: Any, place: Place | str, valid: list[str]) -> Problem:
    key = ".".join(path)
    if details[0]["type"] == "extra_forbidden":
        return Problem("unknown_key", "no setting has this name", key, place, nearest_key(key, valid))
    reasons = dict.fromkeys(_reason(detail) for detail in details)
    value = dig(tree, path, MISSING)
    shown = "" if value is MISSING or isinstance(value, dict) or _secret(path) else f"{quote(value)} is refused: "
    return Problem("rejected", shown + ", or ".join(reasons), key, place)


def _reason(detail: dict[str, Any]) -> str:
    message: str = detail["msg"].removeprefix("Value error, ")
    for pydantic, ours in (("Input should be a valid ", "must be a "), ("Input should be ", "must be ")):
        message = message.replace(pydantic, ours)
    message = message.replace("a tuple", "a list").replace("a integer", "an integer")
    hint = _HINTS.get(detail["type"])
    return f"{message} ({hint})" if hint else message


def _secret(path: Path) -> bool:
    return path[-1:] == ("key",)


def _names(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, info in model.model_fields.items():
        yield prefix + name
        if is_section(info.annotation):
            yield from _names(info.annotation, f"{prefix}{name}.")
