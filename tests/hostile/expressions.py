"""Every regular expression of the package, found in its source, and texts that would make a slow one slow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from tests.builders import SOURCE
from tttcfg.evidence.dialects.dialect import Base
from tttcfg.evidence.tensor_names import DIALECTS

if hasattr(re, "_parser"):
    parser: Any = re._parser  # noqa: SLF001 there is no other way to what an expression consists of
else:  # Python 3.10
    parser = import_module("sre_parse")
_SEARCHING = {"search", "sub", "split", "findall", "finditer"}
_CALLS = {f"re.{name}" for name in (*_SEARCHING, "compile", "match", "fullmatch")}
MADE_AT_RUN_TIME = {
    "tttcfg.evidence.evidence": "of a dialect",
    "tttcfg.evidence.knowledge": "of a plug-in, whose dialect is only checked here",
    "tttcfg.evidence.tensor_names": "of a dialect",
    "tttcfg.scaffold.project": "the header of a table, whose name is ours",
    "tttcfg.schema_tools.changelog": "the heading of a version, and its paragraph",
}
"""Modules with expressions that are put together from others, which `of_dialects` has, or from no one's input."""


class Expression(NamedTuple):
    """A regular expression, where it is, and whether it is searched for at every place of a text."""

    where: str
    pattern: re.Pattern[Any]
    searched: bool


def in_source() -> Iterator[Expression]:
    """Yield the expression of every call of a function of `re` in the package, and in `nn` where torch is installed."""
    without = () if find_spec("torch") else SOURCE.joinpath("nn").rglob("*.py")
    for path in sorted({*SOURCE.rglob("*.py")} - {*without}):
        text = path.read_text("utf-8")
        if "import re\n" in text:
            yield from _in_module(path, ast.parse(text))


def _in_module(path: Path, tree: ast.Module) -> Iterator[Expression]:
    name = ".".join(("tttcfg", *path.relative_to(SOURCE).with_suffix("").parts))
    searched = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _SEARCHING
    }
    targets = {id(node.value): node.targets[0] for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) not in _CALLS:
            continue
        function = ast.unparse(call.func).removeprefix("re.")
        arguments = [ast.unparse(one) for one in (call.args[0], *(call.args[1:] if function == "compile" else ()))]
        try:
            pattern = eval(f"re.compile({', '.join(arguments)})", {**vars(import_module(name)), "re": re})
        except NameError:
            assert name in MADE_AT_RUN_TIME, f"{name}:{call.lineno}: an expression whose time is not tested"
            continue
        target = targets.get(id(call))
        constant = target.id if isinstance(target, ast.Name) else ""
        yield Expression(f"{name}:{call.lineno}", pattern, function in _SEARCHING or constant in searched)


def of_dialects() -> Iterator[Expression]:
    for name, dialect in DIALECTS.items():
        for one in fields(dialect):
            if one.name in ("signature", "block") and getattr(dialect, one.name):
                yield Expression(f"{name}.{one.name}", re.compile(getattr(dialect, one.name)), one.name == "block")
        for part in Base._fields:
            if text := getattr(dialect.base, part):
                yield Expression(f"{name}.base.{part}", re.compile(text), False)


def units(expression: Expression) -> list[str]:
    """Return what an expression consists of: a character of every set, and an example of everything repeated."""
    tree = parser.parse(expression.pattern.pattern, expression.pattern.flags & ~re.UNICODE)
    found = dict.fromkeys(_examples(tree))
    return [unit for unit in found if unit]


def example(expression: Expression) -> str:
    """Return a short text that the expression was made for."""
    return _example(parser.parse(expression.pattern.pattern, expression.pattern.flags & ~re.UNICODE), 1)


def attacks(expression: Expression, size: int, *, pairs: bool) -> Iterator[str]:
    """Yield texts of about `size` characters: a unit, or two in turn, many times, at every place of an example."""
    one, parts = example(expression), units(expression)
    cuts = sorted({0, len(one), *(index for index in range(len(one)) if not one[index].isalnum())})
    cuts = cuts if pairs else [*cuts[:3], *cuts[-2:]]
    pumps = [*parts, *(a + b for a in parts for b in parts if a != b and pairs)]
    for pump in pumps:
        many = pump * (size // len(pump))
        for cut in cuts:
            for ending in ("\0", f"{one[cut:]}\0"):
                yield f"{one[:cut]}{many}{ending}"


def _examples(tree: Any) -> Iterator[str]:
    for op, argument in tree:
        name = str(op)
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "CATEGORY"):
            yield _example([(op, argument)], 1)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield _example(argument[2], 1)
            yield from _examples(argument[2])
        elif name == "SUBPATTERN":
            yield from _examples(argument[3])
        elif name == "BRANCH":
            for branch in argument[1]:
                yield _example(branch, 1)
                yield from _examples(branch)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from _examples(argument[1])


def _example(tree: Any, times: int) -> str:
    text = ""
    for op, argument in tree:
        name = str(op)
        if name == "LITERAL":
            text += chr(argument)
        elif name == "NOT_LITERAL":
            text += "a" if argument != ord("a") else "b"
        elif name == "ANY":
            text += "a"
        elif name == "CATEGORY":
            text += {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}.get(str(argument), "a")
        elif name == "IN":
            text += _one_of(argument)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            text += _example(argument[2], times) * max(argument[0], min(argument[1], times))
        elif name == "SUBPATTERN":
            text += _example(argument[3], times)
        elif name == "BRANCH":
            text += _example(argument[1][0], times)
    return text


def _one_of(members: Any) -> str:
    (first, argument), *_ = members
    if str(first) == "NEGATE":
        return next(one for one in "a:1 ." if not re.match(_set(members[1:]), one))
    return chr(argument[0]) if str(first) == "RANGE" else _example([(first, argument)], 1)


def _set(members: Any) -> str:
    names = {"CATEGORY_SPACE": r"\s", "CATEGORY_DIGIT": r"\d", "CATEGORY_WORD": r"\w"}
    parts = {
        "LITERAL": lambda one: re.escape(chr(one)),
        "RANGE": lambda one: f"{re.escape(chr(one[0]))}-{re.escape(chr(one[1]))}",
        "CATEGORY": lambda one: names.get(str(one), "a"),
    }
    return "[" + "".join(parts[str(op)](argument) for op, argument in members) + "]"
