"""Every rule of the safetensors format that a header breaks: the slow reader, for what the fast one does not take."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from operator import add
from typing import Any

from pydantic_core import from_json

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.safetensors.pieces import read_in_pieces

METADATA_KEY = "__metadata__"
MAX_TENSORS = 200_000
"""Most tensors that a checkpoint may have."""
MAX_VALUES = 10 * MAX_TENSORS
"""Most values that a header or an index may hold, by its commas; each takes up to a hundred bytes of memory."""
MAX_VIOLATIONS = 1_000
"""Most violations that are reported of one header."""

_MOST = 1 << 64
_FIELDS = ("dtype", "shape", "data_offsets")
_WHOLE = {int}
_HEADER = ("the header", "safetensors")

_DTYPES = {
    4: ("F4",),
    6: ("F6_E2M3", "F6_E3M2"),
    8: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
    16: ("I16", "U16", "F16", "BF16"),
    32: ("I32", "U32", "F32"),
    64: ("C64", "F64", "I64", "U64"),
}
DTYPE_BITS = {dtype: bits for bits, dtypes in _DTYPES.items() for dtype in dtypes}
"""The bits of one element of every dtype that version 0.8 of the format knows."""

Tensor = tuple[str, tuple[int, ...]]
"""A dtype and a shape."""
Repeats = list[tuple[dict[str, Any], list[str]]]
Entries = tuple[dict[str, Tensor], dict[str, str], int]
"""Tensors by name, metadata, and where the data of the last tensor ends."""


def read_object(data: bytes, name: str, kind: str, code: str) -> tuple[dict[str, Any], list[Problem]]:
    """Read a JSON object that came from anywhere, and report duplicate names in it.

    Raises:
        InputError: It is not a JSON object, or is too deep or too large to be read.
    """
    _check_start(data, name, kind, code)
    try:
        values, repeats = _parsed(data)
    except ValueError as error:
        if "recursion limit" in str(error):
            message = f"{kind} is nested deeper than the three levels that it may have"
            raise InputError(Problem("too_deep", message, place=Place(name))) from None
        _, at, where = str(error).rpartition(" at ")
        message = f"{kind} is not valid JSON" + at + where * bool(at)
        raise InputError(Problem(code, message, place=Place(name))) from None
    return values, list(islice(_duplicates(values, repeats, name), MAX_VIOLATIONS))


def _check_start(data: bytes, name: str, kind: str, code: str) -> None:
    """Raise where bytes begin no JSON object, or one that is too large."""
    if not data.startswith(b"{"):
        found = f"with {quote(data[:1].decode('latin-1'))}" if data else "nowhere: it is empty"
        raise InputError(Problem(code, f"{kind} must begin with '{{' and begins {found}", place=Place(name)))
    if has_too_much(data):
        message = f"{kind} holds more than {MAX_TENSORS:,} tensors, or {MAX_VALUES:,} values"
        raise InputError(Problem("too_large", message, place=Place(name)))


def _parsed(data: bytes) -> tuple[dict[str, Any], Repeats]:
    """Return a JSON object, and the objects in it that have a name twice, each with those names."""
    from_json(data, allow_inf_nan=False)  # bounds the depth, which Python's own parser does not
    repeats: Repeats = []

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeats.append((values, [key for key, count in counts.items() if count > 1]))
        return values

    number = _integer if b"-0" in data else int  # which is far faster
    return json.loads(data.decode(), object_pairs_hook=without_repeats, parse_int=number), repeats


def _plain_members(piece: bytes) -> dict[str, Any] | None:
    """Return an object of flat entries with three members each, of which none is there twice; None for any other.

    Python's parser takes the last of two equal names, so colons and brackets are counted.
    """
    if b"\\" in piece or b"-" in piece:
        return None
    try:
        values: dict[str, Any] = json.loads(piece.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if set(map(type, values.values())) != {dict} or set(map(len, values.values())) != {len(_FIELDS)}:
        return None
    count = len(values)
    colons = (1 + len(_FIELDS)) * count + "".join(values).count(":")
    counted = piece.count(b":"), piece.count(b"{"), piece.count(b"[")
    return values if counted == (colons, count + 1, 2 * count) else None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _duplicates(values: dict[str, Any], repeats: Repeats, name: str) -> Iterator[Problem]:
    owners = {id(value): key for key, value in values.items()} if repeats else {}
    for inside, names in repeats:
        where = "" if inside is values else f" in {quote(owners[id(inside)])}" if id(inside) in owners else " in one"
        for each in names:
            yield Problem("duplicate_key", f"duplicate name {quote(each)}{where}", place=Place(name))


def has_too_much(data: bytes) -> bool:
    """Whether a JSON text would take too much memory once parsed; characters inside its texts count as well."""
    return data.count(b",") > MAX_VALUES or data.count(b"{") + data.count(b"[") > 3 * MAX_TENSORS + 3


def _integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)  # the format's own parser takes -0 for no whole number


class _Violations:
    """The violations of one header, up to `MAX_VIOLATIONS`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []

    def add(self, message: str, tensor: str | None = None, code: str = "safetensors") -> None:
        subject = "" if tensor is None else f"tensor {quote(tensor)} "
        self.append(Problem(code, subject + message, place=Place(self.name)))

    def append(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= MAX_VIOLATIONS:
            message = f"has further violations; the first {MAX_VIOLATIONS:,} are listed"
            raise InputError([*self.problems, Problem(problem.code, message, place=Place(self.name))])


def read_entries(data: bytes, name: str, file_size: int) -> Entries:
    """Read a header of any layout, checking every rule one by one.

    Raises:
        InputError: With one problem for each violation.
    """
    _check_start(data, name, *_HEADER)
    read = _Reader(name)
    if not read_in_pieces(data, read.take):
        values, _ = read_object(data, name, *_HEADER)  # which raises: it is valid JSON where its pieces are
        read = _Reader(name)
        read.take_all(values)
    if len(read.entries) > MAX_TENSORS:
        message = f"the header names {len(read.entries):,} tensors; at most {MAX_TENSORS:,} are read"
        read.found.add(message, code="too_large")
    read.check_layout(file_size - 8 - len(data))
    if read.found.problems:
        raise InputError(sorted(read.found.problems, key=lambda one: one.code == "safetensors"))
    return read.entries, read.metadata or {}, max(read.ends, default=0)


class _Reader:
    """Reads the members of a header piece by piece, and keeps what a header is made of; lists what breaks a rule."""

    def __init__(self, name: str) -> None:
        self.found = _Violations(name)
        self.entries: dict[str, Tensor] = {}
        self.metadata: dict[str, str] | None = None
        self.begins, self.ends = array("Q"), array("Q")
        self._placed: list[str] = []
        self._sizes: dict[Tensor, tuple[Tensor, int]] = {}

    def take(self, piece: bytes) -> bool:
        """Read some members, as an object; return whether it is valid JSON."""
        values, repeats = _plain_members(piece), Repeats()
        if values is None:
            try:
                values, repeats = _parsed(piece)
            except ValueError:
                return False
        for problem in _duplicates(values, repeats, self.found.name):
            self.found.append(problem)
        self.take_all(values)
        return True

    def take_all(self, values: dict[str, Any]) -> None:
        for tensor, entry in values.items():
            is_metadata = tensor == METADATA_KEY
            if tensor in self.entries or (is_metadata and self.metadata is not None):
                self.found.add(f"duplicate name {quote(tensor)}", code="duplicate_key")
            if is_metadata:
                _check_metadata(entry, self.found)
                self.metadata = entry
            else:
                self._take(tensor, entry)

    def _take(self, tensor: str, entry: Any) -> None:
        """Add one entry, or its violations; a dtype and shape that were in order need no second check."""
        known, before = self._known(entry), len(self.found.problems)
        if known is None or entry["data_offsets"][1] - entry["data_offsets"][0] != known[1]:
            span = _check_entry(tensor, entry, self.found)
            if len(self.found.problems) > before:
                known = ("", ()), 0  # nothing is returned beside a violation
            else:
                described = (entry["dtype"], tuple(entry["shape"]))
                known = self._sizes.setdefault(described, (described, span[1] - span[0] if span else 0))
        else:
            span = entry["data_offsets"]
        self.entries[tensor] = known[0]
        if span is not None:
            self.begins.append(span[0])
            self.ends.append(span[1])
            self._placed.append(tensor)

    def _known(self, entry: Any) -> tuple[Tensor, int] | None:
        """Return what an entry describes, and the bytes that it takes, if its like was in order before."""
        if type(entry) is not dict or len(entry) != len(_FIELDS):
            return None
        dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if type(dtype) is not str or type(shape) is not list or type(span) is not list or len(span) != 2:
            return None
        if set(map(type, (*shape, *span))) != _WHOLE or min(span) < 0 or span[1] >= _MOST:
            return None
        return self._sizes.get((dtype, tuple(shape)))

    def check_layout(self, room: int) -> None:
        """Add holes and overlaps between the data of tensors, and bytes after the last where all spans are known."""
        complete = len(self._placed) == len(self.entries)
        if not (complete and follow_each_other(self.begins, self.ends) and room <= max(self.ends, default=0)):
            spans = sorted(zip(self.begins, self.ends, self._placed, strict=True))
            _check_layout(spans, complete, room, self.found)


def follow_each_other(starts: Sequence[int], stops: Sequence[int]) -> bool:
    """Return whether spans begin at 0 and leave no hole and no overlap, in whatever order they are given."""
    if not starts or (starts[0] == 0 and starts[1:] == stops[:-1]):
        return True
    middles = list(map(add, starts, stops))  # which only empty spans share, and those of an overlap
    order = sorted(range(len(starts)), key=middles.__getitem__)
    return starts[order[0]] == 0 and all(stops[one] == starts[following] for one, following in pairwise(order))


def _check_metadata(metadata: Any, found: _Violations) -> None:
    if not isinstance(metadata, dict):
        found.add(f"{METADATA_KEY} must map text to text and is {quote(metadata)}")
        return
    for key, value in metadata.items():
        if not isinstance(value, str):
            found.add(f"{METADATA_KEY} must map text to text; {quote(key)} is {quote(value)}")


def _check_entry(tensor: str, entry: Any, found: _Violations) -> tuple[int, int] | None:
    """Add the violations of one entry alone; return its span where it has one."""
    if not isinstance(entry, dict):
        found.add(f"must be described by an object and is {quote(entry)}", tensor)
        return None
    for field in _FIELDS:
        if field not in entry:
            found.add(f"lacks its {field}", tensor)
    for field in entry:
        if field not in _FIELDS:
            found.add(f"has {quote(field)}, which is not a field of the format", tensor)
    fields: list[Any] = [entry.get(field) for field in _FIELDS]
    dtype, shape, span = fields
    sized = isinstance(dtype, str) and dtype in DTYPE_BITS and "shape" in entry
    if "dtype" in entry and not (isinstance(dtype, str) and dtype in DTYPE_BITS):
        found.add(f"has the dtype {quote(dtype)}, which the format does not know", tensor)
    if "shape" in entry and not _is_counts(shape):
        found.add(f"has the shape {quote(shape)}; it must be a list of whole numbers from 0 to 2^64 - 1", tensor)
        sized = False
    if "data_offsets" not in entry:
        return None
    if not (_is_counts(span) and len(span) == 2 and span[0] <= span[1]):
        message = f"has the data_offsets {quote(span)}; they must be two whole numbers, the first not the larger"
        found.add(message, tensor)
        return None
    if sized:
        _check_span(tensor, dtype, shape, span, found)
    return span[0], span[1]


def _check_span(tensor: str, dtype: str, shape: list[int], span: list[int], found: _Violations) -> None:
    bits = bits_of(shape, DTYPE_BITS[dtype])
    if bits is not None and bits == 8 * (span[1] - span[0]):
        return
    described = f"is {dtype} of shape {quote(shape)}, which"
    if bits is None:
        found.add(f"{described} is more than 2^64 bits", tensor)
    elif bits % 8:
        found.add(f"{described} takes {bits:,} bits and so no whole number of bytes", tensor)
    else:
        taken = f"its data_offsets {quote(span)} span {span[1] - span[0]:,}"
        found.add(f"{described} takes {bits // 8:,} bytes; {taken}", tensor)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(count) is int and 0 <= count < _MOST for count in value)


def bits_of(shape: list[int], bits: int) -> int | None:
    """Return the bits of a tensor, or None where the product, dimension by dimension, leaves 64 bits.

    A zero after the dimension that leaves 64 bits changes nothing: the format's own library stops there.
    """
    product = 1
    for count in (*shape, bits):
        product *= count
        if product >= _MOST:
            return None
    return product


def _check_layout(spans: list[tuple[int, int, str]], complete: bool, room: int, found: _Violations) -> None:
    """Add holes and overlaps between the data of tensors, and bytes after the last where all spans are known."""
    reached, before = 0, ""
    for begin, end, tensor in spans:
        if begin > reached and complete:
            found.add(f"begins at byte {begin:,}; the {begin - reached:,} before it belong to no tensor", tensor)
        elif begin < reached:
            found.add(f"begins at byte {begin:,}, before the end of tensor {quote(before)} at {reached:,}", tensor)
        if end >= reached:
            reached, before = end, tensor
    if complete and room > reached:
        found.add(f"has {room - reached:,} bytes after its last tensor that belong to none")
