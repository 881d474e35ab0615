"""YAML 1.2 as the reader has it: values, places, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import encodable
from tttcfg.errors import InputError, Place
from tttcfg.formats.yaml import parse_yaml, read_yaml
from tttcfg.report.render import yaml_text

VALUES: dict[str, Any] = {
    "1e-4": 1e-4,
    "3e-5": 3e-5,
    ".5": 0.5,
    "2.": 2.0,
    "-1.5E+3": -1500.0,
    "0755": 755,
    "0o17": 15,
    "0x1F": 31,
    "on": "on",
    "no": "no",
    "yes": "yes",
    "12:30": "12:30",
    "1_2": "1_2",
    "2020-01-01": "2020-01-01",
    "true": True,
    "False": False,
    "~": None,
    "null": None,
    "": None,
    '"1"': "1",
    "'true'": "true",
    "!!str 1": "1",
    "[1, x, null]": [1, "x", None],
    "{b: {c: 1}}": {"b": {"c": 1}},
    "|\n  x\n  y\n": "x\ny\n",
}
REFUSED = {
    "a: 1\na: 2": "file:2:1: a: is a duplicate key; the first is in line 1",
    "x:\n  a: 1\n  a: 2": "file:3:3: x.a: is a duplicate key; the first is in line 2",
    "<<: {a: 1}\n<<: {b: 2}": "file:2:1: <<: is a duplicate key; the first is in line 1",
    "<<: 1": "file:1:5: << takes a mapping, or a list of mappings",
    "a: *b": "file:1:4: this alias has no anchor; text that begins with * needs quotes",
    "a: &a [*a]": "file:1:8: this alias contains itself",
    "a: &a {<<: *a}": "file:1:12: this alias contains itself",
    "a: !!set {b, c}": "file:1:4: a tag is not supported; text that begins with ! needs quotes",
    "a: !!python/tuple [1]": "file:1:4: a tag is not supported; text that begins with ! needs quotes",
    "a: !x 1": "file:1:4: a: a tag is not supported; text that begins with ! needs quotes",
    "!x a: 1": "file:1:1: a tag is not supported; text that begins with ! needs quotes",
    "? [a]\n: 1": "file:1:3: a key must be plain text, not an alias, list or mapping",
    "a: 1\n---\nb: 2": "file:2:1: a second document starts here; a configuration file holds one",
    "a: \x07": "file:1:4: the control character U+0007 is not allowed in YAML",
    "%YAML 1.1\n---\na: 1": "file:2:1: only %YAML 1.2 is read; remove the directive",
    "%TAG ! x:\n---\na: 1": "file:2:1: only %YAML 1.2 is read; remove the directive",
    'a: "x\nb: 1\n': "file:1:4: this text in quotes is not closed",
    "a:\n   b: 1\n  c: 2\n": "file:3:3: the indentation of this line matches none above it, or a colon is missing",
    "a: @x": "file:1:4: text that begins with this character needs quotes",
    "a: [1": "file:1:6: a comma or ] is missing here",
    "- 1": "file:1:1: holds [1], not a mapping of keys to values",
    "text": "file:1:1: holds text, not a mapping of keys to values",
    "": "file: holds no configuration",
    "---\n...": "file: holds no configuration",
    '"\\ud800": 1\nb: .nan': "file:1:1: the text has a lone surrogate, which UTF-8 cannot encode\n"
    "file:2:4: b: .nan is not a value of any setting",
}


@pytest.mark.parametrize("text", VALUES)
def test_scalars_are_read_by_yaml_1_2(text: str) -> None:
    assert repr(read_yaml(f"a: {text}", "file").values["a"]) == repr(VALUES[text])


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_plain_mapping_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_yaml(text, "file")
    assert str(caught.value) == REFUSED[text]


def test_a_directive_of_version_1_2_is_read() -> None:
    assert read_yaml("%YAML 1.2\n---\na: 1", "file").values == {"a": 1}


def test_every_key_knows_its_line_and_column() -> None:
    tree = read_yaml("a:\n  b: 1\n  list:\n    - c: 1\n    -  d: 2\n{}".removesuffix("{}"), "file")
    assert tree.place(("a", "b")) == Place("file", 2, 3)
    assert tree.place(("a", "list", "1", "d")) == Place("file", 5, 8)
    assert tree.place(("a", "absent", "x")) == Place("file", 1, 1)
    assert tree.place(("z",)) == Place("file")


def test_a_written_key_overrides_a_merged_one_and_the_first_mapping_the_second() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 3}"
    assert read_yaml(text, "file").values["z"] == {"a": 3, "b": 1, "c": 2}


def test_the_place_of_a_merged_key_is_that_of_the_merge() -> None:
    tree = read_yaml("x: &x {a: 1}\nz:\n  <<: *x\n", "file")
    assert tree.place(("z", "a")) == Place("file", 3, 7)


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert read_yaml('"<<": 1', "file").values == {"<<": 1}


def test_a_hundred_aliases_are_read_and_one_more_is_not() -> None:
    text = "a: &a 1\nb: [" + "*a, " * 100
    assert read_yaml(text + "]", "file").values["b"] == [1] * 100
    with pytest.raises(InputError, match="more than 100 aliases"):
        read_yaml(text + "*a]", "file")


def test_sixty_four_levels_are_read_and_one_more_is_not() -> None:
    value, *_ = parse_yaml("[" * 64 + "]" * 64, "file")
    assert str(value) == "[" * 64 + "]" * 64
    with pytest.raises(InputError, match="nested deeper than 64 levels"):
        parse_yaml("[" * 65 + "]" * 65, "file")


def test_aliases_count_with_the_levels_of_what_they_stand_for() -> None:
    text = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40
    with pytest.raises(InputError, match="nested deeper"):
        read_yaml(text, "file")


TEXTS = st.one_of(
    st.text(encodable, max_size=20),
    st.text("0123456789.+-eExo_:~#|>&*!%@`'\"{}[],? \nnulltrefas<=", max_size=12),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
TREES = st.dictionaries(
    TEXTS,
    st.recursive(SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXTS, below, max_size=4)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200)
@given(TREES)
def test_what_is_written_as_yaml_reads_back_equal(tree: dict[str, Any]) -> None:
    assert repr(read_yaml(yaml_text(tree), "file").values) == repr(tree)


GOOD = "data: &d\n  train_data: /x # note\nttt:\n  layers: [1, 2]\n  base_lr: 1e-4\nother: {<<: *d, b: 'q'}\n"
PIECES = ["[", "]", "{", "}", ":", ": ", "- ", "? ", "&a ", "*a", "!x ", "<<: ", "|\n", "%", "\t", '"', "'", "\n", "#"]


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(encodable, max_size=200),
        st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
        st.builds(
            lambda at, piece, cut: GOOD[:at] + piece + GOOD[at + cut :],
            st.integers(0, len(GOOD)),
            st.sampled_from(PIECES),
            st.integers(0, 5),
        ),
    )
)
def test_any_text_is_read_or_refused_as_bad_input(text: str) -> None:
    """Each message of the parser has a sentence of ours; none is left to the one for an unknown message."""
    refused = ""
    try:
        assert isinstance(read_yaml(text, "file").values, dict)
    except InputError as error:
        refused = str(error)
    assert "is not valid here" not in refused
