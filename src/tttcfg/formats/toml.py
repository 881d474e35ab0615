"""TOML, with the place of every key that is on a line of its own."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from datetime import date, time
from itertools import islice
from typing import Any

from tttcfg.errors import InputError, Place, Problem
from tttcfg.formats.text import (
    MAX_DEPTH,
    MAX_NODES,
    ParsedFile,
    bounded,
    checked_text,
    dotted,
    in_our_words,
    too_deep,
    too_many_digits,
)
from tttcfg.schema.paths import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_AT = re.compile(r"\(at line (\d+), column (\d+)\)")
_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_\-]+(?:\s*\.\s*[A-Za-z0-9_\-]+)*)\s*\]")
_KEY = re.compile(r"(\s*)([A-Za-z0-9_\-]+(?:\s*\.\s*[A-Za-z0-9_\-]+)*)\s*=")
_TOKEN = re.compile(
    r'#.*|(?P<part>"[^"\\]*(?:\\.[^"\\]*)*"|\'[^\']*\'|[A-Za-z0-9_\-]+)|(?P<dot>\.)|[ \t]+|(?P<other>\\.|.)'
)
"""What a line consists of; outside text a backslash takes what follows, so that no quote is tried twice."""
_DIGITS = re.compile(r"[0-9_]+")
_ESCAPE = "this escape sequence is not valid; write \\\\ for a backslash, or use single quotes"
_DUPLICATE = "this key or table is a duplicate"
_MESSAGES = {
    "Invalid value": "a value is missing or misspelt here; text needs quotes",
    "newline or end of document": "the value ends before this, and nothing may follow it in its line",
    "Invalid statement": "a setting is written KEY = VALUE",
    "'='": "an equals sign is missing after the key",
    "declaration": "the closing bracket of the table's name is missing here",
    "initial character": "a key is missing or misspelt here",
    "Unclosed array": "a list is not closed",
    "Unclosed inline table": "a table in braces is not closed",
    "Unterminated": "this text in quotes is not closed",
    "twice": _DUPLICATE,
    "overwrite": _DUPLICATE,
    "immutable": _DUPLICATE,
    "redefine": _DUPLICATE,
    "Duplicate": _DUPLICATE,
    "hex value": _ESCAPE,
    "Unescaped": _ESCAPE,
    "Escaped": _ESCAPE,
    "character": "this character is not allowed here; in text in double quotes, write \\n for a line break",
    "date": "this date or time is not valid",
    "Expected": "this text in quotes is not closed",
}
"""Our sentence by a part of the message of the parser."""


def read_toml(text: str, file: str) -> ParsedFile:
    """Read a TOML document.

    Raises:
        InputError: Its syntax is wrong, or it has values that no setting can have: NaN, infinity.
    """
    _refuse_long_keys(text, file)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _AT.search(str(error))
        lines = text.split("\n")
        line, column = (int(part) for part in match.groups()) if match else (len(lines), len(lines[-1]) + 1)
        message = in_our_words(str(error), _MESSAGES)
        raise InputError(Problem("syntax", message, place=Place(file, line, column))) from None
    except RecursionError:
        raise InputError(too_deep(text, file, MAX_DEPTH)) from None
    except ValueError:  # Python's own limit for decimal digits
        raise InputError(too_many_digits(_longest_number(text, file))) from None
    if not values:
        raise InputError(Problem("empty", "holds no configuration", place=Place(file)))
    tree = ParsedFile(values, _places(text, file), file)
    nodes = list(islice(_nodes(values, ()), MAX_NODES + 1))
    if len(nodes) > MAX_NODES:
        raise InputError(Problem("too_large", f"holds more than {MAX_NODES:,} values", place=Place(file)))
    problems = [problem for path, value in nodes if (problem := _problem(path, value, tree))]
    if problems:
        raise InputError(problems)
    return tree._replace(values=_with_texts(values))


def _longest_number(text: str, file: str) -> Place:
    start = max(_DIGITS.finditer(text), key=lambda digits: len(digits[0])).start()
    return Place(file, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))


def _refuse_long_keys(text: str, file: str) -> None:
    """Refuse dotted keys beyond the cap before they are read: reading them takes quadratic time and memory."""
    for number, line in enumerate(text.split("\n"), 1):
        dots = 0
        for token in _TOKEN.finditer(line) if line.count(".") > MAX_DEPTH else ():
            dots = 0 if token["other"] else dots + bool(token["dot"])
            if dots > MAX_DEPTH:
                message = f"is nested deeper than {MAX_DEPTH} levels"
                raise InputError(Problem("too_deep", message, place=Place(file, number, token.start() + 1)))


def _places(text: str, file: str) -> dict[Path, Place]:
    places: dict[Path, Place] = {}
    table: Path = ()
    inside = ""
    for number, line in enumerate(text.split("\n"), 1):
        within, inside = inside, _still_open(line, inside)
        if within:
            continue
        if header := _HEADER.match(line):
            table = _split(header.group(1))
            places.setdefault(table, Place(file, number, line.index("[") + 1))
        elif key := _KEY.match(line):
            places.setdefault((*table, *_split(key.group(2))), Place(file, number, len(key.group(1)) + 1))
    return places


def _still_open(line: str, quotes: str) -> str:
    """Return the triple quotes that are open after `line`, if any; `quotes` is open before it."""
    for found in re.findall(r'"""|\'\'\'', line):
        quotes = "" if found == quotes else quotes or found
    return quotes


def _split(name: str) -> Path:
    return tuple(part.strip() for part in name.split("."))


def _nodes(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every value below `value` with its path, as deep as the cap and one level more."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        below = (*path, str(key))
        yield below, item
        if len(below) <= MAX_DEPTH:
            yield from _nodes(item, below)


def _problem(path: Path, value: Any, tree: ParsedFile) -> Problem | None:
    place, key = tree.place(path), dotted(path)
    if len(path) > MAX_DEPTH:
        return Problem("too_deep", f"is nested deeper than {MAX_DEPTH} levels", key, place)
    if isinstance(value, float) and not math.isfinite(value):
        return Problem("not_finite", f"{value} is not a value of any setting", key, place)
    try:
        if isinstance(value, str):
            checked_text(value, place)
        elif isinstance(value, int) and not isinstance(value, bool):
            bounded(value, place)  # one in hexadecimal may be too long for decimal digits
    except InputError as error:
        return error.problems[0]._replace(key=key)
    return None


def _with_texts(value: Any) -> Any:
    """Return a value with the text of dates and times, as JSON and YAML have them."""
    if isinstance(value, dict):
        return {key: _with_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_texts(item) for item in value]
    return value.isoformat() if isinstance(value, (date, time)) else value
