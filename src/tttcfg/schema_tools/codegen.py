"""The source of a migration's file, as people write migrations, and what one means, whatever its layout."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from tttcfg.errors import InputError, Place, Problem
from tttcfg.migration.chain import Migration
from tttcfg.migration.held import Within
from tttcfg.migration.operations import By, Computed, Convert, Operation
from tttcfg.schema import fragments
from tttcfg.schema.fragments import Fragment
from tttcfg.schema.paths import MISSING
from tttcfg.schema_tools.layout import EDIT

_WHOLE = 2**53
_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.ClassDef)


def migration_source(migration: Migration) -> str:
    """Return the file that holds `migration`: the same for equal migrations, and read back as an equal one.

    Every operation is on a line of its own, however long that is: laying out lines is a formatter's work, and whether
    a file was edited is determined by its meaning (`source_digest`).
    """
    operations = "".join(f"        {_operation(one)},\n" for one in migration.operations)
    body = (
        f"migration = Migration(\n"
        f"    version={migration.version},\n"
        f"    date={text_literal(migration.date)},\n"
        f"    summary={text_literal(migration.summary)},\n"
        f"    evidence={text_literal(migration.evidence)},\n"
        f"    operations=({operations and chr(10)}{operations}{operations and '    '}),\n"
        f")\n"
    )
    single = [one for operation in migration.operations for one in operation.singly()]
    stubs = [_stub(one, migration.version) for one in single if isinstance(one, Convert)]
    first = docstring(f"Version {migration.version}: {migration.summary}")
    called = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    return f"{first}\n{''.join(_imports(called, bool(stubs)))}\n{''.join(stubs)}{chr(10) * bool(stubs)}{body}"


def inherited_source(
    migration: Migration, parent: str, module: str, without: Sequence[str], declared: Mapping[str, Fragment]
) -> str:
    """Return the file that holds a step of a parent as one of the family; see `tttcfg.migration.inherited`.

    Args:
        parent: The parent's name.
        module: The module with the parent's step.
    """
    parts = ["parent", f"version={migration.version}"]
    parts += [f"without={_value(list(without))}"] if without else []
    fragments = ", ".join(f"{text_literal(path)}: {fragment_source(one)}" for path, one in declared.items())
    parts += [f"declared={{{fragments}}}"] if declared else []
    body = f"migration = inherited({', '.join(parts)})\n"
    called = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    used = sorted(_HELPERS & called)
    heading = docstring(f"Version {migration.version}: version {migration.parent} of {parent}, {migration.summary}")
    return (
        f"{heading}\nfrom {module} import migration as parent\n\nfrom tttcfg.migration.inherited import inherited\n"
        + (f"from tttcfg.schema.fragments import {', '.join(used)}\n" if used else "")
        + f"\n{body}"
    )


def converter_name(path: str) -> str:
    """Return the name of the function that converts a field."""
    return "convert_" + re.sub(r"\W", "_", path)


def docstring(text: str) -> str:
    """Return a docstring of one line as source."""
    safe = text.replace("\\", "\\\\").replace('"""', "'''").replace('"', '\\"' if text.endswith('"') else '"')
    return f'"""{safe.rstrip(".")}."""\n'


def _imports(words: set[str], stubs: bool) -> Iterator[str]:
    if stubs:
        yield "from typing import Any\n\n"
    yield "from tttcfg.migration.chain import Migration\n"
    modules = (
        ("tttcfg.migration.held", _HELD),
        ("tttcfg.migration.operations", _OPERATIONS),
        ("tttcfg.schema.fragments", _HELPERS),
    )
    for module, names in modules:
        used = sorted(names & words)
        if used:
            yield f"from {module} import {', '.join(used)}\n"


def _stub(operation: Convert, version: int) -> str:
    name = converter_name(operation.path)
    return (
        f"\ndef {name}(value: Any) -> Any:\n"
        f'    """Return what `{operation.path}` of version {version - 1} is in version {version}."""\n'
        f"    {EDIT}: turn an old value into a new one; anything else comes back unchanged\n"
        f"    return value\n\n"
    )


