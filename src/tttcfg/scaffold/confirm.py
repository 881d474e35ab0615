"""Confirming guessed roles, and stating units, in the source of a family's models."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem, nearest_key, quote
from tttcfg.scaffold.statements import laid_out
from tttcfg.schema.fields import UNIT_TO_EDIT, Role
from tttcfg.schema_tools.codegen import text_literal
from tttcfg.schema_tools.layout import class_name, shown
from tttcfg.schema_tools.unconfirmed import DeclaredField, source_file

_ROLES = {one.value: one for one in Role}


class Confirmed(NamedTuple):
    """The files in which roles are confirmed and units stated, and of how many settings they were."""

    files: Mapping[Path, bytes]
    roles: int
    units: int


class _Change(NamedTuple):
    """What becomes of one declaration."""

    field: DeclaredField
    role: Role | None = None
    unit: str | None = None


def confirmed(declared: Iterable[DeclaredField], patterns: Iterable[str], units: Iterable[str]) -> Confirmed:
    """Return the source of models with roles confirmed and units stated.

    Args:
        declared: All fields of the model.
        patterns: Names of settings, with `*` for any characters; with `=ROLE`, that role in place of the guess. Of
            several that fit a setting, the last counts. A pattern makes no setting a secret, and no secret another.
        units: `PATTERN=UNIT`: what numbers count.

    Raises:
        InputError: A pattern is no name of a setting that is open, or a declaration is not written as they usually are;
            all problems at once.
    """
    declared, problems = list(declared), list[Problem]()
    changes: dict[tuple[type, str], _Change] = {}
    for text in patterns:
        for field, role in _with_roles(text, declared, problems):
            changes[field.model, field.name] = _Change(field, role)
    for text in units:
        for field, unit in _with_units(text, declared, problems):
            declaration = (field.model, field.name)
            changes[declaration] = changes.get(declaration, _Change(field))._replace(unit=unit)
    files = _edited(changes.values(), problems)
    if problems:
        raise InputError(problems)
    roles = sum(one.role is not None for one in changes.values())
    return Confirmed(files, roles, sum(one.unit is not None for one in changes.values()))


def _with_roles(
    text: str, declared: list[DeclaredField], problems: list[Problem]
) -> Iterator[tuple[DeclaredField, Role]]:
    pattern, given, role = text.partition("=")
    if given and role not in _ROLES:
        message = f"{quote(role)} is no role; there are: {', '.join(_ROLES)}"
        problems.append(Problem("rejected", message, pattern))
        return
    for field in _fitting(pattern, declared, problems, [one for one in declared if one.guess is not None], "role"):
        wanted = _ROLES[role] if given else field.guess
        if wanted is None or field.guess is None:
            continue
        if (wanted is Role.SECRET) == (field.guess is Role.SECRET):
            yield field, wanted
        elif field.path == pattern:
            message = f"the type of a secret is SecretStr; change both in {_file(field)}"
            problems.append(Problem("rejected", message, pattern))
        else:
            yield field, field.guess


def _with_units(
    text: str, declared: list[DeclaredField], problems: list[Problem]
) -> Iterator[tuple[DeclaredField, str]]:
    pattern, _, unit = text.partition("=")
    if not unit.strip():
        problems.append(Problem("rejected", "states no unit: it follows a =", pattern))
        return
    for field in _fitting(pattern, declared, problems, [one for one in declared if one.lacks_unit], "unit"):
        yield field, unit.strip()


def _fitting(
    pattern: str, declared: list[DeclaredField], problems: list[Problem], open_ones: list[DeclaredField], what: str
) -> list[DeclaredField]:
    """Return the open fields of a pattern; where there are none, that is a problem."""
    found = [one for one in open_ones if fnmatchcase(one.path, pattern)]
    if found:
        return found
    named = [one for one in declared if fnmatchcase(one.path, pattern)]
    if named:
        message = f"the {what} is not open; change it in {_file(named[0])}"
        problems.append(Problem("rejected", message, pattern))
    else:
        near = nearest_key(pattern, [one.path for one in declared])
        problems.append(Problem("unknown_key", "is no setting", pattern, suggestion=near))
    return []


def _file(field: DeclaredField) -> str:
    return shown(source_file(field.model) or Path())


def _edited(changes: Iterable[_Change], problems: list[Problem]) -> dict[Path, bytes]:
    """Return the files of declarations with the changes in them; a declaration that is used twice is changed once."""
    texts: dict[Path, str] = {}
    edits: dict[Path, dict[tuple[int, int], str]] = {}
    for change in changes:
        place = _declaration(change.field, texts)
        if place is None:
            message = (
                f"is not declared as {change.field.name}: … = setting(…, role=guessed(Role.…), …); edit it by hand"
            )
            problems.append(Problem("declaration", message, change.field.path, class_name(change.field.model)))
            continue
        path, node = place
        edits.setdefault(path, {})[_span(texts[path], node)] = _statement(texts[path], node, change)
    files: dict[Path, bytes] = {}
    for path, changed in edits.items():
        text = texts[path]
        for (start, end), statement in sorted(changed.items(), reverse=True):
            text = text[:start] + statement + text[end:]
        files[path] = _without_unused(text).encode()
    return files


def _declaration(field: DeclaredField, texts: dict[Path, str]) -> tuple[Path, ast.AnnAssign] | None:
    """Return the file and the statement that declare a field, in its section or one above it."""
    for model in field.model.__mro__:
        path = source_file(model) if model.__module__ != "builtins" else None
        if path is None:
            continue
        texts.setdefault(path, path.read_bytes().decode())
        for node in _body(ast.parse(texts[path]), model.__qualname__):
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == field.name and _calls(node) is not None:
                return path, node
    return None


def _body(tree: ast.Module, name: str) -> list[ast.stmt]:
    """Return the statements of a class."""
    body = tree.body
    for part in name.split("."):
        classes = [one for one in body if isinstance(one, ast.ClassDef) and one.name == part]
        body = classes[-1].body if classes else []
    return body


def _calls(node: ast.AnnAssign) -> ast.Call | None:
    """Return the call that declares a setting, where its arguments are as `tttcfg family new` writes them."""
    call = node.value
    return call if isinstance(call, ast.Call) and any(one.arg == "role" for one in call.keywords) else None


def _statement(text: str, node: ast.AnnAssign, change: _Change) -> str:
    """Return a declaration with another role or unit, laid out anew unless there are comments in it."""
    call = _calls(node)
    assert call is not None  # see _declaration
    start, end = _span(text, node)
    replaced: dict[tuple[int, int], str] = {}
    for one in call.keywords:
        if one.arg == "role" and change.role is not None and "guessed" in ast.unparse(one.value):
            replaced[_span(text, one.value)] = f"Role.{change.role.name}"
        elif one.arg == "unit" and change.unit is not None and _is_open(one.value):
            replaced[_span(text, one.value)] = text_literal(change.unit)
    if _has_comment(text[start:end]):
        for (first, last), new in sorted(replaced.items(), reverse=True):
            text = text[:first] + new + text[last:]
            end += len(new) - (last - first)
        return text[start:end]
    parts = []
    for argument in (*call.args, *call.keywords):
        value = argument.value if isinstance(argument, ast.keyword) else argument
        first, last = _span(text, value)
        name = f"{argument.arg}=" if isinstance(argument, ast.keyword) else ""
        parts.append(name + replaced.get((first, last), text[first:last]))
    head = f"{text[start : _span(text, call.func)[1]]}("
    return laid_out(head, parts, ")", node.col_offset).lstrip()


def _is_open(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value == UNIT_TO_EDIT


def _has_comment(statement: str) -> bool:
    tokens = tokenize.generate_tokens(io.StringIO(statement).readline)
    return any(one.type == tokenize.COMMENT for one in tokens)


def _span(text: str, node: Any) -> tuple[int, int]:
    """Return where a node begins and ends in a text; Python counts columns in bytes."""
    lines = text.splitlines(keepends=True)

    def place(line: int, column: int) -> int:
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())

    return place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)


def _without_unused(text: str) -> str:
    """Return a module that does not import `guessed` where it no longer uses it."""
    tree = ast.parse(text)
    if any(isinstance(node, ast.Name) and node.id == "guessed" for node in ast.walk(tree)):
        return text
    return re.sub(r"(^from tttcfg import .*?), guessed\b", r"\1", text, count=1, flags=re.MULTILINE)
