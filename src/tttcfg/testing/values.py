"""Documents of any version of a family, and values of JSON Schemas in the form that pydantic writes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from functools import cache
from pathlib import PurePath
from typing import Any, NamedTuple

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tttcfg.family.extension import EXTENSIONS
from tttcfg.family.family import Family, frozen_schema
from tttcfg.schema.fields import in_canonical_order, plain
from tttcfg.schema.fragments import Fragment
from tttcfg.schema.paths import Tree

Strategy = st.SearchStrategy[Any]
Strategies = Mapping[str, Strategy]
Settled = Callable[[Tree], Tree]
SMALL = 1 << 20
LONG = 12
"""The most characters, items or keys of a value without a smaller bound."""

# Without surrogates, which no file can hold.
characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=LONG)
# Without words that the record of a migration treats as the name of a secret.
names = st.text("abcxyz_:é", min_size=1, max_size=6)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
scalars = st.none() | st.booleans() | st.integers(-SMALL, SMALL) | finite | texts
plain_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)

_ANNOTATIONS = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator")
_ANY = (*_ANNOTATIONS, "$schema", "$id", "$comment", "type", "enum", "const", "anyOf", "oneOf")
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
"""Formats that every text matches."""
_FORMATS: dict[str, Strategy] = {
    "date": st.dates().map(str),
    "date-time": st.datetimes().map(datetime.isoformat),
    "time": st.times().map(time.isoformat),
    "duration": st.timedeltas(timedelta(0), timedelta(days=999)).map(plain),
}


class UnsupportedSchema(ValueError):  # noqa: N818 it is named after what is wrong with the schema
    """A schema that values cannot be drawn for; the message names the keyword and its path."""


class Subschema(NamedTuple):
    """A schema inside another, its dotted path, and the strategies for single fields."""

    schema: Fragment
    path: str
    overrides: Strategies

    def below(self, schema: Fragment, path: str) -> Subschema:
        return Subschema(schema, path, self.overrides)


def values(schema: Fragment, path: str = "", overrides: Strategies | None = None) -> Strategy:
    """Generate values that `schema` allows; every draw is validated against it.

    Objects hold all of their properties, as complete documents do.

    Args:
        schema: A fragment of JSON Schema, of a field or of a whole document.
        path: The dotted path of the schema, for errors and `overrides`.
        overrides: Strategies for single fields, by their dotted path, for what a schema cannot express.

    Raises:
        UnsupportedSchema: It has a keyword, or a combination of keywords, that is not supported.
    """
    validator = Draft202012Validator(schema)

    def valid(value: Any) -> Any:
        for error in validator.iter_errors(value):
            where = ".".join([*([path] if path else []), *map(str, error.absolute_path)])
            raise AssertionError(f"the drawn value is not valid by the schema: {where or 'document'}: {error.message}")
        return value

    return _drawn(Subschema(schema, path, overrides or {})).map(valid)


def _drawn(subschema: Subschema) -> Strategy:
    schema, path, overrides = subschema
    if path in overrides:
        return overrides[path]
    if schema in (True, {}):
        return plain_values
    _refuse_unknown(schema, path)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return _valid_only(st.sampled_from(schema["enum"]), schema)
    if "anyOf" in schema or "oneOf" in schema:
        return _union(subschema)
    kinds = schema.get("type", "object" if "properties" in schema else None)
    if kinds is None:
        return _valid_only(plain_values, schema)
    return st.one_of([_STRATEGIES[kind](subschema) for kind in (kinds if isinstance(kinds, list) else [kinds])])


def _union(subschema: Subschema) -> Strategy:
    schema = subschema.schema
    beside = [key for key in schema if any(key in known for known in _OF_TYPE.values())]
    if beside or {"anyOf", "oneOf"} <= schema.keys():
        where, what = subschema.path or "schema", ", ".join(beside) or "oneOf"
        raise UnsupportedSchema(
            f"{where}: {what} beside a union is not supported; give overrides={{{where!r}: strategy}}"
        )
    if "anyOf" in schema:
        return st.one_of([_drawn(subschema.below(one, subschema.path)) for one in schema["anyOf"]])
    return _valid_only(st.one_of([_drawn(subschema.below(one, subschema.path)) for one in schema["oneOf"]]), schema)


def _refuse_unknown(schema: Fragment, path: str) -> None:
    kinds = schema.get("type", list(_OF_TYPE))
    listed = kinds if isinstance(kinds, list) else [kinds]
    unknown_kinds = [kind for kind in listed if kind not in _OF_TYPE]
    known = {*_ANY, *(key for kind in listed for key in _OF_TYPE.get(kind, ()))}
    unknown = [key for key in schema if key not in known and not key.startswith("x-")]
    if schema.get("format", _FREE_FORMATS[0]) not in (*_FREE_FORMATS, *_FORMATS):
        unknown.append(f"format: {schema['format']}")
    for key in (*unknown, *(f"type: {kind}" for kind in unknown_kinds)):
        where = path or "schema"
        raise UnsupportedSchema(f"{where}: the keyword {key} is not supported; give overrides={{{where!r}: strategy}}")


def _valid_only(strategy: Strategy, schema: Fragment) -> Strategy:
    return strategy.filter(Draft202012Validator(schema).is_valid)


def _integers(subschema: Subschema) -> Strategy:
    schema = subschema.schema
    if "multipleOf" in schema:
        return _valid_only(_multiples(schema), schema)
    low, high = _bounds(schema)
    first = math.floor(low) + 1 if schema.get("exclusiveMinimum") == low else math.ceil(low)
    last = math.ceil(high) - 1 if schema.get("exclusiveMaximum") == high else math.floor(high)
    return st.integers(first, last)


def _multiples(schema: Fragment) -> Strategy:
    step, (low, high) = schema["multipleOf"], _bounds(schema)
    return st.integers(math.ceil(low / step), math.floor(high / step)).map(lambda count: count * step)


def _limits(schema: Fragment) -> tuple[Any, Any]:
    """Return the least and the greatest number that are stated, exclusive or not; None where none is."""
    least = max((schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema), default=None)
    most = min((schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema), default=None)
    return least, most


def _bounds(schema: Fragment) -> tuple[float, float]:
    """Return the bounds of a number; open or distant ones are limited to a range of twice `SMALL`."""
    least, most = _limits(schema)
    if least is None:
        least = -SMALL if most is None else min(-SMALL, most - SMALL)
    if most is None:
        most = max(SMALL, least + SMALL)
    return least, most if most - least < 4 * SMALL else least + 2 * SMALL


def _numbers(subschema: Subschema) -> Strategy:
    schema = subschema.schema
    if "multipleOf" in schema:
        return _valid_only(_multiples(schema).map(float), schema)
    least, most = _limits(schema)
    return st.floats(
        least,
        most,
        exclude_min=least is not None and schema.get("exclusiveMinimum") == least,
        exclude_max=most is not None and schema.get("exclusiveMaximum") == most,
        allow_nan=False,
        allow_infinity=False,
    )


def _strings(subschema: Subschema) -> Strategy:
    schema = subschema.schema
    least = schema.get("minLength", 0)
    most = min(schema.get("maxLength", least + LONG), least + LONG)
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if schema.get("format") == "path":
        return st.text(characters, min_size=1, max_size=most).map(lambda text: str(PurePath(text)))
    if "pattern" in schema:
        return _valid_only(st.from_regex(schema["pattern"], alphabet=characters), schema)
    return st.text(characters, min_size=least, max_size=most)


def _arrays(subschema: Subschema) -> Strategy:
    schema, path = subschema.schema, subschema.path
    first = [
        _drawn(subschema.below(one, f"{path}[{index}]")) for index, one in enumerate(schema.get("prefixItems", []))
    ]
    least = schema.get("minItems", 0)
    most = min(schema.get("maxItems", least + 4), max(least, len(first)) + 4)
    fixed = st.tuples(*first[:most]).map(list)
    if schema.get("items") is False or most <= len(first):
        return _valid_only(fixed, schema) if schema.get("uniqueItems") else fixed
    items = _drawn(subschema.below(schema.get("items", {}), f"{path}[]"))
    unique = _as_text if schema.get("uniqueItems") else None
    few, many = max(0, least - len(first)), most - len(first)
    rest = st.lists(items, min_size=few, max_size=many, unique_by=unique)
    whole = st.builds(lambda start, end: [*start, *end], fixed, rest) if first else rest
    return _valid_only(whole.map(in_canonical_order), schema) if unique else whole


def _as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _objects(subschema: Subschema) -> Strategy:
    schema, path = subschema.schema, subschema.path
    prefix = f"{path}." if path else ""
    properties = {
        name: _drawn(subschema.below(child, f"{prefix}{name}")) for name, child in schema.get("properties", {}).items()
    }
    own = st.fixed_dictionaries(properties)
    more = schema.get("additionalProperties", not properties)
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(properties) + 4)
    if more is False or (more is True and properties):
        return own
    children = plain_values if more is True else _drawn(subschema.below(more, f"{prefix}*"))
    free = names.filter(lambda name: name not in properties)
    room = max(0, min(4, most - len(properties)))
    others = st.dictionaries(free, children, min_size=max(0, least - len(properties)), max_size=room)
    return st.builds(lambda known, unknown: {**known, **unknown}, own, others) if properties else others


_STRATEGIES: dict[str, Callable[[Subschema], Strategy]] = {
    "null": lambda _: st.none(),
    "boolean": lambda _: st.booleans(),
    "integer": _integers,
    "number": _numbers,
    "string": _strings,
    "array": _arrays,
    "object": _objects,
}


@cache
def validator(family: Family, version: int) -> Draft202012Validator:
    """Return the JSON Schema validator for documents of `version`."""
    return Draft202012Validator(frozen_schema(family, version))


def documents(
    family: Family, version: int, overrides: Strategies | None = None, settled: Settled | None = None
) -> st.SearchStrategy[Tree]:
    """Generate complete documents of `version`: they hold every field, and the frozen schema allows each draw.

    A schema does not contain rules across fields. Where the model has some, give `settled`, or tttcfg refuses the
    documents that violate them.

    Args:
        family: Whose documents.
        version: The version that they are in.
        overrides: Strategies for single fields, by their dotted path in that version.
        settled: Returns a drawn document with the values that the rules across fields require.

    Raises:
        UnsupportedSchema: The frozen schema has a keyword that is not supported; give `overrides` for its field.
    """
    frozen = frozen_schema(family, version)
    schema = {**frozen, "properties": {key: one for key, one in frozen["properties"].items() if key != EXTENSIONS}}
    reserved = {
        "$schema": st.just(family.schema_id_of(version)),
        "schema_version": st.just(version),
        "provenance": st.dictionaries(names, plain_values, max_size=3),
    }
    drawn = values(schema, overrides={**reserved, **(overrides or {})})
    return drawn if settled is None else drawn.map(settled).map(lambda document: _valid(document, family, version))


def _valid(document: Any, family: Family, version: int) -> Tree:
    for error in validator(family, version).iter_errors(document):
        where = ".".join(map(str, error.absolute_path))
        raise AssertionError(f"what `settled` returns is not a document of version {version}: {where}: {error.message}")
    settled: Tree = document
    return settled
