"""The mutants by which the tests are judged: each is one change of a function, and differs from the program."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from tests.builders import ROOT, SOURCE

TEXT = '''"""A module."""

LIMIT = 3


class Box:
    @property
    def size(self) -> int:
        """Return 3."""
        return LIMIT


def least(values: list[int], most: int = 5) -> int:
    """Return the least value."""
    found, count = most, 0
    for value in values:
        if value < found and value is not None:
            found = value
            count += 1
            continue
        values.remove(value)
    if not count:
        raise ValueError("no value is below that")
    return found
'''
CHANGES = {
    "Box.size: return LIMIT -> return None",
    "least: 0 -> 1",
    "least: value < found and value is not None -> not (value < found and value is not None)",
    "least: value < found and value is not None -> value < found or value is not None",
    "least: value < found -> value <= found",
    "least: value is not None -> value is None",
    "least: count += 1 -> pass",
    "least: 1 -> 2",
    "least: continue -> break",
    "least: values.remove(value) -> pass",
    "least: not count -> count",
    "least: raise ValueError('no value is below that') -> pass",
    "least: return found -> return None",
}


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("mutants")


def test_what_is_changed_is_code_and_no_sentence_default_or_declaration(maker: Any, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(TEXT, "utf-8")
    found = list(maker.mutants(path, "module.py"))
    assert {one.name.removeprefix("module.py ") for one in found} == CHANGES
    assert len(found) == len(CHANGES)


def test_a_mutant_does_what_the_change_says(maker: Any, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(TEXT, "utf-8")
    results = {}
    for one in maker.mutants(path, "module.py"):
        if " least: " in one.name:
            least = FunctionType(maker.mutated(one), {})
            try:
                results[one.name.partition(": ")[2]] = least([4, 3], 5)
            except ValueError as error:
                results[one.name.partition(": ")[2]] = str(error)
    assert results["return found -> return None"] is None
    assert results["continue -> break"] == 4
    assert results["not count -> count"] == "no value is below that"
    assert results["1 -> 2"] == 3


def test_no_mutant_of_the_resolver_and_of_migration_is_the_program_itself(maker: Any) -> None:
    paths = [path for part in ("resolving", "migration") for path in sorted((SOURCE / part).glob("*.py"))]
    found = [one for path in paths for one in maker.mutants(path, path.name)]
    assert len({(one.file, one.name) for one in found}) == len(found) > 1000
    for one in found[::40]:
        whole = compile(Path(one.file).read_text("utf-8"), one.file, "exec")
        (code,) = (each for each in maker.codes(whole) if maker.identity(each) == one.function)
        assert maker.mutated(one) != code, one.name
