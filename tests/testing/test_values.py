"""Values drawn from JSON Schemas: everything that pydantic writes, and errors for unsupported keywords."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from tttcfg.testing import UnsupportedSchema, values

SCHEMAS: list[dict[str, Any]] = [
    {"type": "null"},
    {"type": "boolean"},
    {"type": ["integer", "null"]},
    {"type": "integer", "minimum": 3, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "minimum": 2**52, "maximum": 2**53},
    {"type": "integer", "maximum": -(2**40)},
    {"type": "integer", "minimum": 1, "multipleOf": 64},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": 0, "exclusiveMinimum": 0},
    {"type": "number", "minimum": 0.25, "maximum": 0.25},
    {"type": "number", "multipleOf": 0.5, "minimum": -2, "maximum": 2},
    {"type": "string", "minLength": 2, "maxLength": 3},
    {"type": "string", "minLength": 40},
    {"type": "string", "pattern": "^[a-z]+-[0-9]{2}$"},
    {"type": "string", "format": "path"},
    {"enum": ["a", 1, None]},
    {"type": "string", "enum": ["a", "b"]},
    {"const": 7, "type": "integer"},
    {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "T", "x-role": "run"},
    {"oneOf": [{"type": "integer", "maximum": 5}, {"type": "integer", "minimum": 3}]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "uniqueItems": True, "minItems": 5},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "null"}},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
    {"type": "array"},
    {"type": "object", "additionalProperties": True},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    {"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "null"}, "type": "object"},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
@given(data=st.data())
@settings(max_examples=25)
def test_every_draw_is_valid(schema: dict[str, Any], data: st.DataObject) -> None:
    drawn = data.draw(values(schema))
    assert Draft202012Validator(schema).is_valid(drawn)


class Kinds(BaseModel):
    """One field of every kind that configurations have."""

    whole: Annotated[int, Field(ge=1, le=2**53)] = 1
    part: Annotated[float, Field(gt=0, lt=1)] = 0.5
    word: Literal["a", "b"] = "a"
    name: Annotated[str, Field(min_length=1, max_length=9, pattern="^[a-z]")] = "x"
    either: int | list[int] | None = None
    pair: tuple[float, float] = (0.5, 0.5)
    distinct: set[int] = set()
    table: dict[str, int] = {}
    free: dict[str, Any] = {}


@given(values(Kinds.model_json_schema()))
@settings(max_examples=40)
def test_what_is_drawn_from_a_model_loads_into_it(drawn: dict[str, Any]) -> None:
    """And a complete document holds every field."""
    assert Kinds.model_validate(drawn).model_fields_set == set(Kinds.model_fields)


@given(values({"type": "integer", "exclusiveMinimum": 3, "maximum": 5}))
@settings(max_examples=40)
def test_an_exclusive_bound_is_not_reached(drawn: int) -> None:
    assert drawn in (4, 5)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object", "patternProperties": {}}, "schema: the keyword patternProperties is not supported"),
        ({"properties": {"a": {"properties": {"b": {"not": {}}}}}}, "a.b: the keyword not is not supported"),
        ({"properties": {"a": {"$ref": "#/$defs/A"}}}, r"a: the keyword \$ref is not supported"),
        (
            {"properties": {"a": {"items": {"type": "string", "format": "uuid"}, "type": "array"}}},
            r"a\[\]: .*format: uuid",
        ),
        ({"properties": {"a": {"type": "text"}}}, "a: the keyword type: text is not supported"),
        ({"type": "integer", "minLength": 3}, "schema: the keyword minLength is not supported"),
        ({"anyOf": [{"type": "integer"}], "minimum": 3}, "schema: minimum beside a union is not supported"),
    ],
)
def test_an_unsupported_keyword_is_an_error_with_its_path(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedSchema, match=message):
        values(schema)


def test_an_override_gives_what_a_schema_cannot_express() -> None:
    schema = {"properties": {"a": {"properties": {"b": {"type": "string", "format": "uuid"}}}}}
    drawn = values(schema, overrides={"a.b": st.just("2026-01-31")})

    @given(drawn)
    def holds(value: Any) -> None:
        assert value == {"a": {"b": "2026-01-31"}}

    holds()


def test_an_override_that_the_schema_refuses_is_an_error() -> None:
    drawn = values({"properties": {"a": {"type": "integer"}}}, overrides={"a": st.just("text")})

    @given(drawn)
    def holds(_value: Any) -> None:
        raise AssertionError("unreachable")

    with pytest.raises(AssertionError, match="not valid by the schema: a"):
        holds()
