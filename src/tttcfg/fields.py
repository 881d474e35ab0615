"""The one declaration a field has, and walking a model's leaves.

Restoring, comparing, hashing, redacting and documenting are all generated from what `setting`
records; there is no second list of field names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Path = tuple[str, ...]

PARTIAL = "partial"
"""Validation context of a source that gives some fields only: rules across fields have to wait for the rest."""
MAX_TEXT = 4096
Text = Annotated[str, Field(max_length=MAX_TEXT)]
"""Text of a setting. The bound also makes pydantic look at every character, and refuse lone surrogates."""


class Role(str, Enum):
    """What a field changes, and therefore what happens to it when a checkpoint is evaluated."""

    ARCHITECTURE = "architecture"
    """Names or shapes of tensors."""
    COMPUTATION = "computation"
    """What the same weights compute."""
    TRAINING = "training"
    """How the weights were trained."""
    RUN = "run"
    """Where this run reads and writes, and how fast."""
    SECRET = "secret"
    """Access; never written, printed or hashed."""


class Section(BaseModel):
    """The base of every configuration model: frozen, strict, closed, and silent about input in errors."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


def setting(default: Any = ..., *, role: Role, unit: str, description: str, **constraints: Any) -> Any:
    """Declare one field: its default, role, unit, description and constraints (pydantic's).

    Args:
        default: The value today's program takes where nobody gives one; left out where there is none.
        unit: What the number counts (`tokens`, `seconds`, `1` for a plain ratio, `name`, `path`, `switch`).
    """
    secret = role is Role.SECRET
    return Field(
        default,
        description=description,
        json_schema_extra={"x-role": role.value, "x-unit": unit},
        exclude=secret or None,
        repr=not secret,
        **constraints,
    )


class Leaf(NamedTuple):
    """One field at the end of a path: what was declared of it."""

    path: Path
    name: str
    info: FieldInfo
    role: Role
    unit: str
    get: Callable[[Any], Any]
    default: Any

    @property
    def description(self) -> str:
        return self.info.description or ""

    @property
    def nullable(self) -> bool:
        return type(None) in _alternatives(self.info.annotation)

    @property
    def is_text(self) -> bool:
        """Whether the field takes text verbatim: every alternative is text or a fixed set of words."""
        kinds = [kind for kind in _alternatives(self.info.annotation) if kind is not type(None)]
        return all(kind is str or _is_secret(kind) or get_origin(kind) is Literal for kind in kinds)


def _is_secret(kind: object) -> bool:
    return isinstance(kind, type) and hasattr(kind, "get_secret_value")


@lru_cache(maxsize=256)
def _alternatives(annotation: Any) -> tuple[Any, ...]:
    args = get_args(annotation)
    if get_origin(annotation) in (Literal, tuple) or not args:
        return (annotation,)
    return tuple(alternative for arg in args for alternative in _alternatives(arg))


def _walk(model: type[BaseModel], prefix: Path = ()) -> Iterator[Leaf]:
    for name, info in model.model_fields.items():
        path = (*prefix, name)
        if is_section(info.annotation):
            yield from _walk(info.annotation, path)
            continue
        declared = info.json_schema_extra
        if not isinstance(declared, dict) or not info.description:
            raise TypeError(f"{model.__name__}.{name} declares no role, unit and description; use setting()")
        dotted = ".".join(path)
        role, unit = Role(str(declared["x-role"])), str(declared["x-unit"])
        yield Leaf(path, dotted, info, role, unit, attrgetter(dotted), info.default)


@lru_cache(maxsize=64)
def leaves(model: type[BaseModel]) -> dict[str, Leaf]:
    """Return every leaf of `model` by dotted name, in declaration order."""
    return {leaf.name: leaf for leaf in _walk(model)}


@lru_cache(maxsize=64)
def sections(model: type[BaseModel]) -> frozenset[str]:
    """Return the dotted names of all sections of `model`."""
    return frozenset(
        ".".join(leaf.path[:depth]) for leaf in leaves(model).values() for depth in range(1, len(leaf.path))
    )


def nested(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return values of all leaves, by dotted name, as the sections of `model` hold them."""
    return _nested(values, _outline(model))


def _nested(values: dict[str, Any], outline: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    return {key: values[below] if isinstance(below, str) else _nested(values, below) for key, below in outline}


@lru_cache(maxsize=64)
def _outline(model: type[BaseModel], prefix: str = "") -> tuple[tuple[str, Any], ...]:
    """Return each field of `model` with its dotted name, or with the outline of its section."""
    return tuple(
        (name, _outline(info.annotation, f"{prefix}{name}.") if is_section(info.annotation) else prefix + name)
        for name, info in model.model_fields.items()
    )


def is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def dig(tree: Any, path: Path, default: Any = None) -> Any:
    """Return what stands at `path` in nested mappings, or `default`."""
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return default
        tree = tree[part]
    return tree


def plant(tree: Any, path: Path, value: Any) -> None:
    """Set `value` at `path`, making the mappings on the way; a value that is no mapping is left in the way."""
    for part in path[:-1]:
        if not isinstance(tree, dict):
            return
        if part not in tree:
            tree[part] = {}
        tree = tree[part]
    if isinstance(tree, dict):
        tree[path[-1]] = value


def plain(value: Any) -> Any:
    """Return a field's value as JSON would hold it: tuples become lists."""
    return [plain(item) for item in value] if isinstance(value, tuple) else value
