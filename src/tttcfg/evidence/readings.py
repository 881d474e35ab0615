"""The dimensions that the shapes of tensors show, and where the tensors contradict each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tttcfg.errors import MAX_QUOTED, Problem, quote
from tttcfg.evidence.dialects.dialect import DIMENSIONS, Axes
from tttcfg.safetensors.header import Header


class Proof(NamedTuple):
    """What tensors prove: a value, and the name of a tensor that shows it (or what is missing)."""

    value: Any
    tensor: str


class Readings:
    """Shapes checked against the axes of a dialect, and every size that one of them shows."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.problems: list[Problem] = []
        self.sizes: dict[str, dict[int, list[str]]] = {}
        self.misshapen: dict[tuple[tuple[int, ...], str], list[str]] = {}

    def weights_problem(self, message: str) -> Problem:
        return Problem("weights", message, place=self.header.name)

    def problem(self, message: str) -> None:
        self.problems.append(self.weights_problem(message))

    def read(self, name: str, axes: Axes) -> tuple[int, ...] | None:
        """Check a tensor's shape against its axes, record its sizes, and return it; None where it is wrong."""
        shape = self.header.shape(name)
        if axes is None:
            return shape
        wrong = len(shape) != len(axes)
        if wrong or any(isinstance(axis, int) and axis != size for axis, size in zip(axes, shape, strict=True)):
            self.wrong(name, shape, f"should be [{', '.join(map(str, axes))}]")
            return None
        if 0 in shape:
            self.wrong(name, shape, "should have no empty axis")
            return None
        for axis, size in zip(axes, shape, strict=True):
            if axis in DIMENSIONS:
                self.bind(str(axis), size, name)
        return shape

    def wrong(self, name: str, shape: tuple[int, ...], why: str) -> None:
        self.misshapen.setdefault((shape, why), []).append(name)

    def bind(self, dimension: str, size: int, name: str) -> None:
        """Record the size of a dimension that a tensor shows."""
        self.sizes.setdefault(dimension, {}).setdefault(size, []).append(name)

    def agreed(self, what: str, found: Mapping[Any, Sequence[str]]) -> Proof:
        """Return the value that tensors show, of several the first; that they differ is a problem."""
        (value, names), *others = found.items()
        for other, differing in others:
            self.problem(
                f"{what}: {_value_text(other)} in {some(differing)}, and {_value_text(value)} in {some(names)}"
            )
        return Proof(value, shown(names[0]))

    def dimensions(self) -> dict[str, Proof]:
        """Return the dimensions that tensors show, and add the problems of wrong shapes and of sizes that differ."""
        for (shape, why), wrong in self.misshapen.items():
            self.problem(f"{some(wrong)} {'is' if len(wrong) == 1 else 'are'} {list(shape)}, and {why}")
        return {dimension: self.agreed(dimension, found) for dimension, found in self.sizes.items()}


def shown(name: str) -> str:
    """Return a tensor's name for a message; names may contain anything, and be very long."""
    return name if len(name) <= MAX_QUOTED and name.isprintable() else quote(name)


def some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def _value_text(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)
