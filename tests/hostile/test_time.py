"""No text takes a time that grows faster than its length: of every regular expression, and of every parser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tests.hostile.clock import seconds
from tests.hostile.expressions import Expression, attacks, in_source, of_dialects
from tttcfg.errors import TttcfgError
from tttcfg.formats.endings import YAML_CAP, parse_file
from tttcfg.resolving.config import given
from tttcfg.ttt_moshi.family import TTT_MOSHI

SHORT, LONG = 2_000, 64_000
SUSPICIOUS = 0.005
"""Seconds for a short text: a linear expression takes a hundredth of that, a quadratic one ten times as much."""
MOST = 1.0
"""Seconds for a long text of an expression."""
PARSING = 5.0
"""Seconds for a file at its cap: none takes one on an idle machine, and a quadratic parser takes minutes."""
EXPRESSIONS = [*in_source(), *of_dialects()]


def apply(expression: Expression, text: str) -> None:
    data: Any = text.encode() if isinstance(expression.pattern.pattern, bytes) else text
    expression.pattern.fullmatch(data)
    expression.pattern.match(data)
    if expression.searched:
        for _ in expression.pattern.finditer(data):
            pass


def slow_texts(expression: Expression, *, pairs: bool, longer: int = 1, tries: int = 3) -> Iterator[str]:
    """Yield the texts for which an expression takes a time out of proportion, clipped."""
    for few, short, whole in zip(
        *(attacks(expression, size, pairs=pairs) for size in (30, longer * SHORT, longer * LONG)), strict=True
    ):
        suspicious = any(seconds(partial(apply, expression, text), 0.1, 1) > SUSPICIOUS for text in (few, short))
        if suspicious and seconds(partial(apply, expression, whole), MOST, tries) > MOST:
            yield short[:40] + "…" + short[-10:]


def test_every_expression_of_the_source_is_found() -> None:
    assert len(EXPRESSIONS) > 80
    assert any(one.searched for one in EXPRESSIONS)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda one: one.where.removeprefix("tttcfg."))
def test_the_time_of_an_expression_is_linear(expression: Expression) -> None:
    assert list(slow_texts(expression, pairs=False)) == []


@pytest.mark.slow
@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda one: one.where.removeprefix("tttcfg."))
def test_the_time_of_an_expression_is_linear_for_two_parts_in_turn(expression: Expression) -> None:
    assert list(slow_texts(expression, pairs=True)) == []


@pytest.mark.parametrize(
    ("pattern", "searched"),
    [
        (r"(?:a+)+b", False),
        (r"\s*,?\s*x", False),
        (r'"(?:[^"\\]|\\.)*"', True),
        (r"[A-Za-z][A-Za-z0-9+.:\-]+:/\S+?(?=['\"),;:.\]]*(?:\s|$))", True),
        (r"(?s)^(?:[^/?#]*@|[^/?#]*:(?![0-9]*(?:[/?#]|$)).*@)", False),
    ],
)
def test_a_slow_expression_is_noticed(pattern: str, searched: bool) -> None:
    """The control: these take exponential or quadratic time; on a fast machine, a text has to be longer."""
    expression = Expression("", re.compile(pattern), searched)
    assert any(next(slow_texts(expression, pairs=True, longer=longer, tries=1), "") for longer in (1, 2, 4, 8))


TOKENS = {
    "yaml": (
        *(
            "[",
            "]",
            "{",
            "}",
            "- ",
            "a: ",
            "? ",
            ": ",
            "&a ",
            "*a ",
            "!a ",
            "'",
            '"',
            "\\",
            "#",
            " # ",
            "\n",
            " ",
            "\t",
        ),
        *("%", "|\n", ">\n", "<<: ", ",", "a", "1", "\r\n", "é", "---\n", "\n ", "\n- ", "\na: ", "a: b\n", "1e", "''"),
    ),
    "json": (
        *("[", "]", "{", "}", '"', "\\", '\\"', ",", ":", "1", "0", "-", ".", "e", " ", "\n", '"a"', '"a":', '{"a":'),
        *("[1,", "true", '"\\u0061"', '"\\ud800"', "é", '"a":1,', "1,", "[]", "[],", "{},", '"a:/,",'),
    ),
    "toml": (
        *("[", "]", "{", "}", '"', "'", "\\", '\\"', ",", "=", "1", ".", "e", " ", "\n", "a", "a=1\n", "[a]\n"),
        *("[[a]]\n", "a.", '"a".', "#", "'''", '"""', "a = ", "[1,", "{a=", "inf", "0x", "1_", "T07:32:00", "a.b=1\n"),
    ),
}
BEGINNINGS = {"yaml": ("", "ttt: "), "json": ("", '{"ttt":', '{"ttt":{"layers":['), "toml": ("", "ttt = ", "[ttt]\n")}


def parse(text: str, ending: str) -> None:
    given(parse_file(text.encode(), f"f.{ending}"), TTT_MOSHI)


def filled(beginning: str, unit: str) -> str:
    return beginning + unit * ((YAML_CAP - len(beginning)) // len(unit))


def slow_tokens(ending: str, beginnings: Iterable[str], tokens: Iterable[str]) -> list[tuple[str, str]]:
    with suppress(TttcfgError):
        parse("x: 1", ending)  # which imports what the first call needs
    cases = [(start, token) for start in beginnings for token in tokens]
    return [one for one in cases if seconds(partial(parse, filled(*one), ending), PARSING) > PARSING]


@pytest.mark.parametrize("ending", TOKENS)
def test_the_time_of_a_parser_is_bounded(ending: str) -> None:
    """A token, again and again up to the cap of a file."""
    assert slow_tokens(ending, BEGINNINGS[ending][-1:], TOKENS[ending]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "first"), [(ending, token) for ending, tokens in TOKENS.items() for token in tokens]
)
def test_the_time_of_a_parser_is_bounded_for_two_tokens_in_turn(ending: str, first: str) -> None:
    assert slow_tokens(ending, BEGINNINGS[ending], [first + second for second in TOKENS[ending]]) == []
