"""Weights of one file, or of the files that an index names, each checked against the index."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.files.open_folder import beside
from tttcfg.files.storage import LFS_POINTER, lfs_pointer, opened, read_exactly
from tttcfg.safetensors.header import HEADER_CAP, MAX_TENSORS, Header, read_header
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

    The path may be a URL that the user gave, for which fsspec has to be installed; a URL in a file is never opened. The
    files of a local index are beside it, as files or as links. Links are followed wherever they lead, as a hub's cache
    has them; the index itself may name nothing outside its folder.

    Raises:
        InputError: A file cannot be read or breaks a rule of the format, or the index and its files disagree: with
            every problem of the index and of all its files.
    """
    name = address(path)
    if not is_index(name):
        return read_header(name)
    data = _index_bytes(name)
    if isinstance(name, Url):
        return merged(data, str(name), lambda file: read_header(name.beside(file)))
    files: dict[tuple[int, int], str] = {}

    def read(file: str) -> Header:
        path = beside(name, file)
        with contextlib.suppress(OSError):  # read_header reports it
            status = os.stat(path)
            first = files.setdefault((status.st_dev, status.st_ino), file)
            if first != file:
                raise InputError(Problem("shards", f"is the same file as {quote(first)}", place=Place(path)))
        return read_header(path)

    return merged(data, name, read)


def is_index(path: str) -> bool:
    return path.endswith(_INDEX_SUFFIX)


def is_index_of(name: str, file: str) -> bool:
    """Whether the index at `name` only states that all tensors are in `file`, beside it."""
    try:
        homes, problems = _weight_map(_index_bytes(name), name)
    except InputError:
        return False
    return not problems and set(homes.values()) == {os.path.basename(file)}


def _index_bytes(name: str) -> bytes:
    with opened(name) as (file, size):
        if size > HEADER_CAP:
            message = f"has {size:,} bytes; an index may have {HEADER_CAP:,}"
            raise InputError(Problem("too_large", message, place=Place(name)))
        return read_exactly(file, size, name)


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
            message = f"{_MAP_KEY} names the file {quote(file)}; a file of a checkpoint is beside its index"
            _add(problems, [Problem("shards", message, place=Place(name))])
            continue
        try:
            headers[file] = read(file)
        except InputError as error:
            _add(problems, error.problems)
            continue
        tensors, length = tensors + len(headers[file]), length + headers[file].data_start
        if tensors > MAX_TENSORS or length > TOTAL_CAP:
            caps = f"{MAX_TENSORS:,} tensors, or of headers of {TOTAL_CAP:,} bytes together"
            message = f"names files of more than {caps}"
            raise InputError([*problems, Problem("too_large", message, place=Place(name))])
    _add(problems, _disagreements(homes, headers))
    if problems:
        raise InputError(problems)
    return _joined(name, list(headers.values()))


def _weight_map(data: bytes, name: str) -> tuple[dict[str, str], list[Problem]]:
    """Return the file of each tensor by the index, and the problems of the index."""
    if data.startswith(LFS_POINTER):
        raise InputError(lfs_pointer(name))
    values, problems = read_object(data.lstrip(_SPACE), name, "the index", "shards")
    found = values.get(_MAP_KEY)
    if not isinstance(found, dict) or not found:
        state = f"is {quote(found)}" if _MAP_KEY in values else "is missing"
        message = f"{_MAP_KEY} {state}; it must map each tensor to its file"
        raise InputError([*problems, Problem("shards", message, place=Place(name))])
    names: dict[str, str] = {}
    for tensor, file in found.items():
        if isinstance(file, str):
            found[tensor] = names.setdefault(file, file)  # one text for all tensors of a file
        else:
            message = f"{_MAP_KEY} puts tensor {quote(tensor)} in {quote(file)}, which is not a file name"
            _add(problems, [Problem("shards", message, place=Place(name))])
    return found if not problems else {key: file for key, file in found.items() if isinstance(file, str)}, problems


def _add(problems: list[Problem], more: Iterable[Problem]) -> None:
    """Add problems, or raise an InputError once there are `MAX_VIOLATIONS`."""
    for problem in more:
        problems.append(problem)
        if len(problems) >= MAX_VIOLATIONS:
            raise InputError(problems)


def _is_plain_name(file: str) -> bool:
    return file.isprintable() and file not in ("", ".", "..") and not set(file) & set("/\\:?#%")


def _disagreements(homes: Mapping[str, str], headers: Mapping[str, Header]) -> Iterator[Problem]:
    """Yield a problem for every tensor that is not where the index puts it; unreadable files are skipped."""
    for tensor, file in homes.items():
        if file in headers and tensor not in headers[file]:
            message = f"lacks tensor {quote(tensor)}, which the index puts there"
            yield Problem("shards", message, place=Place(headers[file].name))
    for file, header in headers.items():
        for tensor in header.names:
            home = homes.get(tensor)
            if home == file:
                continue
            why = f"which the index puts in {quote(home)}"
            if home is None:
                why = "which the index does not list"
            elif home in headers and tensor in headers[home]:
                why = f"and so does {headers[home].name}"
            yield Problem("shards", f"holds tensor {quote(tensor)}, {why}", place=Place(header.name))


def _joined(name: str, headers: list[Header]) -> Header:
    entries: dict[str, Tensor] = {}
    for header in headers:
        entries.update(header.entries)
    cut = [header.truncated for header in headers if header.truncated]
    truncated = cut[0] if cut else None
    if len(cut) > 1:
        message = f"{cut[0].message}; {len(cut) - 1} more files of the checkpoint are as short"
        truncated = cut[0]._replace(message=message)
    first, *others = (header.metadata for header in headers)
    metadata = {key: text for key, text in first.items() if all(other.get(key) == text for other in others)}
    return Header(name, metadata, 0, sum(header.size for header in headers), truncated, entries, tuple(headers))
