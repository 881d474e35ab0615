"""Every rule of the safetensors format that a header breaks: the slow reader, for what the fast one does not take."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from pydantic_core import from_json

from tttcfg.errors import InputError, Place, Problem, quote

METADATA_KEY = "__metadata__"
MAX_TENSORS = 200_000
"""Most tensors that a checkpoint may have."""

MAX_VALUES = 10 * MAX_TENSORS
"""Most values that a header or an index may hold, by its commas; each takes up to a hundred bytes of memory."""

MAX_VIOLATIONS = 1_000
"""Most violations that are reported of one header."""

_MOST = 1 << 64
_FIELDS = ("dtype", "shape", "data_offsets")

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

Entries = tuple[dict[str, Tensor], dict[str, str], int]
"""Tensors by name, metadata, and where the data of the last tensor ends."""


def read_object(data: bytes, name: str, kind: str, code: str) -> tuple[dict[str, Any], list[Problem]]:
    """Read a JSON object that came from anywhere, and report duplicate names in it.

    Raises:
        InputError: It is not a JSON object, or is too deep or too large to be read.
    """

    def fail(code: str, message: str) -> InputError:
        return InputError(Problem(code, f"{kind} {message}", place=Place(name)))

    if not data.startswith(b"{"):
        found = f"with {quote(data[:1].decode('latin-1'))}" if data else "nowhere: it is empty"
        raise fail(code, f"must begin with '{{' and begins {found}")
    if has_too_much(data):
        raise fail("too_large", f"holds more than {MAX_TENSORS:,} tensors, or {MAX_VALUES:,} values")
    problems: list[Problem] = []
    try:
        from_json(data, allow_inf_nan=False)  # bounds the depth, which Python's own parser does not
        repeats: list[tuple[dict[str, Any], list[str]]] = []
        values = json.loads(data.decode(), object_pairs_hook=lambda pairs: _object(pairs, repeats), parse_int=_integer)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise fail("too_deep", "is nested deeper than the three levels that it may have") from None
        _, at, where = str(error).rpartition(" at ")
        raise fail(code, "is not valid JSON" + at + where * bool(at)) from None
    owners = {id(value): key for key, value in values.items()}
    for inside, names in repeats:
        where = "" if inside is values else f" in {quote(owners[id(inside)])}" if id(inside) in owners else " in one"
        problems += [
            Problem("duplicate_key", f"duplicate name {quote(each)}{where}", place=Place(name)) for each in names
        ]
    return values, problems[:MAX_VIOLATIONS]


def has_too_much(data: bytes) -> bool:
    """Whether a JSON text would take too much memory once parsed; characters inside its texts count as well."""
    return data.count(b",") > MAX_VALUES or data.count(b"{") + data.count(b"[") > 3 * MAX_TENSORS + 3


def _object(pairs: list[tuple[str, Any]], repeats: list[tuple[dict[str, Any], list[str]]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        repeats.append((values, [key for key, count in counts.items() if count > 1]))
    return values


def _integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)  # the format's own parser takes -0 for no whole number


class _Violations:
    """The violations of one header, up to `MAX_VIOLATIONS`."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name, self.problems = name, problems

    def add(self, message: str, tensor: str | None = None, code: str = "safetensors") -> None:
        subject = "" if tensor is None else f"tensor {quote(tensor)} "
        self.problems.append(Problem(code, subject + message, place=Place(self.name)))
        if len(self.problems) >= MAX_VIOLATIONS:
            message = f"has further violations; the first {MAX_VIOLATIONS:,} are listed"
            raise InputError([*self.problems, Problem(code, message, place=Place(self.name))])


def read_entries(data: bytes, name: str, file_size: int) -> Entries:
    """Read a header of any layout, checking every rule one by one.

    Raises:
        InputError: With one problem for each violation.
    """
    values, problems = read_object(data, name, "the header", "safetensors")
    found = _Violations(name, problems)
    metadata = values.pop(METADATA_KEY, {})
    _check_metadata(metadata, found)
    if len(values) > MAX_TENSORS:
        found.add(f"the header names {len(values):,} tensors; at most {MAX_TENSORS:,} are read", code="too_large")
    spans = []
    for tensor, entry in values.items():
        if span := _check_entry(tensor, entry, found):
            spans.append((*span, tensor))
    _check_layout(sorted(spans), len(spans) == len(values), file_size - 8 - len(data), found)
    if problems:
        raise InputError(problems)
    end = max((end for _, end, _ in spans), default=0)
    return {key: (entry["dtype"], tuple(entry["shape"])) for key, entry in values.items()}, metadata, end


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
