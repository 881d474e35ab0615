"""The source of a migration's file, in the words that people write migrations in."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, By, Convert, Declare, Operation, Remove, Rename, Reshape, Withhold
from tttcfg.schema import fragments as shapes
from tttcfg.schema.fragments import Shape
from tttcfg.schema.paths import MISSING
from tttcfg.schema_tools.leftovers import EDIT

_WHOLE = 2**53


def migration_source(migration: Migration) -> str:
    """Return the file that holds `migration`: the same for equal migrations, and read back as an equal one.

    Every operation is on a line of its own, however long that is: laying out lines is a formatter's work, and whether
    a file was edited is told by what it means (`tttcfg.schema_tools.meaning`).
    """
    operations = "".join(f"        {_operation(one)},\n" for one in migration.operations)
    body = (
        f"migration = Migration(\n"
        f"    version={migration.version},\n"
        f"    date={_literal(migration.date)},\n"
        f"    summary={_literal(migration.summary)},\n"
        f"    evidence={_literal(migration.evidence)},\n"
        f"    operations=({operations and chr(10)}{operations}{operations and '    '}),\n"
        f")\n"
    )
    stubs = [_stub(one, migration.version) for one in migration.operations if isinstance(one, Convert)]
    docstring = _docstring(f"Version {migration.version}: {migration.summary}")
    called = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    return f"{docstring}\n{''.join(_imports(called, bool(stubs)))}\n{''.join(stubs)}{chr(10) * bool(stubs)}{body}"


def converter_name(path: str) -> str:
    """Return the name of the function that converts a field."""
    return "convert_" + re.sub(r"\W", "_", path)


def _docstring(text: str) -> str:
    safe = text.replace("\\", "\\\\").replace('"""', "'''").replace('"', '\\"' if text.endswith('"') else '"')
    return f'"""{safe.rstrip(".")}."""\n'


def _imports(words: set[str], stubs: bool) -> Iterator[str]:
    if stubs:
        yield "from typing import Any\n\n"
    yield "from tttcfg.migration.chain import Migration\n"
    for module, names in (("tttcfg.migration.operations", _OPERATIONS), ("tttcfg.schema.fragments", _HELPERS)):
        used = sorted(names & words)
        if used:
            yield f"from {module} import {', '.join(used)}\n"


def _stub(operation: Convert, version: int) -> str:
    name = converter_name(operation.path)
    return (
        f"\ndef {name}(value: Any) -> Any:\n"
        f'    """Return what `{operation.path}` of version {version - 1} is in version {version}."""\n'
        f"    {EDIT}: turn an old value into a new one; what is no old value comes back as it is\n"
        f"    return value\n\n"
    )


def _operation(operation: Operation) -> str:
    path = _literal(operation.path)
    if isinstance(operation, Declare):
        return f"Declare({path}, {shape_source(operation.shape)})"
    if isinstance(operation, Add) and not isinstance(operation.fill, By):
        return f"Add({path}, {shape_source(operation.shape)}, {_value(operation.fill)}, {_literal(operation.why)})"
    if isinstance(operation, (Remove, Withhold)):
        return f"{type(operation).__name__}({path}, {_literal(operation.why)})"
    if isinstance(operation, Rename):
        return f"Rename({path}, {_literal(operation.to)}, {_literal(operation.why)})"
    if isinstance(operation, Reshape):
        return f"Reshape({path}, {shape_source(operation.shape)}, {_literal(operation.why)})"
    if isinstance(operation, Convert) and operation.shape is not None:
        converter = converter_name(operation.path)
        return f"Convert({path}, {converter}, {_literal(operation.why)}, {shape_source(operation.shape)})"
    return f"{type(operation).__name__}({path}, ...)"  # written by hand: no file that was made here reads so


def shape_source(shape: Shape) -> str:
    """Return the expression for a field's shape: in words of `tttcfg.schema.fragments` where they make exactly it."""
    default = shape.get("default", MISSING)
    rules = {key: value for key, value in shape.items() if key != "default"}
    if default is not MISSING:
        for made, source in _spellings(default, rules):
            if made == shape:
                return source
    return _value(shape)


def _spellings(default: Any, rules: Mapping[str, Any]) -> Iterator[tuple[Shape, str]]:
    """Yield what the words of `tttcfg.schema.fragments` make of a default and rules, each with its source."""
    kind = rules.get("type")
    bounds = {key: value for key, value in rules.items() if key != "type"}
    if kind == "boolean":
        yield shapes.boolean(default), f"boolean({_value(default)})"
    if kind == "string" and "enum" in rules:
        words = tuple(rules["enum"])
        yield shapes.choice(default, *words), f"choice({', '.join(map(_value, (default, *words)))})"
    scalars: dict[str, tuple[str, Callable[..., Shape], dict[str, Any]]] = {
        "integer": ("integer", shapes.integer, {"maximum": _WHOLE}),
        "number": ("number", shapes.number, {}),
        "string": ("text", shapes.text, {"maxLength": 4096}),
    }
    if kind in scalars:
        name, helper, usual = scalars[kind]
        told = {key: value for key, value in bounds.items() if usual.get(key, MISSING) != value}
        parts = (_value(default), *(f"{key}={_value(value)}" for key, value in told.items()))
        if all(key.isidentifier() for key in told):
            yield helper(default, **told), f"{name}({', '.join(parts)})"
    if rules.keys() == {"anyOf"}:
        *inner, last = rules["anyOf"]
        if len(inner) == 1 and last == {"type": "null"}:
            whole = {"default": default, **inner[0]}
            yield shapes.nullable(whole), f"nullable({shape_source(whole)})"
        alternatives = ", ".join(map(_value, (default, *rules["anyOf"])))
        yield shapes.either(default, *rules["anyOf"]), f"either({alternatives})"
    yield shapes.free_form(), "free_form()"


_OPERATIONS = {"Add", "Convert", "Declare", "Remove", "Rename", "Reshape", "Withhold"}
_HELPERS = {"boolean", "choice", "either", "free_form", "integer", "nullable", "number", "text"}


def _value(value: Any) -> str:
    """Return the expression for plain data."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(key)}: {_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return _literal(value) if isinstance(value, str) else repr(value)


def _literal(text: str) -> str:
    """Return a text as formatted source has it: in double quotes where that needs no more escapes."""
    if not text.isprintable() or ('"' in text and "'" not in text):
        return repr(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
