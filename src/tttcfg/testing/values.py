"""Values that a JSON Schema allows, for the part of JSON Schema that pydantic writes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tttcfg.schema.fragments import Shape

Strategy = st.SearchStrategy[Any]
Overrides = Mapping[str, Strategy]
SMALL = 1 << 20
LONG = 12
"""Most characters, items or keys of what has no smaller bound."""

# No surrogates, which no file can hold.
characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=LONG)
# No words that the record of a migration takes for the name of a secret.
names = st.text("abcxyz_:é", min_size=1, max_size=6)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
scalars = st.none() | st.booleans() | st.integers(-SMALL, SMALL) | finite | texts
plain_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)

_EXPLAINS = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator")
_ANY = (*_EXPLAINS, "$schema", "$id", "$comment", "type", "enum", "const", "anyOf", "oneOf")
_OF_TYPE: dict[str, tuple[str, ...]] = {
    "null": (),
    "boolean": (),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "additionalProperties", "required", "minProperties", "maxProperties"),
}
_FREE_FORMATS = ("path", "password")
"""Formats that any text has."""


class UnsupportedSchema(ValueError):  # noqa: N818 it is named after what is wrong with the schema
    """A schema that values cannot be drawn for: it names the keyword and where it stands."""


class Spot(NamedTuple):
    """A schema inside another, where it stands, and the strategies for single fields."""

    schema: Shape
    path: str
    overrides: Overrides

    def below(self, schema: Shape, path: str) -> Spot:
        return Spot(schema, path, self.overrides)


def values(schema: Shape, path: str = "", overrides: Overrides | None = None) -> Strategy:
    """Generate values that `schema` allows; every draw is validated against it.

    Objects hold all of their properties: so do complete documents.

    Args:
        path: Where the schema stands, as a dotted path; for errors and `overrides`.
        overrides: Strategies for single fields, by their dotted path: for what a schema cannot say of them.

    Raises:
        UnsupportedSchema: It has a keyword, or a combination, that nothing here knows how to obey.
    """
    validator = Draft202012Validator(schema)

    def valid(value: Any) -> Any:
        for error in validator.iter_errors(value):
            where = ".".join([*([path] if path else []), *map(str, error.absolute_path)])
            raise AssertionError(f"what was drawn is not valid by the schema: {where or 'document'}: {error.message}")
        return value

    return _drawn(Spot(schema, path, overrides or {})).map(valid)


def _drawn(spot: Spot) -> Strategy:
    schema, path, overrides = spot
    if path in overrides:
        return overrides[path]
    if schema in (True, {}):
        return plain_values
    _refuse_unknown(schema, path)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return _that_fit(st.sampled_from(schema["enum"]), schema)
    if "anyOf" in schema or "oneOf" in schema:
        return _union(spot)
    kinds = schema.get("type", "object" if "properties" in schema else None)
    if kinds is None:
        return _that_fit(plain_values, schema)
    return st.one_of([_OF[kind](spot) for kind in (kinds if isinstance(kinds, list) else [kinds])])


def _union(spot: Spot) -> Strategy:
    schema = spot.schema
    beside = [key for key in schema if any(key in known for known in _OF_TYPE.values())]
    if beside or {"anyOf", "oneOf"} <= schema.keys():
        where, what = spot.path or "schema", ", ".join(beside) or "oneOf"
        raise UnsupportedSchema(
            f"{where}: {what} beside a union is not supported; give overrides={{{where!r}: strategy}}"
        )
    if "anyOf" in schema:
        return st.one_of([_drawn(spot.below(one, spot.path)) for one in schema["anyOf"]])
    return _that_fit(st.one_of([_drawn(spot.below(one, spot.path)) for one in schema["oneOf"]]), schema)


def _refuse_unknown(schema: Shape, path: str) -> None:
    kinds = schema.get("type", list(_OF_TYPE))
    listed = kinds if isinstance(kinds, list) else [kinds]
    unknown_kinds = [kind for kind in listed if kind not in _OF_TYPE]
    known = {*_ANY, *(key for kind in listed for key in _OF_TYPE.get(kind, ()))}
    unknown = [key for key in schema if key not in known and not key.startswith("x-")]
    if schema.get("format", _FREE_FORMATS[0]) not in _FREE_FORMATS:
        unknown.append(f"format: {schema['format']}")
    for key in (*unknown, *(f"type: {kind}" for kind in unknown_kinds)):
        where = path or "schema"
        raise UnsupportedSchema(f"{where}: the keyword {key} is not supported; give overrides={{{where!r}: strategy}}")


def _that_fit(strategy: Strategy, schema: Shape) -> Strategy:
    return strategy.filter(Draft202012Validator(schema).is_valid)


def _integers(spot: Spot) -> Strategy:
    schema = spot.schema
    low, high = _bounds(schema, -SMALL, SMALL)
    first = math.floor(low) + 1 if schema.get("exclusiveMinimum") == low else math.ceil(low)
    last = math.ceil(high) - 1 if schema.get("exclusiveMaximum") == high else math.floor(high)
    if "multipleOf" in schema:
        step = schema["multipleOf"]
        return st.integers(math.ceil(first / step), math.floor(last / step)).map(lambda count: count * step)
    return st.integers(first, last)


def _bounds(schema: Shape, low: float, high: float) -> tuple[float, float]:
    """Return the bounds of a number, no further apart than `low` and `high` where they are open or that far away."""
    least = max((schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema), default=None)
    most = min((schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema), default=None)
    if least is None:
        least = low if most is None else min(low, most + low)
    if most is None:
        most = max(high, least + high)
    return least, most if most - least < 2 * (high - low) else least + (high - low)


def _numbers(spot: Spot) -> Strategy:
    schema = spot.schema
    if "multipleOf" in schema:
        low, high = _bounds(schema, -SMALL, SMALL)
        step = schema["multipleOf"]
        counts = st.integers(math.ceil(low / step), math.floor(high / step))
        return _that_fit(counts.map(lambda count: float(count * step)), schema)
    least = max((schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema), default=None)
    most = min((schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema), default=None)
    return st.floats(
        least,
        most,
        exclude_min=least is not None and schema.get("exclusiveMinimum") == least,
        exclude_max=most is not None and schema.get("exclusiveMaximum") == most,
        allow_nan=False,
        allow_infinity=False,
    )


def _strings(spot: Spot) -> Strategy:
    schema = spot.schema
    least = schema.get("minLength", 0)
    most = min(schema.get("maxLength", least + LONG), least + LONG)
    if "pattern" in schema:
        return _that_fit(st.from_regex(schema["pattern"], alphabet=characters), schema)
    return st.text(characters, min_size=least, max_size=most)


def _arrays(spot: Spot) -> Strategy:
    schema, path = spot.schema, spot.path
    first = [_drawn(spot.below(one, f"{path}[{index}]")) for index, one in enumerate(schema.get("prefixItems", []))]
    least = schema.get("minItems", 0)
    most = min(schema.get("maxItems", least + 4), max(least, len(first)) + 4)
    fixed = st.tuples(*first[:most]).map(list)
    if schema.get("items") is False or most <= len(first):
        return _that_fit(fixed, schema) if schema.get("uniqueItems") else fixed
    items = _drawn(spot.below(schema.get("items", {}), f"{path}[]"))
    unique = _as_text if schema.get("uniqueItems") else None
    few, many = max(0, least - len(first)), most - len(first)
    if unique is None:
        rest = st.lists(items, min_size=few, max_size=many)
    else:
        rest = st.lists(items, min_size=few, max_size=many, unique_by=unique)
    whole = st.builds(lambda start, end: [*start, *end], fixed, rest) if first else rest
    return _that_fit(whole, schema) if unique else whole


def _as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _objects(spot: Spot) -> Strategy:
    schema, path = spot.schema, spot.path
    prefix = f"{path}." if path else ""
    properties = {
        name: _drawn(spot.below(child, f"{prefix}{name}")) for name, child in schema.get("properties", {}).items()
    }
    own = st.fixed_dictionaries(properties)
    more = schema.get("additionalProperties", not properties)
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(properties) + 4)
    if more is False or (more is True and properties):
        return own
    children = plain_values if more is True else _drawn(spot.below(more, f"{prefix}*"))
    free = names.filter(lambda name: name not in properties)
    room = max(0, min(4, most - len(properties)))
    others = st.dictionaries(free, children, min_size=max(0, least - len(properties)), max_size=room)
    return st.builds(lambda known, unknown: {**known, **unknown}, own, others) if properties else others


_OF: dict[str, Callable[[Spot], Strategy]] = {
    "null": lambda _: st.none(),
    "boolean": lambda _: st.booleans(),
    "integer": _integers,
    "number": _numbers,
    "string": _strings,
    "array": _arrays,
    "object": _objects,
}
