"""The one declaration of a field, and the fields of a model.

Restoring, comparing, hashing, redacting and documenting are all generated from what `setting` records; there is no
second list of field names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path as FilePath
from pathlib import PurePath
from types import MappingProxyType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeGuard, Union, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WrapValidator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, to_jsonable_python

from tttcfg.errors import InputError, Problem
from tttcfg.schema.paths import Path, sections_of
from tttcfg.schema.plugged import PLUGINS, Plugged, provided

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


class Guess:
    """A role that is a guess, as `guessed` marks it."""

    def __init__(self, role: Role) -> None:
        self.role = role


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
        """Give sets the one order in which they are saved, and fields what plug-ins provide.

        Models without either are as pydantic makes them.
        """
        super().__pydantic_init_subclass__(**kwargs)
        extensible = [
            one for one in cls.model_fields.values() if plugins_of(one) and not any(map(_is_wide, one.metadata))
        ]
        for info in extensible:
            info.metadata += [SerializeAsAny(), WrapValidator(_Wide(info))]  # type: ignore[type-arg]
        sets = [info for info in cls.model_fields.values() if any(get_origin(one) in _SETS for one in kinds_of(info))]
        for info in sets:
            info.metadata.append(PlainSerializer(plain, when_used="json-unless-none"))
        if sets or extensible:
            cls.model_rebuild(force=True)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to set a field, as pydantic does, without the value in the error."""
        refused: InitErrorDetails = {"type": "frozen_instance", "loc": (name,), "input": None}
        raise ValidationError.from_exception_data(type(self).__name__, [refused], hide_input=True)


def setting(
    default: Any = ..., *, role: Role | Guess, unit: str = "", description: str, plugins: str = "", **constraints: Any
) -> Any:
    """Declare one field: its default, role, unit, description and constraints (pydantic's).

    Args:
        default: The value that the current program takes where none is given, or a `Follows`; left out where there is
            none.
        role: What the field changes; `guessed(role)` where that is not confirmed yet.
        unit: What a number counts (`tokens`, `seconds`; `dimensionless`), or what a text is (`path`). Left out where
            the type is enough: booleans, choices, free text.
        description: One sentence, as `tttcfg fields` prints it.
        plugins: The group of entry points by which plug-ins provide more variants; the field has a `discriminator`.
        constraints: Those of pydantic's `Field`, such as `ge=0`.
    """
    guess, role = isinstance(role, Guess), role.role if isinstance(role, Guess) else role
    secret = role is Role.SECRET
    declared: dict[str, Any] = {"x-role": role.value} | ({"x-unit": unit} if unit else {})
    declared |= {GUESSED: True} if guess else {}
    declared |= {PLUGINS: plugins} if plugins else {}
    if plugins and not isinstance(constraints.get("discriminator"), str):
        raise TypeError(f"a field with variants of plug-ins ({plugins}) states its discriminator")
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


class Variants(NamedTuple):
    """The sections of which a field holds one; a field of every one of them, the discriminator, states which.

    Attributes:
        key: The name of the discriminator.
        models: The sections, by the value that their discriminator has, which is the name of the variant.
        plugins: What provides those that are not the family's own, by the same names.
    """

    key: str
    models: Mapping[str, type[BaseModel]]
    plugins: Mapping[str, Plugged] = MappingProxyType({})

    def name_of(self, section: Any) -> str | None:
        """Return the name of the variant that a section is, or None for null."""
        return None if section is None else str(getattr(section, self.key))


class Declared(NamedTuple):
    """How a field of variants is declared in one of them.

    Attributes:
        within: The variant that each field around it has to hold, by the dotted names of these.
        info: Its declaration.
        default: Its default there; UNSET where a value has to be given.
    """

    within: Mapping[str, str]
    info: FieldInfo
    default: Any

    @property
    def variant(self) -> str:
        """The name of the innermost variant."""
        return next(reversed([*self.within.values()]))


