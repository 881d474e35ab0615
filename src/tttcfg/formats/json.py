"""JSON with places: strict RFC 8259, duplicate keys and non-finite numbers refused."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from json.decoder import JSONDecodeError
from typing import Any, NoReturn

from tttcfg.errors import InputError, Place, Problem, kind_of
from tttcfg.formats.text import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NODES,
    ParsedFile,
    WrittenValue,
    checked_text,
    dotted,
    finite,
    in_our_words,
    integer,
    too_deep,
)
from tttcfg.schema.paths import Path

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\]:,]|[^{}\[\]:,"\s]+')
_MESSAGES = {
    "Expecting value": "a value is missing or misspelt here",
    "Expecting ','": "a comma or closing bracket is missing here, or the value before is misspelt",
    "Expecting ':'": "a colon is missing here",
    "Expecting property name": "a key in double quotes is missing here",
    "Illegal trailing comma": "a comma follows the last item here; remove it",
    "Extra data": "nothing may follow the object",
    "Unterminated": "this text in double quotes is not closed",
    "Invalid control": "a control character is not escaped; write \\n for a line break, \\t for a tab",
    "Invalid": "this escape sequence is not valid; write \\\\ for a backslash",
}
"""Our sentence by a part of the message of Python's parser."""


def read_leniently(text: str) -> Any:
    """Return what a JSON text holds where its faults are known: NaN is read, and a long number stays text.

    Raises:
        ValueError: It is not valid JSON.
        RecursionError: It is nested too deep for Python's own reader.
    """
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= MAX_DIGITS + 1 else digits)


def read_json(text: str, file: str) -> ParsedFile:
    """Read a JSON object.

    Raises:
        InputError: It is not one: with its first syntax error, or with all duplicate keys and bad numbers.
    """
    if not text.strip():
        raise InputError(Problem("empty", "holds no configuration", place=Place(file)))
    reader = _Reader(text, file)
    try:
        value = read_leniently(text)
    except JSONDecodeError as error:
        place = reader.place(min(error.pos, len(text)))
        raise InputError(Problem("syntax", in_our_words(error.msg, _MESSAGES), place=place)) from None
    except RecursionError:
        raise InputError(too_deep(text, file, MAX_DEPTH + 1)) from None
    reader.read()
    if not isinstance(value, dict):
        reader.problem("not_a_mapping", f"holds {kind_of(value)}, not an object", 0)
    if reader.problems:
        raise InputError(reader.problems)
    return ParsedFile(value, reader.places, file)


def written_values(text: str, file: str) -> list[WrittenValue]:
    """Return every value in the text of a JSON object, and where it is written.

    Raises:
        InputError: It is no JSON object.
    """
    read_json(text, file)
    reader = _Reader(text, file)
    reader.read()
    return reader.written


class _Frame:
    """A mapping or list being read; `key` is the key of the mapping whose value comes next."""

    __slots__ = ("count", "key", "keys", "path")

    def __init__(self, path: Path, keys: set[str] | None) -> None:
        self.path, self.keys = path, keys
        self.key: str | None = None
        self.count = 0

    def next_path(self) -> Path:
        name, self.key = str(self.count) if self.key is None else self.key, None
        self.count += 1
        return (*self.path, name)


class _Reader:
    """Finds the place of every key, and what is wrong beyond syntax, in a text that is valid JSON."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self.written: list[WrittenValue] = []

    def place(self, index: int) -> Place:
        line = bisect_right(self.lines, index)
        return Place(self.file, line, index - self.lines[line - 1] + 1)

    def problem(self, code: str, message: str, index: int, key: str = "") -> None:
        self.problems.append(Problem(code, message, key, self.place(index)))

    def fatal(self, code: str, message: str, index: int) -> NoReturn:
        self.problem(code, message, min(index, len(self.text)))
        raise InputError(self.problems)

    def read(self) -> None:
        frames: list[_Frame] = []
        nodes = 0
        for match in _TOKEN.finditer(self.text):
            token = match.group()
            if token in ":,":
                continue
            index, frame = match.start(), frames[-1] if frames else None
            if token in "}]":
                frames.pop()
            elif frame is not None and frame.keys is not None and frame.key is None:
                frame.key = self.key(token, index, frame.path, frame.keys)
            else:
                path = frame.next_path() if frame is not None else ()
                nodes += 1
                if len(path) > MAX_DEPTH:
                    self.fatal("too_deep", f"is nested deeper than {MAX_DEPTH} levels", index)
                if nodes > MAX_NODES:
                    self.fatal("too_large", f"holds more than {MAX_NODES:,} values", index)
                if token in "{[":
                    frames.append(_Frame(path, set() if token == "{" else None))
                else:
                    self.scalar(token, index, path)
                    if not self.problems:
                        self.written.append(
                            WrittenValue(path, json.loads(token), index, match.end(), self.place(index))
                        )

    def key(self, token: str, index: int, path: Path, keys: set[str]) -> str:
        self.scalar(token, index, path)
        key: str = json.loads(token) if "\\" in token else token[1:-1]
        here = (*path, key)
        if key in keys:
            message = f"is a duplicate key; the first is in line {self.places[here].line}"
            self.problem("duplicate_key", message, index, dotted(here))
        keys.add(key)
        self.places.setdefault(here, self.place(index))
        return key

    def scalar(self, token: str, index: int, path: Path) -> None:
        try:
            if token[0] == '"':
                if "\\u" in token or not token.isascii():
                    checked_text(json.loads(token), self.place(index))
            elif token in ("NaN", "Infinity", "-Infinity"):
                self.problem("not_finite", f"{token} is not a value of any setting", index, dotted(path))
            elif len(token) > MAX_DIGITS and token.lstrip("-").isdigit():
                integer(token, self.place(index))
            elif token not in ("true", "false", "null") and math.isinf(float(token)):
                finite(math.inf, token, self.place(index))
        except InputError as error:
            self.problems += [problem._replace(key=dotted(path)) for problem in error.problems]
