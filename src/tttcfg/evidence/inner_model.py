"""The inner model of one TTT layer: how many layers it has, and the widths through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tttcfg.evidence.dialects.dialect import HEAD_DIM, NUM_HEADS, Dialect, Inner
from tttcfg.evidence.readings import Proof, Readings


class InnerModel(NamedTuple):
    """The inner model that a TTT layer's tensors show.

    Attributes:
        names: The tensors that belong to it, without the layer's prefix.
        missing: Those that it lacks.
        widths: The widths through it; None where they are not known, or it cannot be loaded.
        miscounted: The problem, where the program has no inner model of these names with so many layers.
    """

    names: set[str]
    missing: tuple[str, ...]
    widths: Proof | None = None
    miscounted: str = ""


def read_inner_model(readings: Readings, dialect: Dialect, block: Mapping[str, str]) -> InnerModel:
    """Return the inner model in `block`, the tensors of a TTT layer: full names by the rest of the name."""
    for form in dialect.inner:
        weights = list(_counted(block, form))
        if weights:
            return _read(readings, dialect, block, form, weights)
    return InnerModel(set(), tuple(form.weight.format(form.first) for form in dialect.inner[:1]))


def _read(
    readings: Readings, dialect: Dialect, block: Mapping[str, str], form: Inner, weights: list[str]
) -> InnerModel:
    numbers = range(form.first, form.first + len(weights))
    names = {template.format(number) for number in numbers for template in (form.weight, form.bias)}
    missing = [bias for number in numbers if (bias := form.bias.format(number)) not in block]
    if cut := form.bias.format(numbers.stop) in block:
        names.add(form.bias.format(numbers.stop))
        missing.append(form.weight.format(numbers.stop))
    shapes = [readings.read(name, (NUM_HEADS, "width in", "width out")) for name in weights]
    for number, shape in zip(numbers, shapes, strict=True):
        bias_name = block.get(form.bias.format(number))
        if shape is not None and bias_name is not None:
            readings.read(bias_name, (*form.bias_axes, shape[2]))
    miscounted = ""
    if not missing and not form.fewest <= len(weights) <= (form.most or len(weights)):
        counts = f"{form.fewest} to {form.most}" if form.most else f"{form.fewest} and more"
        count = f"{len(weights)} inner layer{'s' * (len(weights) > 1)}"
        miscounted = f"has {count} named {form.weight.format('N')}, and {dialect.title} uses these names for {counts}"
    fitting = [shape for shape in shapes if shape is not None]
    widths = None if cut or len(fitting) < len(shapes) else _widths(readings, weights, fitting)
    return InnerModel(names, tuple(missing), None if miscounted else widths, miscounted)


def _widths(readings: Readings, weights: list[str], shapes: list[tuple[int, ...]]) -> Proof | None:
    """Return the widths through successive layers; None where one does not fit the layer before it."""
    widths = (shapes[0][1], *(shape[2] for shape in shapes))
    for name, shape, width in zip(weights, shapes, widths, strict=False):
        if shape[1] != width:
            readings.wrong(name, shape, f"the layer before it has the output width {width}")
            return None
    readings.bind(HEAD_DIM, widths[0], weights[0])
    readings.bind(HEAD_DIM, widths[-1], weights[-1])
    return Proof(widths, weights[0])


def _counted(block: Mapping[str, str], form: Inner) -> Iterator[str]:
    """Yield the weights of the names of `form`, numbered without a gap."""
    number = form.first
    while (name := form.weight.format(number)) in block:
        yield block[name]
        number += 1