class ConfigField(NamedTuple):
    """One field: its path, its dotted name, its declaration, and its default; UNSET where a value has to be given.

    A field that holds one of several variants has the name of the variant as its value. The fields of these follow: one
    for each name, whichever variants have it, with the declaration of the first of these. `get` returns UNSET for one
    that the variant of a configuration does not have.

    Attributes:
        declared: Its declarations in variants; none of a field that every configuration has.
    """

    path: Path
    name: str
    info: FieldInfo
    role: Role
    get: Callable[[Any], Any]
    default: Any
    declared: tuple[Declared, ...] = ()

    @property
    def variants(self) -> Variants | None:
        """The variants that it holds one of, if it does."""
        return variants_of(self.info)

    @property
    def around(self) -> tuple[str, ...]:
        """The fields that hold the variants that have it, the outermost first."""
        return tuple(self.declared[0].within) if self.declared else ()

    @property
    def is_required(self) -> bool:
        """Whether a value has to be given, in any variant that has it."""
        return any(one.default is UNSET for one in self.declared) if self.declared else self.default is UNSET

    def declared_in(self, held: Mapping[str, Any]) -> Declared | None:
        """Return its declaration where fields hold these variants, by name; None where it is not there."""
        fitting = (one for one in self.declared if all(held.get(name) == tag for name, tag in one.within.items()))
        return next(fitting, None)

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
        return tuple(kind for info in (self.info, *(one.info for one in self.declared[1:])) for kind in kinds_of(info))

    @property
    def nullable(self) -> bool:
        return type(None) in self._kinds

    @property
    def is_text(self) -> bool:
        """Whether every value of the field is text in a file: free, one of its choices, a path, a date."""
        if self.variants is not None:
            return False  # the name of one, or its section
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
    if (variants := variants_of(info)) is not None:
        return ", ".join(variants.models)
    kinds = [kind for kind in kinds_of(info) if kind is not type(None)]
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


def plugins_of(info: FieldInfo) -> str:
    """Return the group of entry points by which plug-ins provide variants of a field; empty for any other field."""
    declared = info.json_schema_extra
    return str(declared.get(PLUGINS, "")) if isinstance(declared, dict) else ""


def variants_of(info: FieldInfo, *, plugged: bool = True) -> Variants | None:
    """Return the variants that a field holds one of, None where it is none that does.

    Args:
        plugged: Whether those that plug-ins provide are among them.

    Raises:
        InputError: A plug-in provides what the field cannot hold.
    """
    key, annotation = info.discriminator if isinstance(info.discriminator, str) else "", cast("Any", info.annotation)
    if not key and get_origin(annotation) not in _UNIONS:
        return None
    own, group = variants_in(annotation, key), plugins_of(info)
    if own is None or not group or not plugged:
        return own
    return _with_plugged(*_declared_union(info))


def _declared_union(info: FieldInfo) -> tuple[Any, str, str, Role]:
    """Return of a field with plug-ins its type, its discriminator, their group and its role."""
    declared: Any = info.json_schema_extra
    return info.annotation, str(info.discriminator), plugins_of(info), Role(declared["x-role"])


@lru_cache(maxsize=64)
def _with_plugged(annotation: Any, key: str, group: str, role: Role) -> Variants | None:
    own = variants_in(annotation, key)
    if own is None:
        return None
    roles = {name: field.role for one in own.models.values() for name, field in config_fields(one, key).items()}
    models, plugins, providers = dict(own.models), dict[str, Plugged](), dict[str, str]()
    problems: list[Problem] = []
    for plugin, distribution in provided(group).values():
        wrong = _unfit(plugin, key, role, roles)
        names = [] if wrong else names_of_variant(plugin.model, key)
        for name in names:
            if name in models:
                other = f"{providers[name]} provides" if name in providers else "the trainer itself has"
                wrong = f"provides the variant {name}, and {other} one of that name"
            models[name], plugins[name], providers[name] = plugin.model, plugin, distribution
        roles |= {} if wrong else {name: field.role for name, field in config_fields(plugin.model, key).items()}
        if wrong:
            advice = f"correct {distribution}, or uninstall it"
            problems.append(Problem("plugin", f"({distribution}) {wrong}", plugin.name, group, advice=advice))
    if problems:
        raise InputError(problems)
    return Variants(key, models, plugins)


