"""The source of a migration's file, in the words that people write migrations in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tttcfg import shapes
from tttcfg.evolution.faults import EDIT
from tttcfg.migration import Migration
from tttcfg.operations import Add, Convert, Declare, Operation, Remove, Rename, Reshape, Withhold
from tttcfg.record import MISSING
from tttcfg.shapes import Shape

WIDTH = 120
_WHOLE = 2**53


class Call(NamedTuple):
    """An expression of several parts: what opens it, the parts, what closes it."""

    opening: str
    parts: tuple[Any, ...]
    closing: str

    def flat(self) -> str:
        return self.opening + ", ".join(map(flat, self.parts)) + self.closing


Expression = str | Call


def migration_source(migration: Migration) -> str:
    """Return the file that holds `migration`: the same for equal migrations, and read back as an equal one."""
    operations = [_operation(one) for one in migration.operations]
    stubs = [_stub(one, migration.version) for one in migration.operations if isinstance(one, Convert)]
    fields: tuple[Expression, ...] = (
        f"version={migration.version}",
        f"date={_literal(migration.date)}",
        f"summary={_literal(migration.summary)}",
        f"evidence={_literal(migration.evidence)}",
        Call("operations=(", tuple(operations), ",)") if operations else "operations=()",
    )
    whole = Call("migration = Migration(", fields, ")")
    body = _laid(whole, 0, open_up=2 if len(operations) > 1 else 1)
    docstring = _docstring(f"Version {migration.version}: {migration.summary}")
    functions = "".join(stubs) + "\n" * bool(stubs)
    return f"{docstring}\n{''.join(_imports(set(_words(whole)), bool(stubs)))}\n{functions}{body}\n"


def converter_name(path: str) -> str:
    """Return the name of the function that converts a field."""
    return "convert_" + re.sub(r"\W", "_", path)


def _docstring(text: str) -> str:
    safe = text.replace("\\", "\\\\").replace('"""', "'''").replace('"', '\\"' if text.endswith('"') else '"')
    return f'"""{safe.rstrip(".")}."""\n'


def _imports(words: set[str], stubs: bool) -> Iterator[str]:
    if stubs:
        yield "from typing import Any\n\n"
    yield "from tttcfg.migration import Migration\n"
    for module, names in (("tttcfg.operations", _OPERATIONS), ("tttcfg.shapes", _HELPERS)):
        used = sorted(names & words)
        if used:
            yield f"from {module} import {', '.join(used)}\n"


def _words(expression: Expression) -> Iterator[str]:
    """Yield the names that an expression calls."""
    if isinstance(expression, Call):
        yield expression.opening.removesuffix("(")
        for part in expression.parts:
            yield from _words(part)
    else:
        yield expression.removesuffix("()")


def _stub(operation: Convert, version: int) -> str:
    name = converter_name(operation.path)
    return (
        f"\ndef {name}(value: Any) -> Any:\n"
        f'    """Return what `{operation.path}` of version {version - 1} is in version {version}."""\n'
        f"    {EDIT}: turn an old value into a new one; what is no old value comes back as it is\n"
        f"    return value\n\n"
    )


def _operation(operation: Operation) -> Expression:
    path = _literal(operation.path)
    if isinstance(operation, Declare):
        return Call("Declare(", (path, shape_source(operation.shape)), ")")
    if isinstance(operation, Add):
        return Call("Add(", (path, shape_source(operation.shape), _value(operation.fill), _literal(operation.why)), ")")
    if isinstance(operation, (Remove, Withhold)):
        return Call(f"{type(operation).__name__}(", (path, _literal(operation.why)), ")")
    if isinstance(operation, Rename):
        return Call("Rename(", (path, _literal(operation.to), _literal(operation.why)), ")")
    if isinstance(operation, Reshape):
        return Call("Reshape(", (path, shape_source(operation.shape), _literal(operation.why)), ")")
    if isinstance(operation, Convert) and operation.shape is not None:
        parts = (path, converter_name(operation.path), _literal(operation.why), shape_source(operation.shape))
        return Call("Convert(", parts, ")")
    return f"{type(operation).__name__}({path}, …)"  # written by hand: no file that was made here reads so


