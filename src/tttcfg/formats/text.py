"""From bytes to text: plain UTF-8, and what every format refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.files.storage import LFS_POINTER, lfs_pointer
from tttcfg.schema.paths import Path

MAX_DEPTH = 64
MAX_NODES = 10_000

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ZEROS = re.compile(r"[-+]?0[0-9]{1,300}")
_WORDS: dict[str, Any] = {"": None, "~": None} | {
    spelling: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.title(), word.upper())
}
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NUMBER_ELSEWHERE = re.compile(
    r"[-+]?(0[0-7]*|[1-9][0-9]*|0x[0-9a-fA-F]+|[0-9]+\.[0-9]*([eE][-+][0-9]+)?)|\.[0-9]+([eE][-+][0-9]+)?"
)
MAX_DIGITS = 300
_TOO_LARGE = 10**MAX_DIGITS
_MAX_KEY = 200


class ParsedFile(NamedTuple):
    """The content of a file: plain values, the place of every key by its path, and notes on values.

    `as_text` has, by path, how numbers are written that readers of YAML 1.1 take for text.
    """

    values: dict[str, Any]
    places: dict[Path, Place]
    file: str
    notes: tuple[Problem, ...] = ()
    as_text: Mapping[Path, str] = {}

    def place(self, path: Path) -> Place:
        """Return the place of `path` in the file, or of the nearest section that holds it."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.places:
                return self.places[path[:depth]]
        return Place(self.file)


class WrittenValue(NamedTuple):
    """A value in a text that is no mapping or list, and where it is written, in characters.

    Attributes:
        alias: For a YAML alias, the path of what it stands for.
    """

    path: Path
    value: Any
    start: int
    end: int
    place: Place
    alias: Path | None = None


def decode(data: bytes, file: str) -> str:
    """Return `data` as text, or raise an InputError with the encoding that it may have."""
    if data.startswith(LFS_POINTER):
        raise InputError(lfs_pointer(file))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(Problem("encoding", "is UTF-16; save it as UTF-8", place=Place(file, 1, 1)))
    if data.startswith(b"\xef\xbb\xbf"):
        message = "starts with a byte-order mark; save it as UTF-8 without"
        raise InputError(Problem("encoding", message, place=Place(file, 1, 1)))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(file, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InputError(Problem("encoding", message, place=place)) from None


def scalar(text: str, place: Place | str = "") -> Any:
    """Return what plain text means in YAML 1.2's core schema.

    `1e-4` is a number; `on`, `no`, `12:30` and `1_000` are text; `0755` is 755.

    Raises:
        InputError: NaN or infinity, or a number too large to be one.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        raise InputError(Problem("not_finite", f"{text} is not a value of any setting", place=place))
    if _INTEGER.fullmatch(text):
        return integer(text, place)
    if _FLOAT.fullmatch(text):
        return finite(float(text), text, place)
    return text


def octal_elsewhere(text: str, key: str, place: Place | str) -> Problem | None:
    """Return a note on a number that begins with 0: it is decimal in YAML 1.2, and octal in YAML 1.1."""
    if not _ZEROS.fullmatch(text):
        return None
    return Problem("number", f"{text} is {int(text)} here, and another number to readers of YAML 1.1", key, place)


def is_text_elsewhere(text: str, value: Any) -> bool:
    """Whether a plain scalar that is a number here is text to readers of YAML 1.1, written without quotes.

    PyYAML is one of them: it writes the text `1e+100` so, and reads `1e-4` as text.
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not _NUMBER_ELSEWHERE.fullmatch(text)


def integer(text: str, place: Place | str) -> int:
    """Return a whole number, or raise an InputError where it has more than 300 decimal digits."""
    if len(text) >= 1000:
        raise InputError(too_many_digits(place))
    return bounded(int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10), place)


def bounded(value: int, place: Place | str) -> int:
    """Return a whole number, or raise an InputError where it has more than 300 decimal digits."""
    if abs(value) >= _TOO_LARGE:
        raise InputError(too_many_digits(place))
    return value


def too_many_digits(place: Place | str) -> Problem:
    return Problem("too_large", f"a number may have {MAX_DIGITS} digits", place=place)


def in_our_words(theirs: str, table: Mapping[str, str], otherwise: str = "is not valid here") -> str:
    """Return the sentence for a parser's message: that of the first key of `table` which the message contains."""
    return next((ours for part, ours in table.items() if part in theirs), otherwise)


def dotted(path: Path) -> str:
    """Return a path as the key of a problem, clipped: hostile keys are long, and problems many."""
    key = ".".join(path)
    return key if len(key) <= _MAX_KEY else key[: _MAX_KEY - 1] + "…"


def too_deep(text: str, file: str, brackets: int) -> Problem:
    """Return the problem of a text that is too deep for its reader, at the first that is in so many brackets."""
    place, depth = Place(file), 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > brackets:
            start = bracket.start()
            place = Place(file, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
            break
    return Problem("too_deep", f"is nested deeper than {MAX_DEPTH} levels", place=place)


def finite(value: float, text: str, place: Place | str) -> float:
    if not math.isfinite(value):
        raise InputError(Problem("not_finite", f"{quote(text)} is too large for a number", place=place))
    return value


def checked_text(value: str, place: Place | str) -> str:
    """Return `value`, or raise an InputError where it has a lone surrogate, which UTF-8 cannot encode."""
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(Problem("encoding", "the text has a lone surrogate, which UTF-8 cannot encode", place=place))
    return value
