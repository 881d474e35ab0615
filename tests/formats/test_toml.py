"""TOML: tables, dotted keys, places, and what no setting can have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import encodable
from tttcfg.errors import InputError, Place
from tttcfg.formats.toml import read_toml

TEXT = """\
seed = 1
ttt.enable = true

[optim]
lr = 1e-4
  betas = [0.9, 0.95]

[ttt.mlp]
layers = 3
note = \"\"\"
seed = 2
[other]
\"\"\"
"""
REFUSED = {
    "a = 1\na = 2": "file:2:6: this key or table is a duplicate",
    "[x]\na = [nan, inf]": "file:2:1: x.a.0: nan is not a value of any setting\n"
    "file:2:1: x.a.1: inf is not a value of any setting",
    'a = "\\q"': "file:1:8: this escape sequence is not valid; write \\\\ for a backslash, or use single quotes",
    "a 3": "file:1:3: an equals sign is missing after the key",
    "a = [1, 2": "file:1:10: a list is not closed",
    'a = "x': "file:1:7: this text in quotes is not closed",
    "a = ": "file:1:5: a value is missing or misspelt here; text needs quotes",
    "a = " + "[" * 3000 + "]" * 3000: "file:1:69: is nested deeper than 64 levels",
    "x = 1\na" + ".a" * 65 + " = 1": "file:2:130: is nested deeper than 64 levels",
    "a = " + "9" * 301: "file:1:1: a: a number may have 300 digits",
    "": "file: holds no configuration",
    "# only this": "file: holds no configuration",
}
PIECES = ["[", "]", "[[a]]", "{", "}", "=", ".", '"', '"""', "'''", "\n", "\\", "1", "nan", "0x", "-", ",", "#", "\r"]


def test_tables_and_dotted_keys_are_sections() -> None:
    values = read_toml(TEXT, "file").values
    assert values["ttt"] == {"enable": True, "mlp": {"layers": 3, "note": "seed = 2\n[other]\n"}}
    assert values["optim"] == {"lr": 1e-4, "betas": [0.9, 0.95]}


def test_every_key_on_a_line_of_its_own_knows_its_place() -> None:
    tree = read_toml(TEXT, "file")
    assert tree.place(("ttt", "enable")) == Place("file", 2, 1)
    assert tree.place(("optim", "betas")) == Place("file", 6, 3)
    assert tree.place(("ttt", "mlp", "layers")) == Place("file", 9, 1)
    assert tree.place(("ttt", "mlp")) == Place("file", 8, 1)


def test_text_that_looks_like_a_key_is_no_place() -> None:
    tree = read_toml('note = """\nseed = 2\n"""\nseed = 1\n', "file")
    assert tree.place(("seed",)) == Place("file", 4, 1)


@pytest.mark.parametrize("text", REFUSED)
def test_what_no_setting_can_have_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_toml(text, "file")
    assert str(caught.value) == REFUSED[text]


@pytest.mark.parametrize(
    "number", ["0x" + "f" * 3600, "0b" + "1" * 2000, "0o" + "7" * 900, "1" * 5000, "-" + "1_" * 3000 + "1"]
)
def test_a_long_number_is_refused_in_any_base(number: str) -> None:
    with pytest.raises(InputError, match="a number may have 300 digits") as caught:
        read_toml(f"batch_size = 1\nseed = {number}\n", "a.toml")
    assert str(caught.value).startswith("a.toml:2:")


def test_dots_in_text_and_comments_are_not_nesting() -> None:
    dots = "." * 100
    assert read_toml(f'a = "{dots}" # {dots}\n', "file").values == {"a": dots}


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(encodable, max_size=100),
        st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
        st.builds(
            lambda at, piece, cut: TEXT[:at] + piece + TEXT[at + cut :],
            st.integers(0, len(TEXT)),
            st.sampled_from(PIECES),
            st.integers(0, 5),
        ),
    )
)
def test_any_text_is_read_or_refused_as_bad_input(text: str) -> None:
    """Each message of the parser has a sentence of ours; none is left to the one for an unknown message."""
    refused = ""
    try:
        assert read_toml(text, "file").values
    except InputError as error:
        refused = str(error)
    assert "is not valid here" not in refused


def test_dates_and_times_are_their_text() -> None:
    text = "a = 1979-05-27\nb = [07:32:00, {c = 1979-05-27T07:32:00}]\n"
    assert read_toml(text, "file").values == {"a": "1979-05-27", "b": ["07:32:00", {"c": "1979-05-27T07:32:00"}]}
