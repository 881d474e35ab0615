"""Tensors to a safetensors file and back, one at a time.

Written by ourselves and not by safetensors.torch.save_file: that wants a copy of whatever stands under two names, holds
all tensors in memory at once, and writes metadata in an order that changes. The bytes are those that it would write.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from tttcfg.errors import InputError
from tttcfg.files.durable import new_file, write_all
from tttcfg.files.storage import unreadable
from tttcfg.safetensors.header import LENGTH_BYTES, Header, parse_header
from tttcfg.safetensors.metadata import header_bytes

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
SAMPLED = 64
"""Numbers of every tensor, and less than twice as many, that a sample takes: weights are too large to be hashed."""


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a type in configurations."""
    return str(dtype).removeprefix("torch.")


def dtype_named(name: Any) -> torch.dtype | None:
    """Return the floating-point type of a name; None where there is none."""
    found = getattr(torch, str(name), None)
    return found if isinstance(found, torch.dtype) and found.is_floating_point else None


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
) -> list[str]:
    """Write a new file, durably; floating-point tensors in `dtype`, if given.

    Returns:
        The names of tensors that hold, as they were written, non-finite numbers.
    """
    non_finite = []
    start, _ = _start(tensors, dtype, metadata)
    with new_file(path) as descriptor:
        write_all(descriptor, start)
        for name in _order(tensors, dtype):
            tensor = tensors[name]
            plain = tensor.detach().to(device="cpu", dtype=stored(tensor, dtype)).contiguous()
            if plain.nbytes:
                write_all(descriptor, memoryview((ctypes.c_ubyte * plain.nbytes).from_address(plain.data_ptr())))
                if plain.is_floating_point() and not all(map(math.isfinite, map(float, torch.aminmax(plain)))):
                    non_finite.append(name)
    return non_finite


def digest_of_sample(tensors: Iterable[tuple[str, torch.Tensor]], dtype: torch.dtype | None = None) -> str:
    """Return a digest of the tensors of a file: names, types, shapes, and numbers spread evenly over each.

    The same tensors have the same one wherever they lie; training that moves any of these numbers makes another.
    """
    found = {}
    for name, tensor in tensors:
        numbers = tensor.detach().flatten()
        numbers = numbers[:: (len(numbers) // SAMPLED) | 1]  # odd, else it would stay in one column of a matrix
        kind = stored(tensor, dtype)
        plain = numbers.to(device="cpu", dtype=kind).contiguous()
        if kind.is_floating_point:  # what bits NaN has after a conversion depends on how numbers lie in memory
            plain = plain.masked_fill(plain.isnan(), math.nan)
        found[name] = [str(kind), *tensor.shape, bytes(plain.view(torch.uint8).tolist()).hex()]
    return f"sha256:{hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()}"


@contextmanager
def reading(path: str) -> Iterator[Callable[[str], torch.Tensor]]:
    """Open a file, and yield what reads one of its tensors by name, on the CPU.

    Raises:
        InputError: It cannot be read.
    """
    with _as_input(path):
        opened = safe_open(path, framework="pt", device="cpu")
    with opened as file:

        def tensor_of(name: str) -> torch.Tensor:
            with _as_input(path):
                found: torch.Tensor = file.get_tensor(name)
                return found

        yield tensor_of


@contextmanager
def _as_input(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise InputError(unreadable(path, error)) from None


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
