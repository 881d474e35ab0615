"""Types and default values as the source of a family's models has them."""

from __future__ import annotations

import math
import os
import re
import types
import typing
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from typing_extensions import is_typeddict

from tttcfg.scaffold.classes import constraints_of, is_readable, read_class
from tttcfg.schema.fields import UNSET
from tttcfg.schema_tools.codegen import text_literal
from tttcfg.schema_tools.declarations import advice_for

SectionName = Callable[[type], str]
"""Returns the name of the section that is made of a class."""
NULL = " | None"

_SCALARS = {bool: "bool", int: "Whole", float: "float", str: "Text", Any: "Any", object: "Any", type(None): "None"}
_TEXTS = {date: "date", datetime: "datetime", time: "time", timedelta: "timedelta", SecretStr: "SecretStr"}
_NAMED = _SCALARS | _TEXTS
_BELOW: dict[type, str] = {os.PathLike: "Path", bool: "bool", int: "Whole", float: "float", str: "Text"}
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_SETS = {set: "set", frozenset: "frozenset", abc.Set: "set", abc.MutableSet: "set"}
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_DATETIME = re.compile(r"\bdatetime\.(?=\w+\()")


class OddTypeError(Exception):
    """A type or a default that no document can contain; the text says what it is, and what to declare in its place."""


def annotation_source(annotation: Any, section: SectionName) -> str:
    """Return the source of a type as a field of a family has it.

    Raises:
        OddTypeError: Documents have no values of it.
    """
    if isinstance(annotation, str):
        raise OddTypeError(f"its type {annotation} cannot be evaluated here; declare what is in the file")
    if is_union(annotation):
        return _union(get_args(annotation), section)
    return _single(annotation, section)


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (typing.Union, types.UnionType)


def _union(kinds: tuple[Any, ...], section: SectionName) -> str:
    kinds = tuple(_flat(kinds))
    others = [one for one in kinds if one is not type(None)]
    if len(others) > 1:
        _refuse_variants(others)
    sources = [_single(one, section) for one in others]
    nullable = len(others) < len(kinds) or any(one.endswith(NULL) for one in sources)
    sources = list(dict.fromkeys(one.removesuffix(NULL) for one in sources))
    return "Any" if "Any" in sources else " | ".join(sources) + (NULL if nullable else "")


def _flat(kinds: tuple[Any, ...]) -> Iterator[Any]:
    for one in kinds:
        if is_union(bare(one)):
            yield from _flat(get_args(bare(one)))
        else:
            yield one


def _refuse_variants(kinds: list[Any]) -> None:
    """Refuse a union of sections, or of a section and something else: the one place that knows of it."""
    if sections := [one.__name__ for one in map(bare, kinds) if is_readable(one)]:
        what = f"it is one of several, with the section {' or '.join(sections)}"
        raise OddTypeError(f"{what}, and nothing states which; declare a discriminator (docs/variants.md of tttcfg)")


def bare(annotation: Any) -> Any:
    """Return a type without what it is annotated or wrapped with."""
    while True:
        if get_origin(annotation) in (typing.Annotated, typing.Final, typing.ClassVar):
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def _single(annotation: Any, section: SectionName) -> str:
    kind = bare(annotation)
    if is_union(kind):
        return _union(get_args(kind), section)
    constraints = constraints_of(getattr(annotation, "__metadata__", ()))
    source = _plain(kind, section)
    if not constraints:
        return source
    rules = ", ".join(f"{name}={expression(value, section)}" for name, value in constraints.items())
    return f"Annotated[{source}, Field({rules})]"


def _plain(kind: Any, section: SectionName) -> str:
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin is Literal:
        return _literal(args)
    if isinstance(kind, abc.Hashable) and kind in _NAMED:
        return _NAMED[kind]
    if is_readable(origin):
        return section(origin)
    if origin in _LISTS:
        return f"list[{annotation_source(args[0], section) if args else 'Any'}]"
    if origin in _SETS:
        return f"{_SETS[origin]}[{annotation_source(args[0], section) if args else 'Any'}]"
    if origin is tuple:
        items = ["..." if one is ... else annotation_source(one, section) for one in args]
        return f"tuple[{', '.join(items)}]" if items else "list[Any]"
    if origin in _MAPPINGS or is_typeddict(kind):
        return _mapping(args, section)
    return _of_class(kind)


