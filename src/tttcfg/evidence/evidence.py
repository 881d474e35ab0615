"""What the names and shapes of a checkpoint's tensors prove."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tttcfg.errors import Problem, quote
from tttcfg.evidence.dialects.dialect import HEAD_DIM, MODEL_DIM, NUM_HEADS, Dialect
from tttcfg.evidence.inner_model import read_inner_model
from tttcfg.evidence.readings import Proof, Readings, shown, some
from tttcfg.evidence.recognition import DIALECTS, recognise
from tttcfg.evidence.tensor_names import Sorted
from tttcfg.safetensors.header import Header

FLOATS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
NO_LAYERS = Proof((), "no tensor of a TTT layer")


@dataclass(frozen=True)
class Evidence:
    """What a checkpoint's tensors prove.

    Attributes:
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


def gather(header: Header, adapters: Dialect | None = None) -> Evidence:
    """Return what the tensors of a checkpoint prove; those of unknown names prove only their dtype.

    Args:
        adapters: The dialect of a file without tensors, which a run that trains nothing saves as its adapters.
    """
    if not header.names and adapters is not None:
        return _Reader(header, adapters).evidence()
    known = recognise(header.names)
    if len(known) != 1:
        return _unknown(header, known)
    return _Reader(header, known[0]).evidence()


def _unknown(header: Header, known: tuple[Dialect, ...]) -> Evidence:
    if known:
        message = f"mixes the tensor names of {' and '.join(one.title for one in known)}; nothing is read from them"
    elif not header.names:
        message = "holds no tensors; give the checkpoint's weights"
    else:
        shown = ", ".join(quote(name) for name in list(header.names)[:3])
        titles = "; ".join(one.title for one in DIALECTS.values())
        message = f"has tensor names of no known program ({shown}); known are {titles}"
    problem = Problem("weights" if known else "dialect", message, place=header.name)
    return Evidence(None, None, NO_LAYERS, {}, None, None, True, _dtype(header), None, None, (problem,))


def _dtype(header: Header) -> Proof | None:
    """Return the one floating-point type of all tensors; vectors may have other types, such as counters."""
    found: dict[str, str] = {}
    for name in header.names:
        dtype = header.dtype(name)
        if dtype in FLOATS:
            found.setdefault(dtype, name)
        elif len(header.shape(name)) > 1:
            return None
    floats = [Proof(FLOATS[dtype], shown(name)) for dtype, name in found.items()]
    return floats[0] if len(floats) == 1 else None


class _Reader(Readings):
    """Reads the tensors of one dialect."""

    def __init__(self, header: Header, dialect: Dialect) -> None:
        super().__init__(header)
        self.dialect = dialect
        self.depth: Proof | None = None
        self.sorted = Sorted(header.names, dialect)

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
        attention = shown(next(iter(names.attention.values()), "")) or "no base attention weight"
        unfrozen = Proof(tuple(sorted(names.attention)), attention)
        embeddings = Proof(bool(names.embedding), shown(names.embedding) or "no embedding")
        layers = Proof(tuple(names.layers), self.first_of_ttt()) if names.layers else NO_LAYERS
        return Evidence(
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
            shown(names.unread_adapter),
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
            yield self.weights_problem(
                f"has {some(names.unplaced)}, which {title} does not have; nothing is read from them"
            )

    def first_of_ttt(self) -> str:
        """Return a tensor of the TTT of the first layer that has it."""
        names = self.sorted
        first = names.layers[0]
        return shown(next(iter(names.blocks.get(first, {}).values()), "") or names.converted[first])

    def check_base_of_ttt_layers(self) -> None:
        """Check the names of the base tensors of layers with TTT; one tensor may have two names."""
        names = self.sorted
        if plain := [names.plain[index] for index in names.layers if index in names.plain]:
            why = f"and {self.dialect.title} has no such names in layers with TTT: a loader leaves them out"
            self.problem(f"has {some(plain)}, {why}")
        dtypes, shapes = self.header.dtype, self.header.shape
        if differing := [pair for pair in names.shared if len({(dtypes(one), shapes(one)) for one in pair}) > 1]:
            pair = " and ".join(f"{shown(one)} as {dtypes(one)} {quote(list(shapes(one)))}" for one in differing[0])
            more = f", and {len(differing) - 1:,} more tensors" if len(differing) > 1 else ""
            self.problem(f"has one tensor under two names with different dtypes or shapes: {pair}{more}")

    def hidden(self) -> bool:
        """Whether unknown tensors may be of TTT: in a layer, or as those of a TTT layer after a prefix."""
        names = self.sorted
        text = "" if names.layers else "\n".join(names.unplaced)
        return bool(names.unknown) or any(one.block and re.search(one.block, text) for one in DIALECTS.values())

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
            inner = read_inner_model(self, self.dialect, block)
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
            self.model_width(names.whole)
        elif names.part:
            self.problem(f"has {shown(names.part)} of the base model, and not all of it; give all files of the model")
            return
        there = names.based if names.whole else names.adapted
        if not names.present or not (names.whole or there):
            return
        last = max(names.present)
        if absent := [str(index) for index in range(last + 1) if index not in there]:
            what = "base tensor" if names.whole else "adapter"
            self.problem(f"has no {what} in layer{'s' * (len(absent) > 1)} {some(absent, 8)}, of 0 to {last}")
        else:
            self.depth = Proof(last + 1, shown(names.present[last]))

    def model_width(self, name: str) -> None:
        shape = self.header.shape(name)
        if shape and 0 not in shape:
            self.bind(MODEL_DIM, shape[-1], name)
        else:
            self.wrong(name, shape, f"its last axis should be {MODEL_DIM}")

    def check_head_dimensions(self, dimensions: Mapping[str, Proof]) -> None:
        if not {MODEL_DIM, NUM_HEADS, HEAD_DIM} <= dimensions.keys():
            return
        heads, width, model = (dimensions[name] for name in (NUM_HEADS, HEAD_DIM, MODEL_DIM))
        if heads.value * width.value != model.value:
            message = f"{heads.value} heads of {width.value} ({width.tensor}) are not {model.value} ({model.tensor})"
            self.problem(message)
