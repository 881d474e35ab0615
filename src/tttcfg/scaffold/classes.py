"""The fields of a dataclass or a pydantic model, with their types, defaults, constraints and descriptions."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tttcfg.scaffold.comments import field_comments, sentence
from tttcfg.schema.fields import UNSET

_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


class ReadField(NamedTuple):
    """A field as its class has it.

    Attributes:
        annotation: Its type; the text of it where that cannot be evaluated.
        default: UNSET where a value has to be given.
        description: One sentence; empty where the class states nothing.
        constraints: Those of pydantic's `Field`, by name.
        discriminator: The field that states which one of a union a value is, where the declaration names it.
    """

    name: str
    annotation: Any
    default: Any
    description: str
    constraints: Mapping[str, Any]
    discriminator: str = ""


class ReadClass(NamedTuple):
    """The fields of a class, and notes on what of it is not carried over."""

    fields: tuple[ReadField, ...]
    notes: tuple[str, ...]


def is_readable(kind: Any) -> bool:
    """Whether a type is a dataclass or a pydantic model."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, BaseModel))


def read_class(model: type, instance: Any = None) -> ReadClass:
    """Return the fields of a dataclass or pydantic model.

    Args:
        instance: An object of the class whose values are the defaults, in place of those of the class.
    """
    comments, types = field_comments(model), _types(model)
    infos: dict[str, FieldInfo] = getattr(model, "__pydantic_fields__", {})
    if issubclass(model, BaseModel):
        fields = [_of_pydantic(name, info, types, comments) for name, info in infos.items()]
        notes = [*_notes_of_pydantic(model, infos)]
    else:
        native: Any = model
        stated = [one for one in dataclasses.fields(native) if one.init]
        fields = [_of_dataclass(one, infos.get(one.name), types, comments) for one in stated]
        notes = [*_notes_of_dataclass(native)]
    if instance is not None:
        fields = [one._replace(default=getattr(instance, one.name, one.default)) for one in fields]
    return ReadClass(tuple(fields), tuple(f"{model.__name__}{note}" for note in notes))


def _of_dataclass(
    field: dataclasses.Field[Any], info: FieldInfo | None, types: Mapping[str, Any], comments: Mapping[str, str]
) -> ReadField:
    default = UNSET
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if info is not None:  # of a dataclass of pydantic's
        default = _default(info)
    annotation = types.get(field.name, field.type)
    description = _help(field.metadata) or _documented(annotation) or comments.get(field.name, "")
    constraints = dict(_constraints(info.metadata)) if info is not None else {}
    return ReadField(field.name, annotation, default, sentence(description), constraints)


def _of_pydantic(name: str, info: FieldInfo, types: Mapping[str, Any], comments: Mapping[str, str]) -> ReadField:
    description = info.description or comments.get(name, "")
    annotation = info.annotation if name not in types else _without_annotations(types[name])
    key = info.discriminator if isinstance(info.discriminator, str) else ""
    constraints = dict(_constraints(info.metadata))
    return ReadField(name, annotation, _default(info), sentence(description), constraints, key)


def _default(info: FieldInfo) -> Any:
    if info.is_required():
        return UNSET
    value = info.get_default(call_default_factory=True, validated_data={})
    return UNSET if value is PydanticUndefined else value


def _types(model: type) -> dict[str, Any]:
    """Return the evaluated types of the fields; the text of those that cannot be evaluated."""
    try:
        return typing.get_type_hints(model, include_extras=True)
    except Exception:  # whatever evaluating a text raises: each is tried alone
        found: dict[str, Any] = {}
        for base in reversed(model.__mro__):
            names = vars(sys.modules.get(base.__module__, SimpleNamespace()))
            for name, annotation in vars(base).get("__annotations__", {}).items():
                found[name] = _evaluated(name, annotation, names, vars(base))
        return found


def _evaluated(name: str, annotation: Any, names: Mapping[str, Any], local: Mapping[str, Any]) -> Any:
    one = SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(one, dict(names), dict(local), include_extras=True)[name]
    except Exception:  # as above
        return annotation


def _without_annotations(annotation: Any) -> Any:
    """Return a type without the constraints around it, which pydantic has gathered."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _help(metadata: Mapping[Any, Any]) -> str:
    """Return the help text in a field's metadata, as HfArgumentParser, simple-parsing and draccus have it."""
    inner = metadata.get("custom_args")
    candidates = [metadata, inner if isinstance(inner, Mapping) else {}]
    texts = (one.get(key) for one in candidates for key in ("help", "description", "doc"))
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _documented(annotation: Any) -> str:
    """Return the help text in `Annotated`, as tyro and `Doc` have it."""
    for one in getattr(annotation, "__metadata__", ()):
        for name in ("help", "documentation", "description"):
            text = getattr(one, name, None)
            if isinstance(text, str) and text.strip():
                return text
    return ""


def constraints_of(metadata: Iterable[Any]) -> dict[str, Any]:
    """Return the constraints in what an annotation is annotated with."""
    return dict(_constraints(metadata))


def _constraints(metadata: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for one in metadata:
        inner = one.metadata if isinstance(one, FieldInfo) else ()
        yield from _constraints(inner)
        general = vars(one) if hasattr(one, "__dict__") else {}
        for name in _CONSTRAINTS:
            value = getattr(one, name, general.get(name))
            if value is not None and not callable(value) and not isinstance(one, FieldInfo):
                yield name, value


def _notes_of_dataclass(model: Any) -> Iterator[str]:
    stated = {one.name for one in dataclasses.fields(model)}
    for name in sorted(model.__dataclass_fields__.keys() - stated):
        yield f".{name} is left out: it is a ClassVar or an InitVar"
    for one in dataclasses.fields(model):
        if not one.init:
            yield f".{one.name} is left out: the program computes it (init=False)"
    if "__post_init__" in vars(model):
        yield ".__post_init__ is not carried over; what it checks belongs into Family(check=…)"


def _notes_of_pydantic(model: type[BaseModel], infos: Mapping[str, FieldInfo]) -> Iterator[str]:
    for name, info in infos.items():
        if alias := next((one for one in (info.alias, info.validation_alias) if one is not None), None):
            yield f".{name} has the alias {alias!r}, which is not carried over: documents have every field by its name"
    decorators: Any = getattr(model, "__pydantic_decorators__", None)
    names = [*decorators.field_validators, *decorators.model_validators] if decorators is not None else []
    if names:
        yield f": {', '.join(sorted(names))} are not carried over; what validators check belongs into Family(check=…)"
