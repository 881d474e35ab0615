"""TOML, with the place of every key that stands on a line of its own."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.fields import Path
from tttcfg.sources.text import MAX_DEPTH, Tree, checked_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_AT = re.compile(r"\(at line (\d+), column (\d+)\)")
_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_.\- ]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"(\s*)([A-Za-z0-9_\-]+(?:\s*\.\s*[A-Za-z0-9_\-]+)*)\s*=")


def read_toml(text: str, file: str) -> Tree:
    """Read a TOML document.

    Raises:
        InputError: Its syntax is wrong, or it holds what no setting can have: dates, NaN, infinity.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _AT.search(str(error))
        place = Place(file, *(int(part) for part in match.groups())) if match else Place(file)
        raise InputError(Problem("syntax", _AT.sub("", str(error)).strip(), place=place)) from None
    except (RecursionError, ValueError) as error:
        raise InputError(Problem("too_deep", f"cannot be read: {type(error).__name__}", place=Place(file))) from None
    if not values:
        raise InputError(Problem("empty", "holds no configuration", place=Place(file)))
    tree = Tree(values, _places(text, file), file)
    problems = list(_problems(values, (), tree))
    if problems:
        raise InputError(problems)
    return tree


def _places(text: str, file: str) -> dict[Path, Place]:
    places: dict[Path, Place] = {}
    table: Path = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _split(header.group(1))
            places.setdefault(table, Place(file, number, line.index("[") + 1))
        elif key := _KEY.match(line):
            places.setdefault((*table, *_split(key.group(2))), Place(file, number, len(key.group(1)) + 1))
    return places


def _split(dotted: str) -> Path:
    return tuple(part.strip() for part in dotted.split("."))


def _problems(value: Any, path: Path, tree: Tree) -> list[Problem]:
    place, key = tree.place(path), ".".join(path)
    if len(path) > MAX_DEPTH:
        return [Problem("too_deep", f"is nested deeper than {MAX_DEPTH} levels", key, place)]
    if isinstance(value, dict):
        return [problem for name, item in value.items() for problem in _problems(item, (*path, name), tree)]
    if isinstance(value, list):
        return [problem for index, item in enumerate(value) for problem in _problems(item, (*path, str(index)), tree)]
    if isinstance(value, float) and not math.isfinite(value):
        return [Problem("not_finite", f"{value} is no value a setting can have", key, place)]
    if isinstance(value, str):
        checked_text(value, place)
    elif not isinstance(value, (bool, int, float)):
        return [Problem("rejected", f"{quote(str(value))} is a date or time; no setting is one", key, place)]
    return []
