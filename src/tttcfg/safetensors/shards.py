"""Weights as one: a single file, or the files that an index names, each held against what the index says of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.files.storage import LFS_POINTER, lfs_pointer, open_regular, remote, unreadable
from tttcfg.safetensors.header import (
    HEADER_CAP,
    LENGTH_BYTES,
    MAX_TENSORS,
    Header,
    header_length,
    parse_header,
    read_exactly,
    read_header,
)
from tttcfg.safetensors.violations import MAX_VIOLATIONS, Tensor, read_object
from tttcfg.urls import Url, address

INDEX_NAME = "model.safetensors.index.json"
TOTAL_CAP = 2 * HEADER_CAP
"""Most bytes that the headers of all files may have together; those of the most tensors have some 27 MB."""
_INDEX_SUFFIX = ".json"
_MAP_KEY = "weight_map"
_SPACE = b" \t\r\n"


def read_weights(path: str | os.PathLike[str]) -> Header:
    """Read what is known of weights from the headers alone: of a .safetensors file, or of all that an index names.

    The path may be a URL, for which fsspec has to be installed.

    Raises:
        InputError: A file cannot be read or breaks a rule of the format, or the index and its files disagree.
    """
    name = address(path)
    if isinstance(name, Url):
        return _read_url(name)
    return read_index(name) if is_index(name) else read_header(name)


def _read_url(url: Url) -> Header:
    """Read the header of the safetensors file at `url`, or the headers of all files that the index there names.

    Only ever for a URL that a person gave: one out of a configuration file must not be opened.

    Raises:
        InputError: It cannot be read, breaks a rule of the format, or would run more than a read.
    """
    if not is_index(url):
        return _read_file_at(url)
    with remote(url).opened(url) as (file, size):
        check_index_size(size, url)
        data = remote(url).exactly(file, size, url)
    return merged(data, str(url), lambda name: _read_file_at(url.beside(name)))


def _read_file_at(url: Url) -> Header:
    """Read one header: its length, then itself; nothing is read ahead."""
    there = remote(url)
    with there.opened(url) as (file, size):
        length = header_length(there.exactly(file, min(LENGTH_BYTES, size), url), url, size)
        with contextlib.suppress(
            ValueError
        ):  # a server without ranges gives a file from its beginning only, or a stream
            file.seek(0)
        data = there.exactly(file, LENGTH_BYTES + length - file.tell(), url)
    return parse_header(data[-length:] if length else b"", str(url), size)


def is_index(path: str) -> bool:
    return path.endswith(_INDEX_SUFFIX)


def read_index(name: str) -> Header:
    """Read the headers of all files that the index at `name` names; they lie beside it, as files or as links.

    Links are followed wherever they lead: whoever made them, a hub's cache for one, may put files where it likes. It
    is the index that may name nothing outside.

    Raises:
        InputError: With every problem of the index and of all its files.
    """
    data = _index_bytes(name)
    folder = os.path.dirname(name)
    files: dict[tuple[int, int], str] = {}

    def read(file: str) -> Header:
        path = os.path.join(folder, file)
        with contextlib.suppress(OSError):  # reading it says what is wrong
            status = os.stat(path)
            first = files.setdefault((status.st_dev, status.st_ino), file)
            if first != file:
                raise InputError(Problem("shards", f"is the same file as {quote(first)}", place=Place(path)))
        return read_header(path)

    return merged(data, name, read)


def _index_bytes(name: str) -> bytes:
    descriptor, status = open_regular(name)
    try:
        check_index_size(status.st_size, name)
        return read_exactly(descriptor, status.st_size)
    except OSError as error:
        raise InputError(unreadable(name, error)) from None
    finally:
        os.close(descriptor)


def is_index_of(name: str, file: str) -> bool:
    """Whether the index at `name` says nothing more than that all tensors are in the file beside it, `file`."""
    try:
        homes, problems = _weight_map(_index_bytes(name), name)
    except InputError:
        return False
    return not problems and set(homes.values()) == {os.path.basename(file)}


def check_index_size(size: int, name: str) -> None:
    if size > HEADER_CAP:
        message = f"has {size:,} bytes; an index may have {HEADER_CAP:,}"
        raise InputError(Problem("too_large", message, place=Place(name)))


def merged(data: bytes, name: str, read: Callable[[str], Header]) -> Header:
    """Return the tensors of all files that an index names, from its bytes.

    Args:
        read: Reads the header of the file of a plain name.
    """
    homes, problems = _weight_map(data, name)
    headers: dict[str, Header] = {}
    tensors = length = 0
    for file in dict.fromkeys(homes.values()):
        if not _is_plain_name(file):
            message = f"{_MAP_KEY} names the file {quote(file)}; a file of a checkpoint lies beside its index"
            problems.append(Problem("shards", message, place=Place(name)))
            continue
        try:
            headers[file] = read(file)
        except InputError as error:
            problems += error.problems
            if len(problems) >= MAX_VIOLATIONS:
                raise InputError(problems) from None
            continue
        tensors, length = tensors + len(headers[file]), length + headers[file].data_start
        if tensors > MAX_TENSORS or length > TOTAL_CAP:
            caps = f"{MAX_TENSORS:,} tensors, or of headers of {TOTAL_CAP:,} bytes together"
            message = f"names files of more than {caps}"
            raise InputError([*problems, Problem("too_large", message, place=Place(name))])
    problems += _disagreements(homes, headers)
    if problems:
        raise InputError(problems)
    return _joined(name, list(headers.values()))


def _weight_map(data: bytes, name: str) -> tuple[dict[str, str], list[Problem]]:
    """Return which file holds each tensor, as the index says."""
    if data.startswith(LFS_POINTER):
        raise InputError(lfs_pointer(name))
    values, problems = read_object(data.lstrip(_SPACE), name, "the index", "shards")
    found = values.get(_MAP_KEY)
    if not isinstance(found, dict) or not found:
        said = f"is {quote(found)}" if _MAP_KEY in values else "is missing"
        message = f"{_MAP_KEY} {said}; it must say in which file each tensor is"
        raise InputError([*problems, Problem("shards", message, place=Place(name))])
    for tensor, file in found.items():
        if not isinstance(file, str):
            message = f"{_MAP_KEY} puts tensor {quote(tensor)} in {quote(file)}, which is no file name"
            problems.append(Problem("shards", message, place=Place(name)))
    return {tensor: file for tensor, file in found.items() if isinstance(file, str)}, problems


def _is_plain_name(file: str) -> bool:
    return file.isprintable() and file not in ("", ".", "..") and not set(file) & set("/\\:?#%")


def _disagreements(homes: Mapping[str, str], headers: Mapping[str, Header]) -> list[Problem]:
    """Name every tensor that is not exactly where the index puts it; of files that could not be read, nothing."""
    problems = []
    for tensor, file in homes.items():
        if file in headers and tensor not in headers[file]:
            message = f"lacks tensor {quote(tensor)}, which the index puts there"
            problems.append(Problem("shards", message, place=Place(headers[file].name)))
    first: dict[str, Header] = {}
    for file, header in headers.items():
        place = Place(header.name)
        for tensor in header.names:
            if tensor in first:
                message = f"holds tensor {quote(tensor)}, and so does {first[tensor].name}"
                problems.append(Problem("shards", message, place=place))
            elif tensor not in homes:
                message = f"holds tensor {quote(tensor)}, which the index does not name"
                problems.append(Problem("shards", message, place=place))
            elif homes[tensor] != file:
                message = f"holds tensor {quote(tensor)}, which the index puts in {quote(homes[tensor])}"
                problems.append(Problem("shards", message, place=place))
            first.setdefault(tensor, header)
    return problems


def _joined(name: str, headers: list[Header]) -> Header:
    entries: dict[str, Tensor] = {}
    for header in headers:
        entries.update(header.entries)
    cut = [header.truncated for header in headers if header.truncated]
    truncated = cut[0] if cut else None
    if len(cut) > 1:
        truncated = cut[0]._replace(
            message=f"{cut[0].message}; {len(cut) - 1} more files of the checkpoint are as short"
        )
    first, *others = (header.metadata for header in headers)
    metadata = {key: text for key, text in first.items() if all(other.get(key) == text for other in others)}
    return Header(name, metadata, 0, sum(header.size for header in headers), truncated, entries, tuple(headers))
