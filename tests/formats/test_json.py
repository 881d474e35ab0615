"""JSON as RFC 8259 has it, with places; duplicates and non-finite numbers refused."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import encodable
from tttcfg.errors import InputError, Place
from tttcfg.formats.json import read_json

REFUSED = [
    "{'a': 1}",
    "{a: 1}",
    '{"a": 1,}',
    '{"a": [1,]}',
    '{"a": 01}',
    '{"a": +1}',
    '{"a": 1.}',
    '{"a": .5}',
    '{"a": 0x1}',
    '{"a": 1_0}',
    '{"a": True}',
    '{"a": nul}',
    '{"a": "\t"}',
    '{"a": "\\x"}',
    '{"a": "x}',
    '{"a" 1}',
    '{"a": 1} x',
    '{"a": 1} {}',
    '{"a": 1 "b": 2}',
    '{"a": /* no */ 1}',
    '\u00a0{"a": 1}',
    "",
    "[]",
    "1",
    '{"a": 1, "a": 1}',
    '{"a": NaN}',
    '{"a": -Infinity}',
    '{"a": 1e999}',
    '{"a": "\\ud800"}',
    '{"a": ' + "9" * 301 + "}",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(encodable),
    lambda below: st.lists(below, max_size=5) | st.dictionaries(st.text('abc\n"\\é', max_size=5), below, max_size=5),
)
OBJECTS = st.dictionaries(st.text("abc.", max_size=5), VALUES, max_size=5)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read_json(text, "file")


def test_all_duplicates_and_bad_numbers_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_json('{"a": NaN,\n "b": {"c": 1e999, "c": "\\ud800"},\n "a": 1}', "file")
    assert [(problem.code, problem.key, str(problem.place)) for problem in caught.value.problems] == [
        ("not_finite", "a", "file:1:7"),
        ("not_finite", "b.c", "file:2:13"),
        ("duplicate_key", "b.c", "file:2:20"),
        ("encoding", "b.c", "file:2:25"),
        ("duplicate_key", "a", "file:3:2"),
    ]


def test_a_duplicate_names_the_line_of_the_first() -> None:
    with pytest.raises(InputError, match=r"file:3:1: a: is a duplicate"):
        read_json('{"a": 1,\n"b": 2,\n"a": 3}', "file")


def test_every_key_knows_its_line_and_column() -> None:
    tree = read_json('{\n  "a": {"b": 1},\n  "c": [{"d": 2}]\n}', "file")
    assert tree.place(("a", "b")) == Place("file", 2, 9)
    assert tree.place(("c", "0", "d")) == Place("file", 3, 10)


@settings(max_examples=200)
@given(OBJECTS, st.sampled_from([None, 1, 4]), st.booleans())
def test_valid_json_reads_as_the_json_module_reads_it(values: dict[str, Any], indent: int | None, ascii_: bool) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_)
    assert repr(read_json(text, "file").values) == repr(json.loads(text))


def strict(text: str) -> Any:
    """Read JSON with the json module, made to refuse what RFC 8259 and we refuse."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(items)) < len(items):
            raise ValueError("duplicate")
        return dict(items)

    def number(text: str) -> float:
        if not math.isfinite(float(text)):
            raise ValueError("not finite")
        return float(text)

    return json.loads(text, object_pairs_hook=pairs, parse_float=number, parse_constant=lambda _: number("inf"))


GOOD = '{"a": [1, -2.5e3, true], "b": {"c": "x\\u00e9", "d": null}, "e": 0}'


@settings(max_examples=400)
@given(st.integers(0, len(GOOD)), st.text('{}[]",:\\ \n01eE.+-ntfaNI\x00é', max_size=3), st.integers(0, 4))
def test_a_damaged_text_is_read_like_the_json_module_reads_it_or_refused(at: int, piece: str, cut: int) -> None:
    text = GOOD[:at] + piece + GOOD[at + cut :]
    try:
        expected = strict(text)
    except ValueError:
        expected = None
    if isinstance(expected, dict):
        assert repr(read_json(text, "file").values) == repr(expected)
    else:
        with pytest.raises(InputError):
            read_json(text, "file")


@given(st.text(encodable, max_size=100))
def test_any_text_is_read_or_refused_as_bad_input(text: str) -> None:
    with contextlib.suppress(InputError):
        read_json(text, "file")


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_number_has_at_most_300_digits(sign: str) -> None:
    assert read_json(f'{{"a": {sign}{"9" * 300}}}', "a.json").values == {"a": int(sign + "9" * 300)}
    with pytest.raises(InputError, match="a number may have 300 digits"):
        read_json(f'{{"a": {sign}{"9" * 301}}}', "a.json")
