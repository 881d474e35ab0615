"""What is packaged, and lists that must not drift from the source."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import ROOT, SOURCE
from tttcfg.errors import CODES
from tttcfg.ttt_moshi.family import TTT_MOSHI

HOMES = {"tttcfg": SOURCE, "tttcfg.migrations": ROOT / "migrations", "tttcfg.schemas": ROOT / "schemas"}
CODE_POSITIONS = {"Problem": 0}
"""The calls that make problems, with the position of the code."""


def project() -> str:
    return (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def listed_packages() -> list[str]:
    block = re.search(r"^packages = \[(.*?)\]", project(), re.DOTALL | re.MULTILINE)
    assert block is not None
    return re.findall(r'"([^"]+)"', block.group(1))


def folders() -> Iterator[str]:
    for package, home in HOMES.items():
        for marker in home.rglob("__init__.py"):
            yield ".".join((package, *marker.parent.relative_to(home).parts))


def test_every_package_is_listed() -> None:
    """A folder with an __init__.py that pyproject.toml forgets would be missing from the wheel."""
    assert sorted(listed_packages()) == sorted(folders())


def test_every_folder_with_modules_is_a_package() -> None:
    for home in HOMES.values():
        for module in home.rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


def test_version_has_one_home() -> None:
    """version.py alone holds the number; the installed metadata follows it."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", tttcfg.__version__)
    assert not re.search(r'^version = "', project(), re.MULTILINE)
    assert 'version = { attr = "tttcfg.version.__version__" }' in project()
    assert importlib.metadata.version("tttcfg") == tttcfg.__version__


def test_the_package_declares_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()
    assert '"tttcfg" = ["py.typed"]' in project()


def test_public_functions_are_typed() -> None:
    """Every public function has a type for every argument and its result."""
    functions = [value for name in tttcfg.__all__ if callable(value := getattr(tttcfg, name)) and _is_function(value)]
    assert len(functions) >= 5
    for function in functions:
        names = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]
        assert {*names, "return"} <= set(typing.get_type_hints(function)), function.__name__


def _is_function(value: Callable[..., Any]) -> bool:
    return hasattr(value, "__code__")


def test_every_public_name_is_there_and_no_other() -> None:
    assert [name for name in tttcfg.__all__ if not hasattr(tttcfg, name)] == []
    assert set(tttcfg.__all__) <= set(dir(tttcfg))
    assert len(set(tttcfg.__all__)) == len(tttcfg.__all__)
    with pytest.raises(AttributeError, match="no attribute 'reslove'"):
        _ = tttcfg.reslove


def codes_in(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            position = CODE_POSITIONS.get(name)
            code = node.args[position] if position is not None and len(node.args) > position else None
            yield from _texts(code)
        elif isinstance(node, ast.keyword) and node.arg == "code":
            yield from _texts(node.value)


def _texts(node: ast.AST | None) -> Iterator[str]:
    """Yield the texts that an expression may be: itself, or either branch."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))


def test_every_code_in_the_source_is_declared() -> None:
    used = {code: module.name for module in SOURCE.rglob("*.py") for code in codes_in(module)}
    assert {code: module for code, module in used.items() if code not in CODES} == {}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_declared_code_is_used(code: str) -> None:
    """A code that nothing raises any more leaves the table."""
    sources = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name != "errors.py")
    assert f'"{code}"' in sources


def test_one_migration_and_one_schema_per_version() -> None:
    steps = sorted((ROOT / "migrations" / TTT_MOSHI.name).glob("v*.py"))
    schemas = sorted((ROOT / "schemas" / TTT_MOSHI.name).glob("v*.schema.json"))
    assert len(steps) == len(schemas) == TTT_MOSHI.head + 1