def _operation(operation: Operation, prefix: str = "") -> str:
    """Return the call that makes an operation; `...` where it has a function that was written by hand.

    Args:
        prefix: What precedes its path, where it is inside of another one.
    """
    parts = [text_literal(operation.path)]
    if isinstance(operation, Within):
        below = "".join(f"{_operation(one, prefix + operation.prefix)}, " for one in operation.operations)
        variant = f", variant={_tuple(operation.variant)}" if operation.variant is not None else ""
        return f"Within({parts[0]}, ({below.rstrip()}){'' if operation.each else ', each=False'}{variant})"
    for one in fields(operation)[1:]:
        value = getattr(operation, one.name)
        if value == one.default:
            continue
        if one.name == "forward":
            parts.append(converter_name(prefix + operation.path))
        elif isinstance(value, (By, Computed)) or callable(value):
            return f"{type(operation).__name__}({parts[0]}, ...)"
        else:
            parts.append(fragment_source(value) if one.name == "fragment" else _value(value))
    return f"{type(operation).__name__}({', '.join(parts)})"


def fragment_source(fragment: Fragment) -> str:
    """Return the expression for a field's fragment: a call of `tttcfg.schema.fragments` if one makes exactly it."""
    default = fragment.get("default", MISSING)
    rules = {key: value for key, value in fragment.items() if key != "default"}
    if default is not MISSING:
        for made, source in _sources(default, rules):
            if made == fragment:
                return source
    return _value(fragment)


def _sources(default: Any, rules: Mapping[str, Any]) -> Iterator[tuple[Fragment, str]]:
    """Yield what the functions of `tttcfg.schema.fragments` make of a default and rules, each with its source."""
    kind = rules.get("type")
    bounds = {key: value for key, value in rules.items() if key != "type"}
    if kind == "boolean":
        yield fragments.boolean(default), f"boolean({_value(default)})"
    if kind == "string" and "enum" in rules:
        words = tuple(rules["enum"])
        yield fragments.choice(default, *words), f"choice({', '.join(map(_value, (default, *words)))})"
    scalars: dict[str, tuple[str, Callable[..., Fragment], dict[str, Any]]] = {
        "integer": ("integer", fragments.integer, {"maximum": _WHOLE}),
        "number": ("number", fragments.number, {}),
        "string": ("text", fragments.text, {"maxLength": 4096}),
    }
    if kind in scalars:
        name, helper, usual = scalars[kind]
        stated = {key: value for key, value in bounds.items() if usual.get(key, MISSING) != value}
        parts = (_value(default), *(f"{key}={_value(value)}" for key, value in stated.items()))
        if all(key.isidentifier() for key in stated):
            yield helper(default, **stated), f"{name}({', '.join(parts)})"
    if rules.keys() == {"anyOf"}:
        *inner, last = rules["anyOf"]
        if len(inner) == 1 and last == {"type": "null"}:
            whole = {"default": default, **inner[0]}
            yield fragments.nullable(whole), f"nullable({fragment_source(whole)})"
        alternatives = ", ".join(map(_value, (default, *rules["anyOf"])))
        yield fragments.either(default, *rules["anyOf"]), f"either({alternatives})"
    yield fragments.free_form(), "free_form()"


_OPERATIONS = {"Add", "Convert", "Declare", "Remove", "RemoveSection", "Rename", "Redeclare", "Withhold"}
_HELD = {"RenameVariant", "Within"}
_HELPERS = {"boolean", "choice", "either", "free_form", "integer", "nullable", "number", "text"}


def _value(value: Any) -> str:
    """Return the expression for plain data."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{text_literal(key)}: {_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return text_literal(value) if isinstance(value, str) else repr(value)


def _tuple(texts: tuple[str, ...]) -> str:
    return f"({', '.join(map(text_literal, texts))})"


def text_literal(text: str) -> str:
    """Return a text as formatted source has it: in double quotes where that needs no more escapes."""
    if not text.isprintable() or ('"' in text and "'" not in text):
        return repr(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def source_digest(source: str, name: str, *, prose: bool = False) -> str:
    """Return the digest of what a Python file computes: of its code without comments, docstrings, layout and imports.

    It is the same under every formatter and every supported Python, and however our modules are called.

    Args:
        prose: Count comments and docstrings as well.

    Raises:
        InputError: It is no Python.
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InputError(Problem("schema", f"is no Python: {error}", place=Place(name, line))) from None
    body = [node for node in module.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    text = repr([list(_parts(node)) for node in body if not _is_docstring(node)])
    if prose:
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        docstrings = [ast.get_docstring(node) for node in ast.walk(module) if isinstance(node, _DOCUMENTED)]
        text += repr([[one.string for one in tokens if one.type == tokenize.COMMENT], docstrings])
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _parts(node: Any) -> Iterator[Any]:
    """Yield a node's kind and its parts; empty ones are left out, because Python versions differ in which they have."""
    if isinstance(node, list):
        yield from (list(_parts(one)) for one in node if not _is_docstring(one))
    elif isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if name != "ctx" and value is not None and value != []:
                yield name, list(_parts(value))
    else:
        yield node


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
