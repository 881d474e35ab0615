"""What a migration's file means, whatever its layout."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator
from typing import Any

from tttcfg.errors import InputError, Place, Problem

_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.ClassDef)


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
    """Yield a node's kind and what it holds; what is empty is left out, for Pythons differ in what they have of it."""
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
