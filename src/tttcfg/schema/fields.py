"""The one declaration of a field, and the fields of a model.

Restoring, comparing, hashing, redacting and documenting are all generated from what `setting` records; there is no
second list of field names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from pathlib import Path as FilePath
from pathlib import PurePath
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, to_jsonable_python

from tttcfg.schema.paths import Path, sections_of

GUESSED = "x-guessed"
"""What of a declaration says that its role is a guess; no schema has it."""
TYPES_WITH_A_TEXT = (PurePath, date, time, timedelta)
"""Types whose values are text in a file: paths, ISO 8601 dates, times and durations."""
_UNITS = {
    FilePath: "path",
    PurePath: "path",
    date: "date",
    datetime: "date and time",
    time: "time",
    timedelta: "duration",
}
MAX_WHOLE = 2**53
Whole = Annotated[int, Field(le=MAX_WHOLE)]
"""Whole number of a setting; every JSON reader keeps numbers up to that bound exactly."""
PARTIAL = "partial"
"""Validation context of a source that gives only some fields: rules across fields are not checked."""
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


class Guess(NamedTuple):
    """A role that is a guess, as `guessed` marks it."""

    role: Role


def guessed(role: Role) -> Guess:
    """Mark the role of a setting as a guess: `role=guessed(Role.TRAINING)`.

    `tttcfg family new` writes it. The setting works as one of that role; `tttcfg schema check` and `freeze` refuse it
    until `tttcfg family confirm` has removed the mark.
    """
    return Guess(role)


UNIT_TO_EDIT = "EDIT"
"""The unit of a number of which its author still has to state what it counts; `tttcfg schema check` refuses it."""


class Follows:
    """A default that depends on other fields of the section, computed when a configuration is created.

    The configuration has the value, not the rule: `model_copy` keeps it, whatever else it changes.

    Args:
        number: Returns the whole number that decides, from the fields of the section that are declared before this one.
        defaults: The default from each number on, ascending; two at least.
        counts: What the number counts, for documentation.
    """

    def __init__(self, number: Callable[[dict[str, Any]], int], defaults: dict[int, Any], counts: str) -> None:
        self.number, self.defaults, self.counts = number, defaults, counts

    def __call__(self, given: dict[str, Any]) -> Any:
        """Return the default where the section has these fields."""
        number = self.number(given)
        return next(value for least, value in reversed(self.defaults.items()) if number >= least)

    def __str__(self) -> str:
        (_, start), (first, value), *others = self.defaults.items()
        steps = [f"{value} from {first} {self.counts}", *(f"{value} from {least}" for least, value in others)]
        return ", ".join([str(start), *steps])


class Section(BaseModel):
    """The base of every configuration model: frozen, strict, closed, and without input values in errors.

    Attributes:
        SWITCH: The field that switches a section off, where it has such a field.
    """

    SWITCH: ClassVar[str] = "enable"

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Give sets the one order in which they are saved; models without any are as pydantic makes them."""
        super().__pydantic_init_subclass__(**kwargs)
        sets = [info for info in cls.model_fields.values() if any(get_origin(one) in _SETS for one in kinds_of(info))]
        for info in sets:
            info.metadata.append(PlainSerializer(plain, when_used="json-unless-none"))
        if sets:
            cls.model_rebuild(force=True)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to set a field, as pydantic does, without the value in the error."""
        refused: InitErrorDetails = {"type": "frozen_instance", "loc": (name,), "input": None}
        raise ValidationError.from_exception_data(type(self).__name__, [refused], hide_input=True)


def setting(default: Any = ..., *, role: Role | Guess, unit: str = "", description: str, **constraints: Any) -> Any:
    """Declare one field: its default, role, unit, description and constraints (pydantic's).

    Args:
        default: The value that the current program takes where none is given, or a `Follows`; left out where there is
            none.
        role: What the field changes; `guessed(role)` where that is not confirmed yet.
        unit: What a number counts (`tokens`, `seconds`; `dimensionless`), or what a text is (`path`). Left out where
            the type is enough: booleans, choices, free text.
        description: One sentence, as `tttcfg fields` prints it.
        constraints: Those of pydantic's `Field`, such as `ge=0`.
    """
    guess, role = isinstance(role, Guess), role.role if isinstance(role, Guess) else role
    secret = role is Role.SECRET
    declared: dict[str, Any] = {"x-role": role.value} | ({"x-unit": unit} if unit else {})
    declared |= {GUESSED: True} if guess else {}
    if isinstance(default, Follows):
        declared["x-default"] = str(default)
        constraints["default_factory"] = default
    else:
        constraints["default"] = default
    return Field(
        description=description, json_schema_extra=declared, exclude=secret or None, repr=not secret, **constraints
    )


UNSET: Any = object()
"""Placeholder of a value that the model itself fills in, or that is missing."""


class ConfigField(NamedTuple):
    """One field: its path, its dotted name, its declaration, and its default; UNSET where a value has to be given."""

    path: Path
    name: str
    info: FieldInfo
    role: Role
    get: Callable[[Any], Any]
    default: Any

    @property
    def unit(self) -> str:
        return unit_of(self.info)

    @property
    def description(self) -> str:
        return self.info.description or ""

    @property
    def follows(self) -> Follows | None:
        """The rule of a default that other fields decide; `default` is then its value in a section of defaults."""
        factory: Any = self.info.default_factory
        return factory if isinstance(factory, Follows) else None

    def default_in(self, root: Any) -> Any:
        """Return the default for the other values of the configuration `root`."""
        if self.follows is None:
            return self.default
        section = attrgetter(".".join(self.path[:-1]))(root) if len(self.path) > 1 else root
        return self.follows(dict(section))

    @property
    def _kinds(self) -> tuple[Any, ...]:
        annotation: Any = self.info.annotation
        return alternatives(annotation)

    @property
    def nullable(self) -> bool:
        return type(None) in self._kinds

    @property
    def is_text(self) -> bool:
        """Whether every value of the field is text in a file: free, one of its choices, a path, a date."""
        kinds = [kind for kind in self._kinds if kind is not type(None)]
        return all(kind is str or is_secret(kind) or _is_choice_of_texts(kind) or _has_a_text(kind) for kind in kinds)

    @property
    def is_free_text(self) -> bool:
        """Whether any text is accepted."""
        return any(one is str or (isinstance(one, type) and issubclass(one, PurePath)) for one in self._kinds)


def unit_of(info: FieldInfo) -> str:
    """Return the unit that a field declares, else what its type implies: `boolean`, its choices, or `text`.

    It is empty where the field has to declare one.
    """
    declared = info.json_schema_extra
    if isinstance(declared, dict) and (unit := str(declared.get("x-unit", "")).strip()):
        return unit
    annotation: Any = info.annotation
    kinds = [kind for kind in alternatives(annotation) if kind is not type(None)]
    if kinds == [bool]:
        return "boolean"
    if all(get_origin(kind) is Literal or is_enumeration(kind) for kind in kinds):
        choices = [one.value for one in kinds[0]] if is_enumeration(kinds[0]) else []
        return ", ".join(str(choice) for choice in (*choices, *(one for kind in kinds for one in get_args(kind))))
    if len(kinds) == 1 and kinds[0] in _UNITS:
        return _UNITS[kinds[0]]
    return "text" if all(kind is str or is_secret(kind) for kind in kinds) else ""


def _is_choice_of_texts(kind: Any) -> bool:
    choices = [one.value for one in kind] if is_enumeration(kind) else get_args(kind)
    return (get_origin(kind) is Literal or is_enumeration(kind)) and all(isinstance(one, str) for one in choices)


def is_enumeration(kind: Any) -> TypeGuard[type[Enum]]:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _has_a_text(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, TYPES_WITH_A_TEXT)


def kinds_of(info: FieldInfo) -> tuple[Any, ...]:
    """Return the types that the values of a field may have."""
    annotation: Any = info.annotation
    return alternatives(annotation)


def is_secret(kind: object) -> bool:
    """Whether a type hides its value."""
    return isinstance(kind, type) and hasattr(kind, "get_secret_value")


@lru_cache(maxsize=256)
def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a value may have, without the types of the items of lists and mappings."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    return tuple(alternative for arg in get_args(annotation) for alternative in alternatives(arg))


def _walk(model: type[BaseModel], prefix: Path = ()) -> Iterator[ConfigField]:
    if "SWITCH" in vars(model) and model is not Section and vars(model)["SWITCH"] not in model.model_fields:
        raise TypeError(f"{model.__name__} has no field {vars(model)['SWITCH']!r}, which SWITCH names")
    for name, info in model.model_fields.items():
        path = (*prefix, name)
        if is_section(info.annotation):
            yield from _walk(info.annotation, path)
            continue
        declared = info.json_schema_extra
        if not isinstance(declared, dict) or not info.description:
            raise TypeError(f"{model.__name__}.{name} declares no role and description; use setting()")
        dotted = ".".join(path)
        default = UNSET if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
        yield ConfigField(path, dotted, info, Role(str(declared["x-role"])), attrgetter(dotted), default)


@lru_cache(maxsize=64)
def config_fields(model: type[BaseModel]) -> dict[str, ConfigField]:
    """Return every field of `model` by dotted name, in declaration order."""
    return {field.name: field for field in _walk(model)}


@lru_cache(maxsize=64)
def sections(model: type[BaseModel]) -> frozenset[str]:
    """Return the dotted names of all sections of `model`."""
    return frozenset(sections_of(config_fields(model)))


Outline = dict[str, Any]
"""The fields of a model: each with its dotted name, or with the outline of its section."""


@lru_cache(maxsize=64)
def outline(model: type[BaseModel], prefix: str = "", *, secrets: bool = True) -> Outline:
    """Return the outline of `model`; without secrets, that of what is saved."""
    found: Outline = {}
    for name, info in model.model_fields.items():
        if is_section(info.annotation):
            found[name] = outline(info.annotation, f"{prefix}{name}.", secrets=secrets)
        elif secrets or not info.exclude:
            found[name] = prefix + name
    return found


def nested(values: dict[str, Any], outline: Outline) -> dict[str, Any]:
    """Return values of all fields, given by dotted name, section by section; those that are unset are left out."""
    return {
        key: values[below] if isinstance(below, str) else nested(values, below)
        for key, below in outline.items()
        if not isinstance(below, str) or values[below] is not UNSET
    }


def lacks(tree: dict[str, Any], outline: Outline) -> Iterator[str]:
    """Yield the dotted names of the fields that `tree` does not have."""
    for key, below in outline.items():
        if isinstance(below, str):
            if key not in tree:
                yield below
        elif isinstance(tree.get(key, {}), dict):
            yield from lacks(tree.get(key, {}), below)


def is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


_SCALAR = frozenset((str, int, float, bool, type(None)))
_CONTAINERS = (tuple, list, dict, BaseModel, *TYPES_WITH_A_TEXT, Enum)
_SETS = (set, frozenset)


def plain(value: Any) -> Any:
    """Return a field's value as JSON would hold it: tuples become lists, sections mappings, dates and paths text."""
    if type(value) in _SCALAR:
        return value
    if isinstance(value, _SETS):
        return in_canonical_order(map(plain, value))
    return to_jsonable_python(value) if isinstance(value, _CONTAINERS) else value


def in_canonical_order(values: Iterable[Any]) -> list[Any]:
    """Return the items of a set in the one order in which they are saved: numbers by size, and else by their JSON."""

    def key(value: Any) -> tuple[bool, float, str]:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return not number, float(value) if number else 0.0, json.dumps(value, sort_keys=True)

    return sorted(values, key=key)
