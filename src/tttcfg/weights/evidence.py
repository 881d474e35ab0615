"""What the names and shapes of a checkpoint's tensors prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tttcfg.errors import MAX_QUOTED, Problem, quote
from tttcfg.weights.dialect import (
    DIMENSIONS,
    HEAD_DIM,
    MODEL_DIM,
    NUM_HEADS,
    Axes,
    Dialect,
    Inner,
    dialects,
    recognise,
)
from tttcfg.weights.header import Header
from tttcfg.weights.sorting import Sorted

FLOATS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}


class Proof(NamedTuple):
    """What a tensor proves: a value, and which tensor shows it (or what is missing)."""

    value: Any
    tensor: str


@dataclass(frozen=True)
class Evidence:
    """What a checkpoint's tensors prove.

    Attributes:
        dialect: How the tensors are named; None where nobody knows.
        layers: The layers that have TTT, ascending.
        dimensions: model_dim, num_heads, head_dim, num_layers, mini_batch_size: those that a tensor shows.
        widths: The widths through the inner model, input and output included; None without TTT.
        rank: Rank of the LoRA adapters; None where there are none.
        whole: Whether the base model is in the file; otherwise it holds adapters, which need their base.
        dtype: What floating-point tensors are stored in; None where they differ.
        unfrozen: The layers whose base attention an adapter file holds; None in a file with everything.
        embeddings: A trained embedding that an adapter file holds; None in a file with everything.
        problems: Where the tensors contradict each other, or some are missing.
    """

    dialect: Dialect | None
    layers: Proof
    dimensions: Mapping[str, Proof]
    widths: Proof | None
    rank: Proof | None
    whole: bool
    dtype: Proof | None
    unfrozen: Proof | None
    embeddings: Proof | None
    problems: tuple[Problem, ...]


def gather(header: Header) -> Evidence:
    """Return what the tensors of a checkpoint prove; one that nobody knows proves nothing but its dtype."""
    known = recognise(header.names)
    if len(known) != 1:
        return _unknown(header, known)
    return _Reader(header, known[0]).evidence()


def _unknown(header: Header, known: tuple[Dialect, ...]) -> Evidence:
    if known:
        message = f"mixes the tensor names of {' and '.join(one.title for one in known)}; nothing is read from them"
    else:
        shown = ", ".join(quote(name) for name in list(header.names)[:3]) or "none"
        titles = "; ".join(one.title for one in dialects().values())
        message = f"names its tensors as no program that is known ({shown}); known are {titles}"
    problem = Problem("dialect", message, place=header.name)
    return Evidence(None, Proof((), ""), {}, None, None, True, _dtype(header), None, None, (problem,))


def _dtype(header: Header) -> Proof | None:
    """Return what all floating-point tensors are stored in."""
    shown: dict[str, str] = {}
    for name in header.names:
        shown.setdefault(header.dtype(name), name)
    floats = [Proof(FLOATS[one], name) for one, name in shown.items() if one in FLOATS]
    return floats[0] if len(floats) == 1 else None


class _Reader:
    """Reads the tensors of one dialect, and keeps what each shows."""

    def __init__(self, header: Header, dialect: Dialect) -> None:
        self.header, self.dialect = header, dialect
        self.problems: list[Problem] = []
        self.dimensions: dict[str, Proof] = {}
        self.sizes: dict[str, dict[int, list[str]]] = {}
        self.misshapen: dict[tuple[tuple[int, ...], str], list[str]] = {}
        self.sorted = Sorted(header.names, dialect)

    def problem(self, message: str) -> None:
        self.problems.append(Problem("weights", message, place=self.header.name))

    def evidence(self) -> Evidence:
        names = self.sorted
        layers = names.layers
        if names.twice:
            self.problem(f"has tensors that are there under another name too: {_some(names.twice)}")
        widths = self.inner_widths(layers)
        rank = self.adapter_rank()
        self.base_dimensions()
        for (shape, why), wrong in self.misshapen.items():
            self.problem(f"{_some(wrong)} {'is' if len(wrong) == 1 else 'are'} {list(shape)}, and {why}")
        for dimension, found in self.sizes.items():
            self.dimensions[dimension] = self.agreed(dimension, found)
        if {MODEL_DIM, NUM_HEADS, HEAD_DIM} <= self.dimensions.keys():
            self.heads_fill_the_model()
        base = self.dialect.base if names.adapters_only else None
        unfrozen = Proof(
            tuple(sorted(names.attention)), next(iter(names.attention.values()), "no base attention weight")
        )
        return Evidence(
            self.dialect,
            Proof(tuple(layers), self.first_of(layers[0]) if layers else "no tensor of a TTT layer"),
            self.dimensions,
            widths,
            rank,
            not names.adapters_only,
            _dtype(self.header),
            unfrozen if base is not None and base.attention else None,
            Proof(bool(names.embedding), names.embedding or "no embedding")
            if base is not None and base.embedding
            else None,
            tuple(self.problems),
        )

    def first_of(self, layer: int) -> str:
        """Return a tensor that shows that `layer` has TTT."""
        return _shown(next(iter(self.sorted.blocks.get(layer, {}).values()), "") or self.sorted.converted[layer])

    def inner_widths(self, layers: list[int]) -> Proof | None:
        """Hold every TTT layer against the declaration, and return the widths that all inner models have."""
        found: dict[tuple[int, ...], list[str]] = {}
        lacking: dict[tuple[str, ...], list[str]] = {}
        strange: list[str] = []
        for index in layers:
            block = self.sorted.blocks.get(index, {})
            known = {**self.dialect.tensors, **self.dialect.optional}
            for suffix in known:
                if suffix in block:
                    self.read(block[suffix], known[suffix])
            missing = [suffix for suffix in self.dialect.tensors if suffix not in block]
            inner: set[str] = set()
            widths = self.widths_of(block, missing, inner)
            strange += [name for suffix, name in block.items() if suffix not in known and suffix not in inner]
            if missing:
                lacking.setdefault(tuple(missing), []).append(str(index))
            if widths is not None:
                found.setdefault(widths.value, []).append(widths.tensor)
        if strange:
            self.problem(f"has {_some(strange)}, which no TTT layer of {self.dialect.title} has")
        for suffixes, indices in lacking.items():
            self.problem(f"lacks {_some(suffixes)} in TTT layer{'s' * (len(indices) > 1)} {_some(indices, 8)}")
        return self.agreed("the widths through the inner model", found) if found else None

    def widths_of(self, block: Mapping[str, str], missing: list[str], inner: set[str]) -> Proof | None:
        """Return the widths through one layer's inner model; add what it lacks to `missing`, what it has to `inner`."""
        for form in self.dialect.inner:
            weights = list(_counted(block, form.weight, form))
            if not weights:
                continue
            numbers = range(form.first, form.first + len(weights))
            inner.update(template.format(number) for number in numbers for template in (form.weight, form.bias))
            missing.extend(bias for number in numbers if (bias := form.bias.format(number)) not in block)
            if form.bias.format(numbers.stop) in block:
                missing.append(form.weight.format(numbers.stop))
            shapes = [self.read(name, (NUM_HEADS, "width in", "width out")) for name in weights]
            for number, shape in zip(numbers, shapes, strict=True):
                bias_name = block.get(form.bias.format(number))
                if shape is not None and bias_name is not None:
                    self.read(bias_name, (*form.bias_axes, shape[2]))
            widths = [shape[1] for shape in shapes[:1] if shape] + [shape[2] for shape in shapes if shape]
            if None in shapes:
                return None
            for name, shape, width in zip(weights, shapes, widths, strict=False):
                if shape is not None and shape[1] != width:
                    self.wrong(name, shape, f"the layer before it gives width {width}")
                    return None
            self.bind(HEAD_DIM, widths[0], weights[0])
            self.bind(HEAD_DIM, widths[-1], weights[-1])
            return Proof(tuple(widths), weights[0])
        missing.extend(form.weight.format(form.first) for form in self.dialect.inner[:1])
        return None

    def read(self, name: str, axes: Axes) -> tuple[int, ...] | None:
        """Hold a tensor's shape against what its axes are, and keep what it shows; None where it does not fit."""
        shape = self.header.shape(name)
        if axes is None:
            return shape
        wrong = len(shape) != len(axes)
        if wrong or any(isinstance(axis, int) and axis != size for axis, size in zip(axes, shape, strict=True)):
            self.wrong(name, shape, f"should be [{', '.join(map(str, axes))}]")
            return None
        if 0 in shape:
            self.wrong(name, shape, "should hold something")
            return None
        for axis, size in zip(axes, shape, strict=True):
            if axis in DIMENSIONS:
                self.bind(str(axis), size, name)
        return shape

    def wrong(self, name: str, shape: tuple[int, ...], why: str) -> None:
        self.misshapen.setdefault((shape, why), []).append(name)

    def bind(self, dimension: str, size: int, name: str) -> None:
        """Keep what a tensor says of a dimension."""
        self.sizes.setdefault(dimension, {}).setdefault(size, []).append(name)

    def agreed(self, what: str, found: Mapping[Any, Sequence[str]]) -> Proof:
        """Return the value that tensors show; where they differ it is the first one, and that is a problem."""
        (value, names), *others = found.items()
        for other, differing in others:
            self.problem(f"{what}: {_said(other)} in {_some(differing)}, and {_said(value)} in {_some(names)}")
        return Proof(value, _shown(names[0]))

    def adapter_rank(self) -> Proof | None:
        """Return the one rank of all LoRA adapters."""
        found: dict[int, list[str]] = {}
        for side, axis in (("A", 0), ("B", -1)):
            for name in self.sorted.adapters[side].values():
                shape = self.header.shape(name)
                if len(shape) == 2 and 0 not in shape:
                    found.setdefault(shape[axis], []).append(name)
                else:
                    self.wrong(name, shape, "an adapter has two axes that hold something")
        downs, ups = self.sorted.adapters["A"], self.sorted.adapters["B"]
        either = downs | ups
        if halves := [either[one] for one in sorted(downs.keys() ^ ups.keys())]:
            self.problem(f"has {_some(halves)} without the other half of the adapter")
        return self.agreed("the rank of the adapters", found) if found else None

    def base_dimensions(self) -> None:
        """Read the model's width and depth: a whole model has every layer, and LoRA goes on every layer."""
        names = self.sorted
        if names.whole:
            self.model_width(names.whole)
        elif names.part:
            self.problem(f"has {_shown(names.part)} of the base model, and not all of it; give all its files together")
            return
        there = names.present.keys() if names.whole else names.adapted
        if not there:
            return
        last = max(names.present)
        if absent := [str(index) for index in range(last + 1) if index not in there]:
            what = "tensor" if names.whole else "adapter"
            self.problem(f"has no {what} in layer{'s' * (len(absent) > 1)} {_some(absent, 8)}, of 0 to {last}")
        else:
            self.dimensions["num_layers"] = Proof(last + 1, _shown(names.present[last]))

    def model_width(self, name: str) -> None:
        shape = self.header.shape(name)
        if shape and 0 not in shape:
            self.bind(MODEL_DIM, shape[-1], name)
        else:
            self.wrong(name, shape, f"its last axis should be {MODEL_DIM}")

    def heads_fill_the_model(self) -> None:
        heads, width, model = (self.dimensions[name] for name in (NUM_HEADS, HEAD_DIM, MODEL_DIM))
        if heads.value * width.value != model.value:
            message = f"{heads.value} heads of {width.value} ({width.tensor}) are not {model.value} ({model.tensor})"
            self.problem(message)


def _counted(block: Mapping[str, str], template: str, form: Inner) -> Iterator[str]:
    """Yield the tensors that `template` names, counted without a gap."""
    number = form.first
    while (name := template.format(number)) in block:
        yield block[name]
        number += 1


def _shown(name: str) -> str:
    """Return a tensor's name as it can stand in a sentence; names may hold anything, and be very long."""
    return name if len(name) <= MAX_QUOTED and name.isprintable() else quote(name)


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(_shown, names[:most])) + more


def _said(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)
