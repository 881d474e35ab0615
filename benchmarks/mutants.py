"""Programs with one small change each: what a suite of tests that is worth its name has to notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

_COMPARED = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NEGATION = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
"""Comparisons whose other operator is their negation already."""
_NOT_RUN = ("decorator_list", "returns", "annotation", "defaults", "kw_defaults", "type_comment")
"""Parts of a function that are no code of its own."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Site(NamedTuple):
    """Where a node is: below which other one, in which field of it, and at which index where that is a list."""

    parent: ast.AST
    field: str
    index: int | None

    @property
    def node(self) -> Any:
        found = getattr(self.parent, self.field)
        return found if self.index is None else found[self.index]

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


class Mutant(NamedTuple):
    """One change of one function.

    Attributes:
        name: The same whatever is changed elsewhere in the file.
        function: The name and the first line of the outermost function that contains the change.
        number: Which site of the function, and which replacement there.
    """

    name: str
    file: str
    line: int
    function: tuple[str, int]
    number: tuple[int, int]


def mutants(path: Path, name: str) -> Iterator[Mutant]:
    """Yield all mutants of the functions of a module."""
    for qualified, function in _functions(ast.parse(path.read_text("utf-8"))):
        seen: dict[str, int] = {}
        for number, site in enumerate(_sites(function)):
            for choice, other in enumerate(_replacements(site)):
                change = f"{name} {qualified}: {_shown(site.node)} -> {_shown(other)}"
                seen[change] = seen.get(change, 0) + 1
                repeated = f" ({seen[change]})" if seen[change] > 1 else ""
                yield Mutant(change + repeated, str(path), site.node.lineno, _identity(function), (number, choice))


def mutated(mutant: Mutant) -> CodeType:
    """Return the code of the function with the change."""
    tree = ast.parse(Path(mutant.file).read_text("utf-8"))
    function = next(one for _, one in _functions(tree) if _identity(one) == mutant.function)
    site = list(_sites(function))[mutant.number[0]]
    other = list(_replacements(site))[mutant.number[1]]
    site.put(ast.copy_location(other, site.node))
    ast.fix_missing_locations(tree)
    return next(one for one in codes(compile(tree, mutant.file, "exec")) if identity(one) == mutant.function)


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code and all those in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def identity(code: CodeType) -> tuple[str, int]:
    return code.co_name, code.co_firstlineno


def _identity(function: Function) -> tuple[str, int]:
    return function.name, min(one.lineno for one in (function, *function.decorator_list))


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, Function):
            yield f"{prefix}{node.name}", node


def _sites(parent: ast.AST) -> Iterator[Site]:
    for field, value in ast.iter_fields(parent):
        if field in _NOT_RUN or isinstance(parent, ast.JoinedStr | ast.FormattedValue):
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST):
                yield Site(parent, field, index if isinstance(value, list) else None)
                yield from _sites(node)


def _replacements(site: Site) -> Iterator[ast.AST]:
    node = site.node
    if site.field in ("test", "ifs") and not _is_negated_elsewhere(node):
        yield ast.UnaryOp(ast.Not(), node)
    match node:
        case ast.Compare(left, operators, others):
            for index, one in enumerate(operators):
                changed = [*operators[:index], _COMPARED[type(one)](), *operators[index + 1 :]]
                yield ast.Compare(left, changed, others)
        case ast.BoolOp(operator, parts):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), parts)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(left, operator, right) if type(operator) in _COMPUTED:
            yield ast.BinOp(left, _COMPUTED[type(operator)](), right)
        case ast.Constant(value) if not isinstance(site.parent, ast.Expr):
            yield from map(ast.Constant, _other_constants(value))
        case ast.Return(value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Continue():
            yield ast.Break()
        case _ if _can_be_left_out(node):
            yield ast.Pass()


def _is_negated_elsewhere(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1 and isinstance(node.ops[0], _NEGATION)
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _other_constants(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, str) and " " not in value:  # with a blank it is a sentence for people
        yield f"{value}XX"


def _can_be_left_out(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):  # a name without a value would be noticed by any test
        return not any(isinstance(one, ast.Name | ast.Tuple) for one in node.targets)
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    return isinstance(node, ast.AugAssign | ast.Raise | ast.Delete | ast.Break)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) < 90 else f"{text[:86]} ..."