def _of_class(kind: Any) -> str:
    """Return the source for a class that is below one of a known kind: a choice, a path, a number, a text."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _literal(tuple(kind))
    if isinstance(kind, type) and str(kind.__module__).partition(".")[0] != "numpy":
        for native, source in _BELOW.items():
            if issubclass(kind, native):
                return source
    raise OddTypeError(f"documents have no values of {_name(kind)}; {advice_for(kind)}")


def _name(kind: Any) -> str:
    text = getattr(kind, "__qualname__", None) or str(kind)
    module = str(getattr(kind, "__module__", "")).removeprefix("collections.abc")
    return text if module in ("", "builtins", "typing") or "." in text else f"{module}.{text}"


def _literal(choices: tuple[Any, ...]) -> str:
    values = [one.value if isinstance(one, Enum) else one for one in choices]
    if not all(isinstance(one, (str, int, type(None))) for one in values):
        names = ", ".join(text_literal(one.name) if isinstance(one, Enum) else repr(one) for one in choices)
        raise OddTypeError(f"the values of its choices are neither text nor numbers; declare Literal[{names}]")
    stated = [one for one in values if one is not None]
    source = f"Literal[{', '.join(map(_scalar, stated))}]"
    return source if len(stated) == len(values) else source + NULL


def _mapping(args: tuple[Any, ...], section: SectionName) -> str:
    if not args:
        return "dict[str, Any]"
    if annotation_source(args[0], section) != "Text":
        raise OddTypeError("the keys of a mapping are text in a file; declare dict[str, …]")
    return f"dict[str, {annotation_source(args[1], section)}]"


def expression(value: Any, section: SectionName) -> str:
    """Return the source of a default value.

    Raises:
        OddTypeError: Documents have no such value.
    """
    if isinstance(value, Enum):
        return expression(value.value, section)
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    if isinstance(value, PurePath):
        return f"Path({text_literal(str(value))})"
    if isinstance(value, (date, time, timedelta)):
        return _DATETIME.sub("", repr(value))
    if isinstance(value, Mapping):
        items = [f"{text_literal(str(key))}: {expression(one, section)}" for key, one in value.items()]
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(expression(one, section) for one in value)}]"
    if isinstance(value, tuple):
        items = [expression(one, section) for one in value]
        return f"({', '.join(items)}{',' * (len(items) == 1)})"
    if isinstance(value, (set, frozenset)):
        items = sorted(expression(one, section) for one in value)
        inner = f"{{{', '.join(items)}}}" if items else "set()"
        return inner if isinstance(value, set) else f"frozenset({inner if items else ''})"
    if is_readable(type(value)):
        return f"{section(type(value))}({', '.join(_changed(value, section))})"
    raise OddTypeError(f"its default {_short(value)} is no value of a document")


def _changed(value: Any, section: SectionName) -> Iterator[str]:
    """Yield the arguments that make an object of a class: the values that are not its defaults."""
    for field in read_class(type(value)).fields:
        own = getattr(value, field.name)
        if field.default is UNSET or own != field.default:
            yield f"{field.name}={expression(adapted(own, field.annotation), section)}"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _scalar(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise OddTypeError(f"its default {value} is no number of a document; declare float | None, with None for it")
    if isinstance(value, str):
        return text_literal(str(value))
    native = next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)
    return repr(native(value)) if native is not None else "None"


def adapted(value: Any, annotation: Any) -> Any:
    """Return a default as its type has it: a whole number as a float, text as a path, a tuple as a list."""
    kinds = [bare(one) for one in (get_args(annotation) if is_union(bare(annotation)) else (annotation,))]
    origins = [get_origin(one) or one for one in kinds]
    if value is UNSET or len([one for one in origins if one is not type(None)]) != 1:
        return value
    kind = next(one for one in origins if one is not type(None))
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(value, str) and isinstance(kind, type) and issubclass(kind, os.PathLike):
        return Path(value)
    if isinstance(value, (list, tuple)) and kind in (*_LISTS, tuple):
        return tuple(value) if kind is tuple and any(get_args(one) for one in kinds) else list(value)
    if isinstance(value, Mapping) and not isinstance(value, dict):
        return dict(value)
    return value
