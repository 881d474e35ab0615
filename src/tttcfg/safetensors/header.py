"""The header of a safetensors file: names, shapes, dtypes and metadata, every rule of the format checked.

Nothing but the header is read. Differences between this reader and the format's own library, 0.8:

- A duplicate name in the header, an entry or the metadata: refused; the library takes the last tensor.
- Further fields in a tensor's entry: refused; the library drops them, and what they hold is lost.
- An entry that is a list: refused; an accident of the library's parser.
- A dtype that is an object: refused; likewise.
- `"__metadata__": null`: refused; the format says that it maps text to text.
- Spaces before the first brace: refused; the format says that a header begins with it.
- More than 16 MiB of header: refused; the library takes 100 MB.
- More than 200,000 tensors or 2,000,000 values: refused; the library takes any number.
- A file that ends before its data does: read, and reported by `truncated`; the library refuses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import add, sub
from typing import Any

from pydantic_core import from_json

from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.storage import LFS_POINTER, lfs_pointer, opened, read_exactly
from tttcfg.safetensors.violations import DTYPE_BITS as DTYPE_BITS
from tttcfg.safetensors.violations import MAX_TENSORS as MAX_TENSORS
from tttcfg.safetensors.violations import METADATA_KEY, Entries, Tensor, bits_of, has_too_much, read_entries

HEADER_CAP = 16 << 20
"""Most bytes that a header may have; one of 1,500 tensors has some 200,000."""

LENGTH_BYTES = 8
_SMALL = 1 << 20
_METADATA_START = f'{{"{METADATA_KEY}":{{'
_BETWEEN = '","shape":['
_ENTRY = re.compile(r'"([^"]*)":\{"dtype":"([^"]*","shape":\[[^]"]*)\],"data_offsets":\[([^],"]*),([^],"]*)\]\},')


@dataclass(frozen=True, eq=False)
class Header:
    """The tensors that the header of a weights file describes; of several files, those of all their headers together.

    Attributes:
        name: The path or URL, for messages.
        metadata: The `__metadata__` of the file, text by text; empty where it has none.
        data_start: Where the data begins, in bytes; 0 for several files.
        size: The bytes of the whole file, or of all files, as the headers promise.
        truncated: The problem of a file that ends before its data does; else None.
        entries: dtype and shape by tensor; to be read only.
        parts: Of several files, the header of each.
        save: Identifies this save, for a format into which no binding tag can be written; empty for safetensors.
    """

    name: str
    metadata: Mapping[str, str]
    data_start: int
    size: int
    truncated: Problem | None
    entries: Mapping[str, Tensor] = field(repr=False)
    parts: tuple[Header, ...] = field(default=(), repr=False)
    save: str = ""

    @property
    def names(self) -> Collection[str]:
        return self.entries.keys()

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def dtype(self, name: str) -> str:
        return self.entries[name][0]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.entries[name][1]

    @cached_property
    def digest(self) -> str:
        """The digest of names, dtypes and shapes: equal for equal models, however they are laid out and sharded."""
        text = json.dumps(self.entries, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the header of the safetensors file at a path or `Url`, and nothing else of it: first its length, then it.

    Raises:
        InputError: It cannot be read, ends inside its header, or breaks a rule of the format.
    """
    name = os.fspath(path)
    with opened(name) as (file, size):
        length = header_length(read_exactly(file, min(LENGTH_BYTES, size), name), name, size)
        with contextlib.suppress(ValueError):  # of a stream; a server without ranges sends a file from its beginning
            file.seek(0)
        data = read_exactly(file, LENGTH_BYTES + length - file.tell(), name)
    return parse_header(data[len(data) - length :], str(name), size)


def header_length(start: bytes, name: str, file_size: int) -> int:
    """Return the length of a header, which the first eight bytes of its file give.

    Raises:
        InputError: It is beyond the cap or the end of the file.
    """
    if len(start) < LENGTH_BYTES:
        found = f"has {len(start)} bytes, fewer than the 8 that every safetensors file begins with" if start else ""
        raise InputError(_cut(name, found or "is empty"))
    if LFS_POINTER.startswith(start):
        raise InputError(lfs_pointer(name))
    length = int.from_bytes(start, "little")
    if length > HEADER_CAP:
        message = f"declares a header of {length:,} bytes; at most {HEADER_CAP:,} are read (is it safetensors?)"
        raise InputError(Problem("too_large", message, place=Place(name)))
    if LENGTH_BYTES + length > file_size:
        raise InputError(_cut(name, f"ends inside its header, which has {length:,} bytes, after {file_size:,}"))
    return length


