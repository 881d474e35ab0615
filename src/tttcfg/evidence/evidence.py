"""What the names and shapes of a checkpoint's tensors prove, and where they contradict each other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any, NamedTuple

from tttcfg.errors import Problem, clipped, quote, some
from tttcfg.evidence.dialects.dialect import DIMENSIONS, HEAD_DIM, MODEL_DIM, NUM_HEADS, Axes, Dialect, Inner
from tttcfg.evidence.tensor_names import DIALECTS, Sorted, recognise
from tttcfg.safetensors.header import Header


class Proof(NamedTuple):
    """What tensors prove: a value, and the name of a tensor that shows it (or what is missing)."""

    value: Any
    tensor: str


FLOATS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
NO_LAYERS = Proof((), "no tensor of a TTT layer")


@dataclass(frozen=True)
class Evidence:
    """What a checkpoint's tensors prove.

    Attributes:
        header: The names, shapes and dtypes of the tensors.
        dialect: How the tensors are named; None where that is not known.
        layers: The layers that have TTT, ascending; None where unknown tensors may be of more.
        known_layers: The layers that are known to have TTT; with unknown tensors there may be more.
        dimensions: Those of model_dim, num_heads, head_dim, num_layers and mini_batch_size that a tensor shows.
        widths: The widths through the inner model, input and output included; None without TTT.
        rank: Rank of the LoRA adapters; None where there are none.
        whole: Whether the base model is in the file; otherwise it holds adapters, which need their base.
        dtype: What all tensors are stored in; None where they differ, or some are quantised.
        unfrozen: The layers whose base attention an adapter file has; None for a file with the base model.
        embeddings: Whether an adapter file has a trained embedding; None for a file with the base model.
        problems: Where the tensors contradict each other, or some are missing.
        notes: The unknown tensors of a file whose others are known.
        unread_adapter: A tensor with a name of LoRA that is not read as an adapter; empty without.
    """

    header: Header
    dialect: Dialect | None
    layers: Proof | None
    known_layers: Proof
    dimensions: Mapping[str, Proof]
    widths: Proof | None
    rank: Proof | None
    whole: bool
    dtype: Proof | None
    unfrozen: Proof | None
    embeddings: Proof | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()
    unread_adapter: str = ""


def gather(header: Header, adapters: Dialect | None = None, own: Collection[Dialect] = ()) -> Evidence:
    """Return what the tensors of a checkpoint prove; those of unknown names prove only their dtype.

    Args:
        adapters: The dialect of a file without tensors, which a run that trains nothing saves as its adapters.
        own: Dialects of a family, which come before all others.
    """
    known = (adapters,) if adapters is not None and not header.names else recognise(header.names, own)
    dialects = (*own, *DIALECTS.values())
    return _Reader(header, known[0], dialects).evidence() if len(known) == 1 else _unknown(header, known, dialects)


def _unknown(header: Header, known: tuple[Dialect, ...], dialects: Collection[Dialect]) -> Evidence:
    if known:
        message = f"mixes the tensor names of {' and '.join(one.title for one in known)}; nothing is read from them"
    elif not header.names:
        message = "holds no tensors; give the checkpoint's weights"
    else:
        shown = ", ".join(quote(name) for name in list(header.names)[:3])
        titles = "; ".join(one.title for one in dialects)
        message = f"has tensor names of no known program ({shown}); known are {titles}"
    problem = Problem("weights" if known else "dialect", message, place=header.name)
    return Evidence(header, None, None, NO_LAYERS, {}, None, None, True, _dtype(header), None, None, (problem,))


def _dtype(header: Header) -> Proof | None:
    """Return the one floating-point type of all tensors; vectors may have other types, such as counters."""
    found: dict[str, str] = {}
    for name in header.names:
        dtype = header.dtype(name)
        if dtype in FLOATS:
            found.setdefault(dtype, name)
        elif len(header.shape(name)) > 1:
            return None
    floats = [Proof(FLOATS[dtype], clipped(name)) for dtype, name in found.items()]
    return floats[0] if len(floats) == 1 else None


class InnerTensors(NamedTuple):
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


class _Reader:
    """Reads the tensors of one dialect: checks shapes against its axes, and keeps every size that one of them shows."""

    def __init__(self, header: Header, dialect: Dialect, dialects: Collection[Dialect]) -> None:
        self.header, self.dialect, self.dialects = header, dialect, dialects
        self.sorted = Sorted(header.names, dialect)
        self.depth: Proof | None = None
        self.problems: list[Problem] = []
        self.sizes: dict[str, dict[int, list[str]]] = {}
        self.misshapen: dict[tuple[tuple[int, ...], str], list[str]] = {}

    def evidence(self) -> Evidence:
        names = self.sorted
        if names.duplicates:
            self.problem(f"has tensors under two names: {some(names.duplicates)}")
        if names.other_adapters:
            self.problem(f"has {some(names.other_adapters)}, and {self.dialect.title} has no adapters of such names")
        self.check_base_of_ttt_layers()
        widths = self.inner_widths()
        rank = self.adapter_rank()
        self.base_dimensions()
        dimensions = self.dimensions()
        self.check_head_dimensions(dimensions)
        if self.depth is not None:
            dimensions["num_layers"] = self.depth
        base = self.dialect.base if names.adapters_only else None
        attention = clipped(next(iter(names.attention.values()), "")) or "no base attention weight"
        unfrozen = Proof(tuple(sorted(names.attention)), attention)
        embeddings = Proof(bool(names.embedding), clipped(names.embedding) or "no embedding")
        layers = Proof(tuple(names.layers), self.first_of_ttt()) if names.layers else NO_LAYERS
        return Evidence(
            self.header,
            self.dialect,
            None if self.hidden() else layers,
            layers,
            dimensions,
            widths,
            rank,
            not names.adapters_only,
            _dtype(self.header),
            unfrozen if base is not None and base.attention else None,
            embeddings if base is not None and base.embedding else None,
            tuple(self.problems),
            tuple(self.notes()),
            clipped(names.unread_adapter),
        )

    def notes(self) -> Iterator[Problem]:
        """Yield notes on tensors that the dialect does not have; a file may have more than the model."""
        names, title = self.sorted, self.dialect.title
        if not self.header.names:
            yield self.weights_problem("is an adapter file without tensors: nothing was trained, or nothing was saved")
        if names.unknown:
            why = "so it is not known which layers have TTT"
            yield self.weights_problem(f"has {some(names.unknown)} in its layers, which {title} does not have; {why}")
        if names.unplaced:
            why = "nothing is read from them"
            yield self.weights_problem(f"has {some(names.unplaced)}, which {title} does not have; {why}")

    def first_of_ttt(self) -> str:
        """Return a tensor of the TTT of the first layer that has it."""
        names = self.sorted
        first = names.layers[0]
        return clipped(next(iter(names.blocks.get(first, {}).values()), "") or names.converted[first])

    def check_base_of_ttt_layers(self) -> None:
        """Check the names of the base tensors of layers with TTT; one tensor may have two names."""
        names = self.sorted
        if plain := [names.plain[index] for index in names.layers if index in names.plain]:
            why = f"and {self.dialect.title} has no such names in layers with TTT: a loader leaves them out"
            self.problem(f"has {some(plain)}, {why}")
        dtypes, shapes = self.header.dtype, self.header.shape
        if differing := [pair for pair in names.shared if len({(dtypes(one), shapes(one)) for one in pair}) > 1]:
            pair = " and ".join(f"{clipped(one)} as {dtypes(one)} {quote(list(shapes(one)))}" for one in differing[0])
            more = f", and {len(differing) - 1:,} more tensors" if len(differing) > 1 else ""
            self.problem(f"has one tensor under two names with different dtypes or shapes: {pair}{more}")

    def hidden(self) -> bool:
        """Whether unknown tensors may be of TTT: in a layer, or as those of a TTT layer after a prefix."""
        names = self.sorted
        text = "" if names.layers else "\n".join(names.unplaced)
        return bool(names.unknown) or any(one.block and re.search(one.block, text) for one in self.dialects)

    def inner_widths(self) -> Proof | None:
        """Check the tensors of every TTT layer, and return the widths that all inner models have."""
        found: dict[tuple[int, ...], list[str]] = {}
        faults: dict[str, list[str]] = {}
        unknown: list[str] = []
        for index in self.sorted.layers:
            block = self.sorted.blocks.get(index, {})
            needed = self.dialect.needed(block)
            known = {**needed, **self.dialect.optional}
            for suffix in known:
                if suffix in block:
                    self.read(block[suffix], known[suffix])
            inner = self.inner_model(block)
            unknown += [name for suffix, name in block.items() if suffix not in known and suffix not in inner.names]
            if missing := (*(suffix for suffix in needed if suffix not in block), *inner.missing):
                faults.setdefault(f"lacks {some(missing)} in", []).append(str(index))
            if inner.miscounted:
                faults.setdefault(f"{inner.miscounted}:", []).append(str(index))
            if inner.widths is not None:
                found.setdefault(inner.widths.value, []).append(inner.widths.tensor)
        if unknown:
            self.problem(f"has {some(unknown)}, which no TTT layer of {self.dialect.title} has")
        for fault, indices in faults.items():
            self.problem(f"{fault} TTT layer{'s' * (len(indices) > 1)} {some(indices, 8)}")
        return self.agreed("the widths through the inner model", found) if found else None

    def inner_model(self, block: Mapping[str, str]) -> InnerTensors:
        """Return the inner model in `block`, the tensors of a TTT layer: full names by the rest of the name."""
        for form in self.dialect.inner:
            numbered = takewhile(block.__contains__, map(form.weight.format, count(form.first)))  # without a gap
            if weights := [block[name] for name in numbered]:
                return self.inner_model_of(block, form, weights)
        return InnerTensors(set(), tuple(form.weight.format(form.first) for form in self.dialect.inner[:1]))

    def inner_model_of(self, block: Mapping[str, str], form: Inner, weights: list[str]) -> InnerTensors:
        numbers = range(form.first, form.first + len(weights))
        names = {template.format(number) for number in numbers for template in (form.weight, form.bias)}
        missing = [bias for number in numbers if (bias := form.bias.format(number)) not in block]
        if cut := form.bias.format(numbers.stop) in block:
            names.add(form.bias.format(numbers.stop))
            missing.append(form.weight.format(numbers.stop))
        shapes = [self.read(name, (NUM_HEADS, "width in", "width out")) for name in weights]
        for number, shape in zip(numbers, shapes, strict=True):
            bias_name = block.get(form.bias.format(number))
            if shape is not None and bias_name is not None:
                self.read(bias_name, (*form.bias_axes, shape[2]))
        miscounted = ""
        if not missing and not form.fewest <= len(weights) <= (form.most or len(weights)):
            counts = f"{form.fewest} to {form.most}" if form.most else f"{form.fewest} and more"
            named = f"has {len(weights)} inner layer{'s' * (len(weights) > 1)} named {form.weight.format('N')}"
            miscounted = f"{named}, and {self.dialect.title} uses these names for {counts}"
        fitting = [shape for shape in shapes if shape is not None]
        widths = None if cut or len(fitting) < len(shapes) else self.successive_widths(weights, fitting)
        return InnerTensors(names, tuple(missing), None if miscounted else widths, miscounted)

    def successive_widths(self, weights: list[str], shapes: list[tuple[int, ...]]) -> Proof | None:
        """Return the widths through successive layers; None where one does not fit the layer before it."""
        widths = (shapes[0][1], *(shape[2] for shape in shapes))
        for name, shape, width in zip(weights, shapes, widths, strict=False):
            if shape[1] != width:
                self.wrong(name, shape, f"the layer before it has the output width {width}")
                return None
        self.bind(HEAD_DIM, widths[0], weights[0])
        self.bind(HEAD_DIM, widths[-1], weights[-1])
        return Proof(widths, weights[0])

    def adapter_rank(self) -> Proof | None:
        """Return the one rank of all LoRA adapters, and read the width that those of the model's width take."""
        found: dict[int, list[str]] = {}
        for side, axis in (("A", 0), ("B", -1)):
            for name in self.sorted.adapters[side].values():
                shape = self.header.shape(name)
                if len(shape) == 2 and 0 not in shape:
                    found.setdefault(shape[axis], []).append(name)
                    if name in self.sorted.wide:
                        self.bind(MODEL_DIM, shape[-1], name)
                else:
                    self.wrong(name, shape, "an adapter has two axes, neither empty")
        downs, ups = self.sorted.adapters["A"], self.sorted.adapters["B"]
        either = downs | ups
        if halves := [either[one] for one in sorted(downs.keys() ^ ups.keys())]:
            self.problem(f"has {some(halves)} without the other half of the adapter")
        return self.agreed("the rank of the adapters", found) if found else None

    def base_dimensions(self) -> None:
        """Read the model's width and depth: a whole model has every layer, and LoRA goes on every layer."""
        names = self.sorted
        if names.whole:
            shape = self.header.shape(names.whole)
            if shape and 0 not in shape:
                self.bind(MODEL_DIM, shape[-1], names.whole)
            else:
                self.wrong(names.whole, shape, f"its last axis should be {MODEL_DIM}")
        elif names.part and self.dialect.base.whole:
            self.problem(f"has {clipped(names.part)} of the base model, and not all of it; give all files of the model")
            return
        if names.whole:
            there, what = names.based, "base tensor"
        elif names.adapters_only:
            there, what = names.adapted, "adapter"
        else:
            there, what = {*names.present}, "tensor"
        if not names.present or not (names.whole or there):
            return
        last = max(names.present)
        if absent := [str(index) for index in range(last + 1) if index not in there]:
            self.problem(f"has no {what} in layer{'s' * (len(absent) > 1)} {some(absent, 8)}, of 0 to {last}")
        else:
            self.depth = Proof(last + 1, clipped(names.present[last]))

    def check_head_dimensions(self, dimensions: Mapping[str, Proof]) -> None:
        if not {MODEL_DIM, NUM_HEADS, HEAD_DIM} <= dimensions.keys():
            return
        heads, width, model = (dimensions[name] for name in (NUM_HEADS, HEAD_DIM, MODEL_DIM))
        if heads.value * width.value != model.value:
            message = f"{heads.value} heads of {width.value} ({width.tensor}) are not {model.value} ({model.tensor})"
            self.problem(message)

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
            first = f"{_value_text(value)} in {some(names)}"
            self.problem(f"{what}: {_value_text(other)} in {some(differing)}, and {first}")
        return Proof(value, clipped(names[0]))

    def dimensions(self) -> dict[str, Proof]:
        """Return the dimensions that tensors show, and add the problems of wrong shapes and of sizes that differ."""
        for (shape, why), wrong in self.misshapen.items():
            self.problem(f"{some(wrong)} {'is' if len(wrong) == 1 else 'are'} {list(shape)}, and {why}")
        return {dimension: self.agreed(dimension, found) for dimension, found in self.sizes.items()}


def _value_text(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)
