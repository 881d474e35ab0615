"""From bytes to text, and what plain text means."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import encodable
from tttcfg.errors import InputError
from tttcfg.formats.text import decode, dotted, scalar

REFUSED = {
    "\ufeffa".encode(): "file:1:1: starts with a byte-order mark; save it as UTF-8 without",
    "a".encode("utf-16"): "file:1:1: is UTF-16; save it as UTF-8",
    b"\xfe\xff\x00a": "file:1:1: is UTF-16; save it as UTF-8",
    b"ab\ncaf\xe9": "file:2:4: byte 0xe9 is not UTF-8; save the file as UTF-8",
    b"\xed\xa0\x80": "file:1:1: byte 0xed is not UTF-8; save the file as UTF-8",
}


@pytest.mark.parametrize("data", REFUSED)
def test_other_encodings_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        decode(data, "file")
    assert str(caught.value) == REFUSED[data]


@given(st.text(encodable).filter(lambda text: not text.startswith("\ufeff")))
def test_utf8_is_read_as_it_is(text: str) -> None:
    assert decode(text.encode(), "file") == text


def core_schema(text: str) -> Any:
    """Return what the tables of YAML 1.2.2, section 10.3.2, make of plain text."""
    if re.fullmatch(r"null|Null|NULL|~|", text):
        return None
    if re.fullmatch(r"true|True|TRUE|false|False|FALSE", text):
        return text.lower() == "true"
    for pattern, base in ((r"[-+]?[0-9]+", 10), (r"0o[0-7]+", 8), (r"0x[0-9a-fA-F]+", 16)):
        if re.fullmatch(pattern, text):
            return int(text.removeprefix("0o").removeprefix("0x") if base != 10 else text, base)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        return InputError
    return text


PLAIN = st.one_of(
    st.from_regex(r"[-+]?[0-9._]{0,6}([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["null", "Null", "nULL", "TRUE", "tRUE", "~", "", "yes", "on", ".inf", "-.INF", ".nan", "+.NaN"]),
    st.from_regex(r"0[xob][0-9a-fA-F]{1,4}", fullmatch=True),
    st.text(encodable, max_size=8),
)


@settings(max_examples=400)
@given(PLAIN)
def test_plain_text_is_read_by_the_core_schema(text: str) -> None:
    expected = core_schema(text)
    if expected is InputError:
        with pytest.raises(InputError, match="is not a value"):
            scalar(text)
    else:
        assert repr(scalar(text)) == repr(expected)


@pytest.mark.parametrize("text", ["9" * 301, "-" + "9" * 301, "0x" + "f" * 299, "9" * 60_000])
def test_a_number_of_more_than_300_digits_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a number may have 300 digits"):
        scalar(text)


def test_a_number_of_300_digits_is_read() -> None:
    assert scalar("-" + "9" * 300) == -(10**300 - 1)


def test_a_long_key_is_clipped_where_problems_name_it() -> None:
    assert dotted(("a", "b")) == "a.b"
    assert dotted(("k" * 500,)) == "k" * 199 + "…"
