"""The layout of a statement, as a formatter would have it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from tttcfg.schema_tools.codegen import text_literal

WIDTH = 120
INDENT = 4


def laid_out(head: str, parts: Sequence[str], tail: str, indent: int = INDENT) -> str:
    """Return a statement with what is between its brackets on one line, on one line below, or one line each.

    Args:
        head: What ends with the opening bracket.
        parts: What is between the brackets, in its order.
        tail: What begins with the closing bracket.
    """
    pad, inner = " " * indent, " " * (indent + INDENT)
    whole = ", ".join(parts)
    if "\n" not in whole:
        if len(pad + head + whole + tail) <= WIDTH:
            return f"{pad}{head}{whole}{tail}"
        if len(inner + whole) <= WIDTH:
            return f"{pad}{head}\n{inner}{whole}\n{pad}{tail}"
    lines = "".join(f"{inner}{part},\n" for part in parts)
    return f"{pad}{head}\n{lines}{pad}{tail}"


def keyword_text(name: str, text: str, indent: int = 2 * INDENT) -> str:
    """Return `name="text"`; where that is too long for a line, with the text in several pieces below each other."""
    whole = f"{name}={text_literal(text)}"
    if indent + len(whole) + 1 <= WIDTH:
        return whole
    return f"\n{' ' * indent}".join(_pieces(name, text, indent))


def _pieces(name: str, text: str, indent: int) -> Iterator[str]:
    width = WIDTH - indent - len(name) - len('="" ",')
    pieces = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    for number, piece in enumerate(pieces):
        literal = text_literal(piece if number + 1 == len(pieces) else f"{piece} ")
        yield f"{name}={literal}" if not number else literal


def comment(text: str, indent: int = INDENT) -> str:
    """Return a comment, of several lines where it is long."""
    pad = " " * indent
    return textwrap.fill(text, WIDTH, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ", break_long_words=False)
