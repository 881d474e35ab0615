"""JSON with places: strict RFC 8259, duplicate keys and non-finite numbers refused."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Any

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.formats.text import MAX_DEPTH, MAX_DIGITS, MAX_NODES, Tree, checked_text, dotted, finite, integer
from tttcfg.schema.paths import Path

_DECODER: Any = JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_TEXT_ERRORS = {
    "Unterminated": "this text in double quotes is not closed",
    "Invalid control": "a control character is not escaped; write \\n for a line break, \\t for a tab",
    "Invalid": "this escape sequence is not valid; write \\\\ for a backslash",
}
"""What the decoder's messages of texts begin with, and ours."""
_WORD = re.compile(r"[A-Za-z_+\-0-9.]+")


def read_leniently(text: str) -> Any:
    """Return what a JSON text holds where its faults are known: NaN is read, and a long number stays text.

    Raises:
        ValueError: It is not valid JSON.
        RecursionError: It is nested too deep for Python's own reader.
    """
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < MAX_DIGITS else digits)


def read_json(text: str, file: str) -> Tree:
    """Read a JSON object.

    Raises:
        InputError: It is not one: with all duplicate keys and bad numbers, up to the first syntax error.
    """
    if not text.strip():
        raise InputError(Problem("empty", "holds no configuration", place=Place(file)))
    reader = _Reader(text, file)
    value = reader.read()
    if not isinstance(value, dict):
        reader.problem("not_a_mapping", f"holds {quote(value)}, not an object", 0)
    if reader.problems:
        raise InputError(reader.problems)
    return Tree(value, reader.places, file)


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self.nodes = 0

    def place(self, index: int) -> Place:
        line = bisect_right(self.lines, index)
        return Place(self.file, line, index - self.lines[line - 1] + 1)

    def problem(self, code: str, message: str, index: int, key: str = "") -> None:
        self.problems.append(Problem(code, message, key, self.place(index)))

    def fail(self, message: str, index: int, code: str = "syntax") -> InputError:
        return InputError([*self.problems, Problem(code, message, place=self.place(min(index, len(self.text))))])

    def skip(self, index: int) -> int:
        match = _SPACE.match(self.text, index)
        return match.end() if match else index

    def read(self) -> Any:
        value, end = self.value(self.skip(0), ())
        end = self.skip(end)
        if end != len(self.text):
            raise self.fail("nothing may follow the object", end)
        return value

    def value(self, index: int, path: Path) -> tuple[Any, int]:
        if len(path) > MAX_DEPTH:
            raise self.fail(f"is nested deeper than {MAX_DEPTH} levels", index, "too_deep")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.fail(f"holds more than {MAX_NODES:,} values", index, "too_large")
        first = self.text[index : index + 1]
        if first == "{":
            return self.mapping(index, path)
        if first == "[":
            return self.sequence(index, path)
        if first == '"':
            return self.string(index, path)
        return self.scalar(index, path)

    def string(self, index: int, path: Path) -> tuple[str, int]:
        try:
            value, end = _DECODER.parse_string(self.text, index + 1, True)
        except JSONDecodeError as error:
            kind = next(message for start, message in _TEXT_ERRORS.items() if error.msg.startswith(start))
            raise self.fail(kind, error.pos) from None
        try:
            checked_text(value, self.place(index))
        except InputError as error:
            self.problems += [problem._replace(key=dotted(path)) for problem in error.problems]
        return value, end

    def scalar(self, index: int, path: Path) -> tuple[Any, int]:
        match = _NUMBER.match(self.text, index)
        word = _WORD.match(self.text, index)
        if match and word and match.end() == word.end():
            text, place = match.group(), self.place(index)
            try:
                if not (match.group(1) or match.group(2)):
                    return integer(text, place), match.end()
                return finite(float(text), text, place), match.end()
            except InputError as error:
                self.problems += [problem._replace(key=dotted(path)) for problem in error.problems]
                return 0, match.end()
        if word and word.group() in _WORDS:
            return _WORDS[word.group()], word.end()
        if word and word.group().lstrip("+-") in ("NaN", "Infinity", "inf", "nan"):
            self.problem("not_finite", f"{word.group()} is not a value of any setting", index, dotted(path))
            return 0.0, word.end()
        raise self.fail("a value is missing or misspelt here", index)

    def mapping(self, index: int, path: Path) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        end = self.skip(index + 1)
        if self.text[end : end + 1] == "}":
            return values, end + 1
        while True:
            if self.text[end : end + 1] != '"':
                raise self.fail("a key in double quotes is missing here", end)
            key, after = self.string(end, path)
            here = (*path, key)
            if key in values:
                message = f"is a duplicate key; the first is in line {self.places[here].line}"
                self.problem("duplicate_key", message, end, dotted(here))
            self.places.setdefault(here, self.place(end))
            after = self.skip(after)
            if self.text[after : after + 1] != ":":
                raise self.fail("a colon is missing here", after)
            values[key], end = self.value(self.skip(after + 1), here)
            end = self.skip(end)
            if self.text[end : end + 1] == "}":
                return values, end + 1
            if self.text[end : end + 1] != ",":
                raise self.fail("a comma or closing brace is missing here", end)
            end = self.skip(end + 1)

    def sequence(self, index: int, path: Path) -> tuple[list[Any], int]:
        values: list[Any] = []
        end = self.skip(index + 1)
        if self.text[end : end + 1] == "]":
            return values, end + 1
        while True:
            value, end = self.value(end, (*path, str(len(values))))
            values.append(value)
            end = self.skip(end)
            if self.text[end : end + 1] == "]":
                return values, end + 1
            if self.text[end : end + 1] != ",":
                raise self.fail("a comma or closing bracket is missing here", end)
            end = self.skip(end + 1)