def parse_header(data: bytes, name: str, file_size: int) -> Header:
    """Read a header from its bytes, those after the first eight of a file of `file_size` bytes.

    Raises:
        InputError: It breaks a rule of the format; every violation is one problem.
    """
    if len(data) > HEADER_CAP:
        message = f"has a header of {len(data):,} bytes; at most {HEADER_CAP:,} are read"
        raise InputError(Problem("too_large", message, place=Place(name)))
    data_start = LENGTH_BYTES + len(data)
    read = _read_plain(data)
    if read is None or data_start + read[2] < file_size:
        read = read_entries(data, name, file_size)
    entries, metadata, end = read
    size, truncated = data_start + end, None
    if size > file_size:
        truncated = _cut(name, f"has {file_size:,} bytes, and its header promises {size:,}")
    return Header(name, metadata, data_start, size, truncated, entries)


def _cut(name: str, message: str) -> Problem:
    return Problem("truncated", f"{message}; copy or download it again", place=Place(name))


def _read_plain(data: bytes) -> Entries | None:
    """Read a header fast that is laid out as the format's own library writes it; None where this is not certain.

    Every rule is checked, over all tensors at once, and what many tensors have in common, dtype and shape, is checked
    once. Work by tensor would cost too much, and so would objects that the garbage collector tracks: texts are none.
    """
    try:
        if len(data) > _SMALL and has_too_much(data):
            return None
        metadata, rest = _split_metadata(data.decode().rstrip(" \t\r\n"))
        parts = _ENTRY.split(rest[1:-1] + ",")
        names, kinds, begins, ends = (parts[column::5] for column in range(1, 5))
        if any(parts[::5]) or not 0 < len(names) <= MAX_TENSORS or not _is_plain("".join(names)):
            return None  # something is between the entries, or escaped in a name
        tensors, sizes = {}, {}
        for kind in set(kinds):
            tensors[kind], sizes[kind] = _described(kind)
        starts, stops = _wholes(",".join(begins)), _wholes(",".join(ends))
        fitting = list(map(sub, stops, starts)) == list(map(sizes.__getitem__, kinds))
        if starts != [0, *stops[:-1]]:
            starts, stops = _in_order(starts, stops)
        entries = dict(zip(names, map(tensors.__getitem__, kinds), strict=True))
    except (ValueError, KeyError, RecursionError):  # `read_entries` finds out which rule it was
        return None
    if not fitting or starts != [0, *stops[:-1]] or len(entries) != len(names) or METADATA_KEY in entries:
        return None
    return entries, metadata, stops[-1]


def _in_order(starts: list[int], stops: list[int]) -> tuple[list[int], list[int]]:
    """Return spans in the order of their data: sorted by their middles, which only equal empty spans share."""
    middles = list(map(add, starts, stops))
    order = sorted(range(len(starts)), key=middles.__getitem__)
    return [starts[place] for place in order], [stops[place] for place in order]


def _is_plain(text: str) -> bool:
    """Return whether a JSON text holds `text` as it is: nothing escaped, nothing that has to be."""
    return bool(from_json(f'"{text}"') == text)


def _split_metadata(text: str) -> tuple[dict[str, str], str]:
    """Return the metadata that a header begins with, and what follows it, with a comma before the first tensor."""
    if not text.startswith("{") or not text.endswith("}"):
        raise ValueError
    if not text.startswith(_METADATA_START):
        return {}, "," + text[1:]
    metadata, end = _METADATA.raw_decode(text, len(_METADATA_START) - 1)
    if set(map(type, metadata.values())) - {str}:
        raise ValueError
    "".join(chain(metadata, metadata.values())).encode()  # refuses lone surrogates
    if text[end : end + 1] != ",":
        raise ValueError
    return metadata, text[end:]


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError
    return values


_METADATA = json.JSONDecoder(object_pairs_hook=_no_repeats)


def _described(kind: str) -> tuple[Tensor, int]:
    """Return dtype and shape from their text, and how many bytes they take."""
    dtype, _, text = kind.partition(_BETWEEN)
    shape = _wholes(text)
    bits = bits_of(shape, DTYPE_BITS[dtype])
    if bits is None or bits % 8 or max(shape, default=0) >= 1 << 64:
        raise ValueError
    return (dtype, tuple(shape)), bits // 8


def _wholes(text: str) -> list[int]:
    """Return whole numbers from 0 up that commas separate."""
    values: list[int] = from_json(f"[{text}]")
    if "-" in text or set(map(type, values)) - {int}:
        raise ValueError
    return values
