"""benchmarks/layers.py measures what it claims, on a shape small enough for a test."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3] / "benchmarks"))
    return import_module("layers")


@pytest.mark.parametrize(("inner", "dtype", "most"), [("TTT-Linear", "float32", 1e-5), ("5 layers", "bfloat16", 3e-2)])
def test_a_shape_is_measured_and_is_near_the_reference(layers: Any, inner: str, dtype: str, most: float) -> None:
    row = layers.measured(layers.Shape(inner, 16, 16, 64, dtype, 32), "cpu", 1, 0)
    assert 0 < row.error < most
    assert min(row.forward, row.training) > 0
    assert row.compiled_forward is row.compiled_training is None
    *_, line = layers.markdown(iter([row]))
    assert line.startswith(f"| {inner} | 16 | 16 | 64 | {dtype} | ")
    assert line.count("|") == len(layers.COLUMNS) + 1


def test_shapes_depart_from_the_centre_in_one_thing_unless_every_one_is_asked_for(layers: Any) -> None:
    grid = layers.GRIDS["cuda"]
    assert len(grid.shapes(every=True)) == 3 * 3 * 2 * 4 * 2
    few = grid.shapes(every=False)
    assert len(few) == 1 + 2 + 2 + 1 + 3 + 1
    assert grid.centre in few