def names_of_variant(model: type[BaseModel], key: str) -> list[str]:
    """Return the names of a variant: the values of its discriminator; none where it has no such field."""
    info = model.model_fields.get(key)
    stated = get_args(info.annotation) if info is not None and get_origin(info.annotation) is Literal else ()
    return [str(one) for one in stated]


GRAVITY = (Role.RUN, Role.TRAINING, Role.COMPUTATION, Role.ARCHITECTURE)
"""The roles by what they change, the least grave first; secrets have none."""


def _unfit(plugin: Plugged, key: str, role: Role, roles: Mapping[str, Role]) -> str:
    """Return why a field cannot hold what a plug-in provides; empty where it can.

    Args:
        role: That of the field.
        roles: Those of the fields in its other variants.
    """
    model = plugin.model
    if not names_of_variant(model, key) or model.model_fields[key].is_required():
        return f'has no discriminator {key}; it needs {key}: Literal["{plugin.name}"] = setting("{plugin.name}", …)'
    try:
        fields = config_fields(model, key)
    except TypeError as error:
        return str(error)
    for name, field in fields.items():
        if field.role is Role.SECRET:
            return f"has a secret, {name}, and a variant, which is not always there, cannot"
        if GRAVITY.index(field.role) > GRAVITY.index(role):
            return f"has {name} with the role {field.role.value}, and the field that holds it has the role {role.value}"
        if roles.get(name, field.role) is not field.role:
            return f"has {name} with the role {field.role.value}, and another variant has it with {roles[name].value}"
    return ""


class _Wide:
    """Validates a field as one of its own variants or of those that plug-ins provide."""

    def __init__(self, info: FieldInfo) -> None:
        self.info = info

    def __call__(self, value: Any, _own: Any, context: ValidationInfo) -> Any:
        adapter = _adapter(*_declared_union(self.info))
        if context.mode == "json":
            return adapter.validate_json(json.dumps(value), context=context.context)
        return adapter.validate_python(value, context=context.context)


def closed(info: FieldInfo) -> None:
    """Let a field hold nothing but what its type states, in place."""
    info.metadata = [one for one in info.metadata if not _is_wide(one)]
    declared = info.json_schema_extra
    info.json_schema_extra = (
        {key: one for key, one in declared.items() if key != PLUGINS} if isinstance(declared, dict) else None
    )


def _is_wide(metadata: Any) -> bool:
    return isinstance(metadata, WrapValidator) and isinstance(metadata.func, _Wide)


@lru_cache(maxsize=64)
def _adapter(annotation: Any, key: str, group: str, role: Role) -> TypeAdapter[Any]:
    variants = _with_plugged(annotation, key, group, role)
    models = dict.fromkeys(variants.models.values() if variants is not None else ())
    others = [kind for kind in alternatives(annotation) if kind is type(None)]
    union: Any = Annotated[Union[(*models, *others)], Field(discriminator=key)]
    return TypeAdapter(union)


@lru_cache(maxsize=256)
def variants_in(annotation: Any, key: str = "") -> Variants | None:
    """Return the variants of which a value of a type is one, or null; None where it is none of any.

    Args:
        key: The discriminator, where the type itself does not state it.
    """
    key = key or next(_discriminators(annotation), "")
    models = [kind for kind in alternatives(annotation) if kind is not type(None)]
    if not key or not all(is_section(one) and key in one.model_fields for one in models):
        return None
    names = {str(name): one for one in models for name in get_args(one.model_fields[key].annotation)}
    return Variants(key, names)


def _discriminators(annotation: Any) -> Iterator[str]:
    """Yield the discriminators that the parts of a union state."""
    if get_origin(annotation) is Annotated:
        below, *metadata = get_args(annotation)
        yield from (one.discriminator for one in metadata if isinstance(getattr(one, "discriminator", None), str))
        yield from _discriminators(below)
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _discriminators(one)


_UNIONS = (Union, UnionType, Annotated)


