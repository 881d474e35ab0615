"""The header of a safetensors file: names, shapes, dtypes and metadata, every rule of the format checked.

Nothing but the header is read. Differences between this reader and the format's own library, 0.8:

- A duplicate name in the header, an entry or the metadata: refused; the library takes the last tensor.
- Further fields in a tensor's entry: refused; the library drops them, and what they hold is lost.
- An entry that is a list: refused; an accident of the library's parser.
- A dtype that is an object: refused; likewise.
- `"__metadata__": null`: refused; by the format it maps text to text.
- Spaces before the first brace: refused; by the format a header begins with it.
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
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from operator import sub
from typing import Any

from pydantic_core import from_json

from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.storage import LFS_POINTER, lfs_pointer, opened, read_exactly
from tttcfg.safetensors.pieces import read_in_pieces
from tttcfg.safetensors.violations import DTYPE_BITS as DTYPE_BITS
from tttcfg.safetensors.violations import MAX_TENSORS as MAX_TENSORS
from tttcfg.safetensors.violations import (
    METADATA_KEY,
    Entries,
    Tensor,
    bits_of,
    follow_each_other,
    has_too_much,
    read_entries,
)
from tttcfg.urls import Url

HEADER_CAP = 16 << 20
"""Most bytes that a header may have; one of 1,500 tensors has some 200,000."""
LENGTH_BYTES = 8
_SMALL = 1 << 20
_MANY = 1000
_METADATA_START, _METADATA_END = f'{{"{METADATA_KEY}":{{'.encode(), b'},"'
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
        """The names of all tensors, in the order of the header."""
        return self.entries.keys()

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def dtype(self, name: str) -> str:
        """Return the type of a tensor by safetensors' name, such as `BF16`.

        Raises:
            KeyError: There is no tensor of this name.
        """
        return self.entries[name][0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the size of a tensor along each of its axes; empty for a scalar.

        Raises:
            KeyError: There is no tensor of this name.
        """
        return self.entries[name][1]

    @cached_property
    def digest(self) -> str:
        """The digest of names, dtypes and shapes: equal for equal models, however they are laid out and sharded."""
        sha, names, separator = hashlib.sha256(b"{"), iter(sorted(self.entries)), ""
        while some := list(islice(names, _MANY)):
            text = json.dumps({name: self.entries[name] for name in some}, separators=(",", ":"))
            sha.update(f"{separator}{text[1:-1]}".encode())
            separator = ","
        sha.update(b"}")
        return f"sha256:{sha.hexdigest()}"


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
    data = data[len(data) - length :]  # and the longer one is not kept
    return parse_header(data, str(name) if isinstance(name, Url) else name, size)


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

    Every rule is checked, over many tensors at once, and what many tensors have in common, dtype and shape, is checked
    once. Work by tensor would cost too much, and so would objects that the garbage collector tracks: texts are none.
    """
    found = _Plain()
    try:
        if len(data) > _SMALL and has_too_much(data):
            return None
        metadata, start = _split_metadata(data)
        if not read_in_pieces(data, found.take, start):
            return None
        return found.entries, metadata, found.checked_end()
    except (ValueError, KeyError, RecursionError, OverflowError):  # `read_entries` finds out which rule it was
        return None


class _Plain:
    """The tensors of a header that were read so far; any doubt is a ValueError."""

    def __init__(self) -> None:
        self.entries: dict[str, Tensor] = {}
        self.starts, self.stops = array("Q"), array("Q")
        self._tensors: dict[str, Tensor] = {}
        self._sizes: dict[str, int] = {}

    def take(self, piece: bytes) -> bool:
        """Read some of the tensors, as an object."""
        parts = _ENTRY.split(f"{piece[1:-1].decode()},")
        names, kinds, begins, ends = (parts[column::5] for column in range(1, 5))
        if any(parts[::5]) or not names or not _is_plain("".join(names)):
            raise ValueError  # something is between the entries, or escaped in a name
        for kind in set(kinds) - self._sizes.keys():
            self._tensors[kind], self._sizes[kind] = _described(kind)
        starts, stops = _wholes(",".join(begins)), _wholes(",".join(ends))
        if list(map(sub, stops, starts)) != list(map(self._sizes.__getitem__, kinds)):
            raise ValueError
        self.starts.extend(starts)
        self.stops.extend(stops)
        self.entries.update(zip(names, map(self._tensors.__getitem__, kinds), strict=True))
        return True

    def checked_end(self) -> int:
        """Return where the data of the last tensor ends, having checked what concerns all of them."""
        if not len(self.entries) == len(self.starts) <= MAX_TENSORS or METADATA_KEY in self.entries:
            raise ValueError
        if not follow_each_other(self.starts, self.stops):
            raise ValueError
        return max(self.stops)


def _is_plain(text: str) -> bool:
    """Return whether a JSON text holds `text` as it is: nothing escaped, nothing that has to be."""
    return bool(from_json(f'"{text}"') == text)


def _split_metadata(data: bytes) -> tuple[dict[str, str], int]:
    """Return the metadata that a header begins with, and where the first tensor begins."""
    if not data.startswith(b"{"):
        raise ValueError
    if not data.startswith(_METADATA_START):
        return {}, 1
    end = data.index(_METADATA_END, len(_METADATA_START) - 1)
    metadata: dict[str, str] = _METADATA.decode(data[len(_METADATA_START) - 1 : end + 1].decode())
    if set(map(type, metadata.values())) - {str}:
        raise ValueError
    "".join(chain(metadata, metadata.values())).encode()  # refuses lone surrogates
    return metadata, end + len(_METADATA_END) - 1


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
