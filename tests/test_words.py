"""The project speaks of its things in the field's words, and of each thing in one."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import ROOT

WORDS = {
    r"unverifiable": "not determined by the tensors",
    r"decisive": "model-defining",
    r"without a word": "silently",
    r"unasked": "by default",
    r"strayed": "mismatched",
    r"(?:un)?vouch(?:e[sd]|ing)?": "confirm or assert",
    r"anybody|whoever": "the person or program that is meant, or the passive",
    r"nobody|somebody": "no one, or the person or program that is meant",
    r"tells|told|telling": "report, list, print, state or determine",
    r"by (?:itself|themselves)|alike|unsaid": "alone or automatically; equivalent; not listed",
    r"mends?|mended|mending": "fix or correct",
    r"wins|winner|beats|beaten": "used, overridden or takes precedence",
    r"stood(?! for)": "was",
    r"(?:holds|held) against|there and back": "checks against, compared with, or a round trip",
    r"strangers?": "foreign format",
    r"seals?|sealed": "section digest",
}
"""Words that read as translated or mean several things here, by pattern, and what to write instead."""
PLACES = (
    *(f"{folder}/**/*.py" for folder in ("src", "migrations", "examples", "tests", "benchmarks")),
    *("docs/*.md", "examples/**/*.md", "tests/**/*.md", "benchmarks/programs/*.in", "README.md"),
)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page, and of a module its comments, its texts and the names in it, as words."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            yield token.start[0], " ".join(token.string.split())
        elif token.type == tokenize.NAME:
            yield token.start[0], token.string.replace("_", " ")


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    """The prose of all places, line by line, each with its place; this module lists the words itself."""
    paths = [path for place in PLACES for path in sorted(ROOT.glob(place)) if path != ROOT / "tests" / "test_words.py"]
    return [(f"{path.relative_to(ROOT)}:{line}", text) for path in paths for line, text in prose(path)]


@pytest.mark.parametrize(("words", "instead"), WORDS.items(), ids=list(WORDS.values()))
def test_words(words: str, instead: str, lines: list[tuple[str, str]]) -> None:
    pattern = re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    found = [
        f"{place}: {text[max(0, match.start() - 40) : match.end() + 20]}"
        for place, text in lines
        for match in pattern.finditer(text)
    ]
    assert not found, f"write {instead}:\n" + "\n".join(found)
