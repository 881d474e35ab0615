"""Tensors to a safetensors file and back, one at a time.

Not written by safetensors.torch.save_file, which refuses a tensor that has two names, holds all tensors in memory at
once, and writes metadata in an order that changes. The bytes are those that it would write.
Not read by its safe_open either, whose tensors on the CPU are the file itself: they change when it is overwritten, and
the process is killed when it is cut. Every tensor that is read here has its own memory.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.storage import new_file, opened, read_exactly, write_all
from tttcfg.safetensors.header import LENGTH_BYTES, Header, header_length, parse_header
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
_READ = {name: dtype for dtype, name in DTYPES.items()} | {
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}
"""The types that are read: those that other programs write as well."""
SAMPLED = 64
"""Numbers of every tensor, and less than twice as many, that a sample takes: weights are too large to be hashed."""
_SMALL = 1 << 14
"""Bytes up to which a tensor is read whole for its sample."""


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
    samples = ((name, tensor.shape, _sample(tensor)) for name, tensor in tensors)
    return _digest((name, shape, numbers.to(stored(numbers, dtype))) for name, shape, numbers in samples)


def digest_of_stored(files: Iterable[TensorFile]) -> str:
    """Return the same digest of tensors in files, of which little more is read than what it is of."""
    return _digest((name, file.header.shape(name), file.sample(name)) for file in files for name in file.header.names)


def _digest(samples: Iterable[tuple[str, Iterable[int], torch.Tensor]]) -> str:
    found = {}
    for name, shape, numbers in samples:
        plain = numbers.cpu().contiguous()
        if plain.is_floating_point():  # what bits NaN has after a conversion depends on how numbers lie in memory
            plain = plain.masked_fill(plain.isnan(), math.nan)
        found[name] = [str(plain.dtype), *shape, bytes(plain.view(torch.uint8).tolist()).hex()]
    return f"sha256:{hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()}"


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    numbers = tensor.detach().flatten()
    return numbers[:: _step(len(numbers))]


def _step(count: int) -> int:
    """Return how far apart the numbers of a sample are: an odd number, else they would all be in one column."""
    return (count // SAMPLED) | 1


class TensorFile:
    """A safetensors file that is open.

    Args:
        descriptor: The file, open as long as this is used.
        header: Its header.
        starts: Where each tensor begins, in bytes from the beginning of the file.
    """

    def __init__(self, descriptor: int, header: Header, starts: Mapping[str, int]) -> None:
        self.header, self._descriptor, self._starts = header, descriptor, starts

    def tensor(self, name: str) -> torch.Tensor:
        """Read one tensor into memory of its own, on the CPU.

        Raises:
            InputError: It cannot be read, or torch has no such type.
        """
        found = torch.empty(self.header.shape(name), dtype=self._dtype(name))
        if found.nbytes:
            memory = memoryview((ctypes.c_ubyte * found.nbytes).from_address(found.data_ptr()))
            self._read(memory, self._starts[name])
        return found

    def sample(self, name: str) -> torch.Tensor:
        """Read the numbers of one tensor that a sample takes: of a large one, only those are read."""
        count, dtype = math.prod(self.header.shape(name)), self._dtype(name)
        if count * dtype.itemsize <= _SMALL:
            return _sample(self.tensor(name))
        places = range(0, count, _step(count))
        data = bytearray(len(places) * dtype.itemsize)
        for number, place in enumerate(places):
            own = memoryview(data)[number * dtype.itemsize : (number + 1) * dtype.itemsize]
            self._read(own, self._starts[name] + place * dtype.itemsize)
        return torch.frombuffer(data, dtype=dtype)

    def _dtype(self, name: str) -> torch.dtype:
        kind = self.header.dtype(name)
        if kind not in _READ:
            message = f"is stored as {kind}, which torch cannot hold"
            raise InputError(Problem("unreadable", message, name, Place(self.header.name)))
        return _READ[kind]

    def _read(self, memory: memoryview, start: int) -> None:
        while memory:
            count = os.preadv(self._descriptor, [memory], start)
            if not count:
                message = f"ends at byte {start:,}, and its header promises {self.header.size:,}"
                advice = "it was cut while it was read; copy or download it again"
                raise InputError(Problem("truncated", message, place=Place(self.header.name), advice=advice))
            memory, start = memory[count:], start + count


@contextmanager
def reading(path: str) -> Iterator[TensorFile]:
    """Open a file, and yield what reads its tensors.

    Raises:
        InputError: It cannot be read, or breaks a rule of the format.
    """
    with opened(path) as (file, size):
        length = header_length(read_exactly(file, min(LENGTH_BYTES, size), path), path, size)
        data = read_exactly(file, length, path)
        header = parse_header(data, path, size)
        if header.truncated is not None:
            raise InputError(header.truncated)
        entries = json.loads(data)
        starts = {name: header.data_start + entries[name]["data_offsets"][0] for name in header.names}
        yield TensorFile(file.fileno(), header, starts)


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
