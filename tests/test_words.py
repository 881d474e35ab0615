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
}
"""Words that read as translated or mean several things here, by pattern, and what to write instead."""
PLACES = ("src/**/*.py", "migrations/**/*.py", "examples/**/*.py", "docs/*.md", "examples/**/*.md", "README.md")


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


@pytest.mark.parametrize(("words", "instead"), WORDS.items(), ids=list(WORDS.values()))
def test_words(words: str, instead: str) -> None:
    pattern = re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[max(0, match.start() - 40) : match.end() + 20]}"
        for place in PLACES
        for path in sorted(ROOT.glob(place))
        for line, text in prose(path)
        for match in pattern.finditer(text)
    ]
    assert not found, f"write {instead}:\n" + "\n".join(found)
