"""Tensors to a safetensors file and back, one at a time.

Written by ourselves and not by safetensors.torch.save_file: that wants a copy of whatever stands under two names, holds
all tensors in memory at once, and writes metadata in an order that changes. The bytes are those that it would write.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from safetensors import safe_open

from tttcfg.durable import new_file, write_all
from tttcfg.weights.header import LENGTH_BYTES, Header, parse_header
from tttcfg.weights.rewriting import header_bytes

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The types that are written, and their names in a header."""


def stored(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.dtype:
    """Return the type that a tensor is written in, where floating-point ones are to be in `dtype`."""
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype


def header_of(name: str, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None = None) -> Header:
    """Return the header that a file of these tensors has; they may be on the meta device."""
    start, size = _start(tensors, dtype, {})
    return parse_header(start[LENGTH_BYTES:], name, len(start) + size)


def write_tensors(
    path: str,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a new file, durably; floating-point tensors in `dtype`, if given."""
    start, _ = _start(tensors, dtype, metadata)
    with new_file(path) as descriptor:
        write_all(descriptor, start)
        for name in _order(tensors, dtype):
            tensor = tensors[name]
            plain = tensor.detach().to(device="cpu", dtype=stored(tensor, dtype)).contiguous()
            if plain.nbytes:
                write_all(descriptor, memoryview((ctypes.c_ubyte * plain.nbytes).from_address(plain.data_ptr())))


@contextmanager
def reading(path: str) -> Iterator[Callable[[str], torch.Tensor]]:
    """Open a file, and yield what reads one of its tensors by name, on the CPU."""
    with safe_open(path, framework="pt", device="cpu") as file:
        get: Callable[[str], torch.Tensor] = file.get_tensor
        yield get


def _order(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None) -> list[str]:
    """Return the names as the format's library orders them: wide types first, so that all are aligned."""
    return sorted(tensors, key=lambda name: (-stored(tensors[name], dtype).itemsize, name))


def _start(
    tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None, metadata: Mapping[str, str]
) -> tuple[bytes, int]:
    """Return what a file begins with, and how many bytes of data follow."""
    entries, end = {}, 0
    for name in _order(tensors, dtype):
        kind = stored(tensors[name], dtype)
        begin, end = end, end + tensors[name].numel() * kind.itemsize
        entries[name] = {"dtype": DTYPES[kind], "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    return header_bytes(json.dumps(entries).encode(), metadata), end
