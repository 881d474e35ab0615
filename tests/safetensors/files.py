"""What tests of weights are made of: headers, whole files and sharded checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from tttcfg.safetensors.header import DTYPE_BITS, HEADER_CAP, MAX_TENSORS
from tttcfg.safetensors.shards import INDEX_NAME

Tensors = Mapping[str, tuple[str, Sequence[int]]]


def laid_out(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a header's values, with the tensors' data one behind the other."""
    values: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + DTYPE_BITS[dtype] * prod(shape) // 8
        values[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    return values


def compact(values: Any) -> bytes:
    """Return values as the format's own library writes them."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()


def framed(header: bytes, room: int = 0) -> bytes:
    """Return a whole file: the length, the header and `room` bytes of data."""
    return len(header).to_bytes(8, "little") + header + bytes(room)


def room_for(tensors: Tensors) -> int:
    return sum(DTYPE_BITS[dtype] * prod(shape) // 8 for dtype, shape in tensors.values())


def weights_file(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(framed(compact(laid_out(tensors, metadata))))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + room_for(tensors))  # holes: they read as zeros and take no space
    return path


def sharded(folder: Path, shards: Mapping[str, Tensors]) -> Path:
    """Make a checkpoint of several files and return its index."""
    for file, tensors in shards.items():
        weights_file(folder / file, tensors)
    return index_file(folder, {name: file for file, tensors in shards.items() for name in tensors})


def index_file(folder: Path, weight_map: Any) -> Path:
    path = folder / INDEX_NAME
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}), encoding="utf-8")
    return path


def many(count: int) -> dict[str, tuple[str, list[int]]]:
    """Return so many tensors, named and shaped as in a model: few shapes, which repeat."""
    kinds = ("self_attn.in_proj", "self_attn.out_proj", "gating.linear_in", "gating.linear_out", "norm1", "norm2")
    shapes = ([192, 64], [64, 64], [352, 64], [64, 176], [1, 1, 64], [1, 1, 64])
    return {
        f"transformer.layers.{number // len(kinds)}.{kinds[number % len(kinds)]}.weight": (
            "BF16",
            shapes[number % len(kinds)],
        )
        for number in range(count)
    }


ENTRY = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
COUNTS = b"%d" % (1 << 63)


def _filled(start: bytes, unit: bytes, end: bytes = b"") -> bytes:
    return start + unit * ((HEADER_CAP - len(start) - len(end)) // len(unit)) + end


def _listed(template: bytes, count: int = MAX_TENSORS - 1) -> bytes:
    return b"{" + b",".join(template.replace(b"N", b"%d" % number) for number in range(count)) + b"}"


HOSTILE: dict[str, Callable[[], bytes]] = {
    "deep": lambda: _filled(b'{"a":', b"["),
    "deep, not too many": lambda: b'{"a":' + b"[" * 500_000,
    "quotes": lambda: _filled(b"{", b'"'),
    "entries without end": lambda: b"{" + b'"":{"dtype":"","shape":[' * 300_000,
    "offsets without end": lambda: b"{" + b'"":{"dtype":"","shape":[],"data_offsets":[0,' * 200_000,
    "one long name": lambda: _filled(b'{"', b"x", b'":' + ENTRY + b"}"),
    "one long name of escapes": lambda: _filled(b'{"', b"\\u0041", b'":' + ENTRY + b"}"),
    "one long number": lambda: _filled(b'{"a":', b"9"),
    "long numbers": lambda: entry_of_shape(b",".join([b"9" * 4300] * 3800)),
    "endless product": lambda: entry_of_shape(COUNTS + (b"," + COUNTS) * 700_000),
    "endless rank": lambda: entry_of_shape(b"1" + b",1" * 1_990_000),
    "wide characters": lambda: '{"\U0001f600":['.encode() + b'"abc",' * 1_990_000 + b"1]}",
    "one name again and again": lambda: _filled(b"{", b'"a":' + ENTRY + b",")[: 53 * 199_000] + b'"a":' + ENTRY + b"}",
    "nothing right": lambda: _listed(b'"N":{"dtyp":"F3","shap":[-1],"data":[0,4]}'),
    "metadata of numbers": lambda: b'{"__metadata__":' + _listed(b'"N":1', 1_000_000) + b"}",
    "small objects": lambda: b'{"a":[' + b'{"a":1},' * 590_000 + b"1]}",
    "no two equal entries": lambda: _listed(b'"N":{"dtype":"U8","shape":[0,N],"data_offsets":[0,0]}'),
    "another layout": lambda: _listed(b'"N": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}'),
}
"""Headers of up to the largest size, each the worst in its own way."""


def entry_of_shape(shape: bytes) -> bytes:
    return b'{"a":{"dtype":"F32","shape":[' + shape + b'],"data_offsets":[0,4]}}'
