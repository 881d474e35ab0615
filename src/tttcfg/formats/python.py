"""Values of Python programs as plain ones, which files can hold."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from enum import Enum
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, SecretStr

from tttcfg.errors import InputError, Problem, TttcfgError
from tttcfg.formats.text import MAX_DEPTH, MAX_NODES
from tttcfg.schema.fields import plain
from tttcfg.schema.paths import Tree

_SCALARS = frozenset((str, int, float, bool, type(None)))
_INSTEAD = {
    "bytes": "give its text: .decode()",
    "ndarray": "give .tolist() of it",
    "Tensor": "give .tolist() of it",
    "bytearray": "give its text: .decode()",
    "generator": "give list(…) of it",
    "Decimal": "give float(…) of it",
    "Fraction": "give float(…) of it",
    "longdouble": "give float(…) of it",
    "datetime64": "give its text: str(…)",
    "dtype": 'give its name, such as "bfloat16"',
    "device": "give its name: str(…)",
}


def plain_tree(value: Any, key: str) -> Any:
    """Return `value` as mappings, lists and scalars.

    Taken are mappings and sequences of any class, dataclass instances, namespaces, pydantic models, enumerations,
    paths, and scalars of other libraries that equal one of Python's.

    Raises:
        InputError: It is or holds something else; the problem has the key, and the call that makes it plain.
    """
    return _Plain().tree(value, key, 0)


class _Plain:
    """Makes values plain, and counts them: one may hold itself, or a few hold each other many times."""

    def __init__(self) -> None:
        self.nodes = 0

    def tree(self, value: Any, key: str, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise InputError(Problem("too_deep", f"is nested deeper than {MAX_DEPTH} levels", key.strip(".")))
        if self.nodes > MAX_NODES:
            raise InputError(Problem("too_large", f"holds more than {MAX_NODES:,} values", key.partition(".")[0]))
        if type(value) in _SCALARS:
            return value
        try:
            return self._plain(value, key, depth)
        except TttcfgError:
            raise
        except Exception as error:  # whatever a class of another program raises
            message = f"a {type(value).__name__} cannot be read: it raises a {type(error).__name__}"
            raise InputError(Problem("rejected", message, key.strip("."))) from None

    def _plain(self, value: Any, key: str, depth: int) -> Any:
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        if isinstance(value, Enum):
            return self.tree(value.value, key, depth)
        if (fields := _fields_of(value)) is not None:
            return self._mapping(fields, key, depth)
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, (date, time, timedelta, set, frozenset)):
            return self.tree(plain(value), key, depth)
        for kind in (bool, int, float, str):
            if isinstance(value, kind):  # of a class below it, as NumPy's float64 is
                return kind(value)
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
            return [self.tree(item, f"{key}.{index}".strip("."), depth + 1) for index, item in enumerate(value)]
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            scalar = value.item()
            if type(scalar) in _SCALARS and scalar == value:
                return scalar
        name = type(value).__name__
        advice = _INSTEAD.get(name, "give text, a number, true or false, a list or a mapping")
        raise InputError(Problem("rejected", f"a {name} cannot be saved; {advice}", key.strip(".")))

    def _mapping(self, value: Mapping[Any, Any], key: str, depth: int) -> Tree:
        tree: Tree = {}
        for name in value:
            if not isinstance(name, (str, int, float, Enum, type(None))):
                message = f"has a {type(name).__name__} for a key, which cannot be saved; give text"
                raise InputError(Problem("rejected", message, key))
            path = f"{key}.{name}".strip(".")
            try:
                one = value[name]
            except Exception as error:  # mappings such as OmegaConf's look values up, and raise errors of their own
                advice = "resolve it first, as OmegaConf.to_container(…, resolve=True, throw_on_missing=True) does"
                raise InputError(
                    Problem("rejected", f"cannot be read: {type(error).__name__}; {advice}", path)
                ) from None
            tree[str(name)] = self.tree(one, path, depth + 1)
        return tree


def _fields_of(value: Any) -> Mapping[Any, Any] | None:
    """Return the fields of an object by name; None where it has none."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return vars(value) if is_namespace(value) else None


def is_namespace(value: Any) -> bool:
    """Whether `value` is what `argparse` makes, or a plain namespace."""
    argparse = sys.modules.get("argparse")  # where there is a Namespace, its module is imported
    return isinstance(value, SimpleNamespace) or (argparse is not None and isinstance(value, argparse.Namespace))