def shape_source(shape: Shape) -> Expression:
    """Return the expression for a field's shape: with the words of `tttcfg.shapes` where they make exactly it."""
    default = shape.get("default", MISSING)
    rules = {key: value for key, value in shape.items() if key != "default"}
    if default is not MISSING:
        for made, source in _spellings(default, rules):
            if made == shape:
                return source
    return _value(shape)


def _spellings(default: Any, rules: Mapping[str, Any]) -> Iterator[tuple[Shape, Expression]]:
    """Yield what the words of `tttcfg.shapes` make of a default and rules, each with its source."""
    kind = rules.get("type")
    bounds = {key: value for key, value in rules.items() if key != "type"}
    if kind == "boolean":
        yield shapes.boolean(default), Call("boolean(", (_value(default),), ")")
    if kind == "string" and "enum" in rules:
        words = tuple(rules["enum"])
        yield shapes.choice(default, *words), Call("choice(", tuple(map(_value, (default, *words))), ")")
    scalars: dict[str, tuple[str, Callable[..., Shape], dict[str, Any]]] = {
        "integer": ("integer", shapes.integer, {"maximum": _WHOLE}),
        "number": ("number", shapes.number, {}),
        "string": ("text", shapes.text, {"maxLength": 4096}),
    }
    if kind in scalars:
        name, helper, usual = scalars[kind]
        told = {key: value for key, value in bounds.items() if usual.get(key, MISSING) != value}
        parts = (_value(default), *(f"{key}={flat(_value(value))}" for key, value in told.items()))
        if all(key.isidentifier() for key in told):
            yield helper(default, **told), Call(f"{name}(", parts, ")")
    if rules.keys() == {"anyOf"}:
        *inner, last = rules["anyOf"]
        if len(inner) == 1 and last == {"type": "null"}:
            whole = {"default": default, **inner[0]}
            yield shapes.nullable(whole), Call("nullable(", (shape_source(whole),), ")")
        alternatives = tuple(map(_value, rules["anyOf"]))
        yield shapes.either(default, *rules["anyOf"]), Call("either(", (_value(default), *alternatives), ")")
    yield shapes.free_form(), "free_form()"


_OPERATIONS = {"Add", "Convert", "Declare", "Remove", "Rename", "Reshape", "Withhold"}
_HELPERS = {"boolean", "choice", "either", "free_form", "integer", "nullable", "number", "text"}


def _value(value: Any) -> Expression:
    """Return the expression for plain data."""
    if isinstance(value, dict):
        return Call("{", tuple(_pair(key, one) for key, one in value.items()), "}")
    if isinstance(value, (list, tuple)):
        return Call("[", tuple(map(_value, value)), "]")
    return _literal(value) if isinstance(value, str) else repr(value)


def _pair(key: str, value: Any) -> Expression:
    expression = _value(value)
    if isinstance(expression, Call):
        return expression._replace(opening=f"{_literal(key)}: {expression.opening}")
    return f"{_literal(key)}: {expression}"


def _literal(text: str) -> str:
    """Return a text as formatted source has it: in double quotes where that needs no more escapes."""
    if not text.isprintable() or ('"' in text and "'" not in text):
        return repr(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def flat(expression: Expression) -> str:
    return expression if isinstance(expression, str) else expression.flat()


def _laid(expression: Expression, indent: int, after: str = "", open_up: int = 0) -> str:
    """Return an expression in lines of bounded width; `open_up` levels of it get a line for each part in any case."""
    pad = " " * indent
    one_line = f"{pad}{flat(expression)}{after}"
    if isinstance(expression, str) or (len(one_line) <= WIDTH and open_up == 0):
        return one_line
    closing = expression.closing.lstrip(",")
    parts: Iterable[str] = (_laid(part, indent + 4, ",", _inner(part, open_up)) for part in expression.parts)
    return "\n".join((f"{pad}{expression.opening}", *parts, f"{pad}{closing}{after}"))


def _inner(part: Expression, open_up: int) -> int:
    return open_up - 1 if isinstance(part, Call) and open_up > 0 else 0
