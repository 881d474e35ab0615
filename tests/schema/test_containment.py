"""Containment of schemas: compared with the reference implementation, and the cases that no sample shows."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tttcfg.family.json_schema import model_schema
from tttcfg.schema.containment import accepts, contains
from tttcfg.schema.fragments import fields_of
from tttcfg.ttt_moshi.family import TTT_MOSHI

INTEGER: dict[str, Any] = {"type": "integer"}
NUMBER: dict[str, Any] = {"type": "number"}
TEXT: dict[str, Any] = {"type": "string"}
NULL: dict[str, Any] = {"type": "null"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
PAIR: dict[str, Any] = {"type": "array", "prefixItems": [NUMBER, NUMBER], "minItems": 2, "maxItems": 2}
SECTION: dict[str, Any] = {"type": "object", "properties": {"a": INTEGER}, "additionalProperties": False}
SHAPES: list[Any] = [
    {},
    INTEGER,
    {**INTEGER, "minimum": 1},
    {**INTEGER, "minimum": 1, "maximum": 3},
    {**INTEGER, "exclusiveMinimum": 0},
    NUMBER,
    {**NUMBER, "minimum": 0},
    {**NUMBER, "exclusiveMinimum": 0},
    {**NUMBER, "exclusiveMaximum": 3},
    TEXT,
    {**TEXT, "minLength": 1},
    {**TEXT, "maxLength": 2},
    {"type": "string", "enum": ["a", "b"]},
    {"type": "string", "enum": ["a", "b", "cde"]},
    {"const": "a"},
    {"enum": [1, 2, 3]},
    BOOLEAN,
    {"enum": [True, False]},
    NULL,
    {"anyOf": [INTEGER, NULL]},
    {"anyOf": [{**INTEGER, "minimum": 1}, NULL]},
    {"anyOf": [TEXT, INTEGER, NULL]},
    {"type": ["integer", "null"]},
    {"type": "array", "items": INTEGER},
    {"type": "array", "items": INTEGER, "minItems": 1},
    {"type": "array", "items": NUMBER},
    {"type": "array"},
    PAIR,
    {**PAIR, "prefixItems": [INTEGER, NUMBER]},
    {"type": "array", "prefixItems": [NUMBER], "items": INTEGER},
    {"type": "object", "additionalProperties": True},
    {"type": "object", "additionalProperties": INTEGER},
    SECTION,
    {**SECTION, "properties": {"a": INTEGER, "b": TEXT}},
    {**SECTION, "required": ["a"]},
]
VALUES: list[Any] = [
    *(-1, 0, 1, 2, 3, 4, 0.5, 2.5, 3.5, "", "a", "b", "cde", None, True, False),
    *([], [1], [0.5], ["a"], [1, 2], [1, 0.5], [0.5, 1], [1, 2, 3]),
    *({}, {"a": 1}, {"a": "x"}, {"a": 1, "b": "x"}, {"c": 1}),
]


@pytest.mark.parametrize("fragment", SHAPES, ids=str)
def test_what_is_accepted_is_what_the_reference_accepts(fragment: Any) -> None:
    reference = Draft202012Validator(fragment)
    for value in VALUES:
        assert accepts(fragment, value) is reference.is_valid(value), value


@pytest.mark.parametrize("wide", SHAPES, ids=str)
def test_an_answer_is_never_wrong(wide: Any) -> None:
    """Yes has no counterexample among the samples, and where there is one, the answer is not yes."""
    for narrow in SHAPES:
        beyond = [value for value in VALUES if accepts(narrow, value) and not accepts(wide, value)]
        verdict = contains(wide, narrow)
        assert not (verdict and beyond), (narrow, beyond)
        assert verdict is not None or not beyond or narrow == {}, "the verdict could have been no"


def test_all_is_decided_for_the_shapes_that_the_models_have() -> None:
    fragments = list(fields_of(model_schema(TTT_MOSHI)).values())
    for wide, narrow in product(fragments, fragments):
        assert contains(wide, narrow) is not None, (wide, narrow)
    assert all(contains(fragment, fragment) for fragment in fragments)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (NUMBER, INTEGER),
        ({**INTEGER, "minimum": 0}, {**INTEGER, "exclusiveMinimum": 0}),
        ({"anyOf": [TEXT, NULL]}, TEXT),
        ({"enum": ["a", "b", "c"]}, {"type": "string", "enum": ["a"]}),
        (TEXT, {"type": "string", "enum": ["a"]}),
        ({**SECTION, "properties": {"a": NUMBER, "b": TEXT}}, SECTION),
    ],
)
def test_one_shape_is_wider_than_another(wide: Any, narrow: Any) -> None:
    assert contains(wide, narrow) is True
    assert contains(narrow, wide) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"enum": [True, False]}, BOOLEAN),
        ({**INTEGER, "minimum": 0}, {**INTEGER, "exclusiveMinimum": -1}),
        ({**INTEGER, "minimum": 1, "maximum": 3}, {"enum": [3, 2, 1]}),
        ({"type": ["integer", "null"]}, {"anyOf": [NULL, INTEGER]}),
    ],
)
def test_one_shape_is_another_in_other_words(one: Any, other: Any) -> None:
    assert contains(one, other) is True
    assert contains(other, one) is True


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({**TEXT, "pattern": "^a"}, TEXT),
        ({**TEXT, "pattern": "^a"}, {**TEXT, "pattern": "^ab"}),
        ({**NUMBER, "multipleOf": 2}, NUMBER),
        ({**NUMBER, "multipleOf": 1}, NUMBER),
        ({"const": ""}, {**TEXT, "maxLength": 0}),
        ({"const": 1}, {**NUMBER, "minimum": 1, "maximum": 1}),
        ({"anyOf": [{**INTEGER, "maximum": 5}, {**INTEGER, "minimum": 6}]}, INTEGER),
        ({"type": "object", "propertyNames": {"maxLength": 2}}, {"type": "object"}),
        ({"oneOf": [INTEGER, TEXT]}, INTEGER),
    ],
)
def test_what_cannot_be_decided_is_left_open(wide: Any, narrow: Any) -> None:
    assert contains(wide, narrow) is None


def test_equal_rules_contain_each_other_whatever_they_are() -> None:
    fragment = {**TEXT, "pattern": "^a", "description": "one"}
    assert contains(fragment, {**fragment, "description": "another", "default": "ab"}) is True


def test_true_is_not_one() -> None:
    assert accepts({"enum": [1]}, True) is False
    assert contains(INTEGER, {"const": True}) is False


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({"enum": [0]}, {"enum": [False]}),
        ({"enum": [False]}, {"enum": [0]}),
        ({"const": 1}, {"const": True}),
        ({"enum": [[1]]}, {"enum": [[True]]}),
        ({"const": {"a": 0}}, {"const": {"a": False}}),
    ],
)
def test_shapes_that_differ_by_true_and_one_are_not_equal(wide: Any, narrow: Any) -> None:
    assert contains(wide, narrow) is False
