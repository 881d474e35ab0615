"""What the commands share: writing to standard output and error, colours, and leaving with a code."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn, TextIO

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from tttcfg.cli.options import Output
from tttcfg.documents.effective import Effective
from tttcfg.errors import TttcfgError
from tttcfg.report.render import Ink, findings_text


def ink(stream: TextIO) -> Ink:
    """Return colours for a terminal, and none for a pipe or where NO_COLOR is set."""
    return Ink(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def print_out(text: str) -> None:
    """Write lines to standard output; what its encoding does not have is escaped."""
    _write(sys.stdout, text if text.endswith("\n") else f"{text}\n")


def print_err(text: str) -> None:
    """Write lines to standard error."""
    if text:
        _write(sys.stderr, text if text.endswith("\n") else f"{text}\n")


def ascii_only(stream: TextIO) -> bool:
    """Whether a stream cannot take every character, so that some would have to be escaped."""
    return (stream.encoding or "utf-8").lower().replace("-", "") not in ("utf8", "utf16", "utf32")


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def print_json(value: Any) -> None:
    """Write one JSON value to standard output."""
    print_out(json_text(value, indent=2))


def json_text(value: Any, indent: int | None) -> str:
    """Return `value` as JSON in which every character that a terminal might obey is escaped."""
    try:
        text = to_json(value, indent=indent).decode()
    except PydanticSerializationError:  # a path that is no UTF-8 has lone surrogates, which are escaped below
        separators = (",", ": " if indent else ":")
        plain_value = to_jsonable_python(value)
        text = json.dumps(plain_value, indent=indent, separators=separators, ensure_ascii=False)
    if text.isascii() and "\x7f" not in text:
        return text
    plain = str.isascii if ascii_only(sys.stdout) else str.isprintable
    return "".join(one if (plain(one) and one != "\x7f") or one == "\n" else _escape(one) for one in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))


def fail(error: TttcfgError) -> NoReturn:
    """Print what is wrong to standard error and exit with the error's code, also where that takes nothing."""
    try:
        print_err(f"{ink(sys.stderr)('red', 'error')}: {error}" if len(error.problems) == 1 else str(error))
    except OSError:
        discard(sys.stderr)
    sys.exit(error.exit_code)


def discard(*streams: TextIO) -> None:
    """Keep the interpreter from writing what is left to streams that take nothing more."""
    with open(os.devnull, "wb") as nothing:
        for stream in streams:
            os.dup2(nothing.fileno(), stream.fileno())


def answer(effective: Effective, output: Output, value: Any, text: str) -> None:
    """Print a command's result in the form that was asked for: `value` as JSON, or `text` and the findings."""
    if output == "json":
        print_json(value)
        return
    print_out(text)
    shown = [one for one in effective.findings if one.severity != "info" or one.code in ("restored", "dialect")]
    print_err(findings_text(shown, ink(sys.stderr)))