def _walk(
    model: type[BaseModel],
    above: Path = (),
    within: Mapping[str, str] = MappingProxyType({}),
    *,
    besides: str = "",
    plugged: bool = True,
) -> Iterator[ConfigField]:
    """Yield the fields of a model, those of variants once for each of these.

    Args:
        above: The keys down to the model.
        within: The variants that it is in; see `Declared`.
        besides: The name of a field that is none: the discriminator of a variant.
        plugged: Whether variants that plug-ins provide are among them.
    """
    if "SWITCH" in vars(model) and model is not Section and vars(model)["SWITCH"] not in model.model_fields:
        raise TypeError(f"{model.__name__} has no field {vars(model)['SWITCH']!r}, which SWITCH names")
    for name, info in model.model_fields.items():
        path = (*above, name)
        if name == besides:
            continue
        if is_section(info.annotation):
            yield from _walk(info.annotation, path, within, plugged=plugged)
            continue
        declared = info.json_schema_extra
        if not isinstance(declared, dict) or not info.description:
            raise TypeError(f"{model.__name__}.{name} declares no role and description; use setting()")
        dotted = ".".join(path)
        default = UNSET if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
        role, variants = Role(str(declared["x-role"])), variants_of(info, plugged=plugged)
        if variants is not None and default is not UNSET:
            default = variants.name_of(default)
        simple = variants is None and not within
        get: Callable[[Any], Any] = attrgetter(dotted) if simple else partial(_held, path, variants)
        own = (Declared(within, info, default),) if within else ()
        yield ConfigField(path, dotted, info, role, get, default, own)
        if variants is not None:
            for tag, variant in variants.models.items():
                yield from _walk(variant, path, {**within, dotted: tag}, besides=variants.key, plugged=plugged)


def _held(path: Path, variants: Variants | None, root: Any) -> Any:
    """Return the value at a path of a configuration, of variants the name of the one that is there, or UNSET."""
    for part in path:
        root = getattr(root, part, UNSET) if isinstance(root, BaseModel) else UNSET
    return root if variants is None or root is UNSET else variants.name_of(root)


@lru_cache(maxsize=64)
def config_fields(model: type[BaseModel], besides: str = "", *, plugged: bool = True) -> dict[str, ConfigField]:
    """Return every field of `model` by dotted name, in declaration order, but the one of the name `besides`.

    Args:
        plugged: Whether those in variants that plug-ins provide are among them.

    Raises:
        InputError: A plug-in provides what a field cannot hold.
    """
    return _by_name(_walk(model, besides=besides, plugged=plugged))


def fields_of_variants(variants: Variants) -> dict[str, ConfigField]:
    """Return every field of items that are variants, by dotted name there; the variant is within ``""``."""
    walks = (_walk(one, (), {"": tag}, besides=variants.key) for tag, one in variants.models.items())
    return _by_name(field for walk in walks for field in walk)


def _by_name(fields: Iterable[ConfigField]) -> dict[str, ConfigField]:
    """Return fields by name, those of one name in several variants as one."""
    found: dict[str, ConfigField] = {}
    for field in fields:
        other = found.get(field.name)
        found[field.name] = field if other is None else other._replace(declared=(*other.declared, *field.declared))
    return {name: _with_own_default(field, found) for name, field in found.items()}


def _with_own_default(field: ConfigField, fields: Mapping[str, ConfigField]) -> ConfigField:
    """Return a field of variants with the default that it has where the fields around it have theirs."""
    if not field.declared or "" in field.around:
        return field
    usual = field.declared_in({name: fields[name].default for name in field.around})
    return field._replace(default=UNSET if usual is None else usual.default)


def present(fields: Iterable[ConfigField], training: Any) -> tuple[ConfigField, ...]:
    """Return the fields that a configuration has: all but those of variants that it does not hold."""
    return tuple(one for one in fields if not one.declared or one.get(training) is not UNSET)


@lru_cache(maxsize=64)
def sections(model: type[BaseModel]) -> frozenset[str]:
    """Return the dotted names of all sections of `model` that are no fields, as those with variants are."""
    return frozenset(sections_of(config_fields(model)) - config_fields(model).keys())


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
