"""Weights behind a URL, by two range reads for each file; needs fsspec, and what fsspec needs for the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from tttcfg.errors import InputError, Place, Problem
from tttcfg.weights.header import LENGTH_BYTES, Header, header_length, parse_header
from tttcfg.weights.shards import check_index_size, is_index, merged, read_weights, shown

_TEMPLATES = ("reference",)


def read_remote(url: str) -> Header:
    """Read the header of the safetensors file at `url`, or the headers of all files that the index there names.

    Only ever for a URL that a person gave: one out of a configuration file must not be opened.

    Raises:
        InputError: It cannot be read, breaks a rule of the format, or would run more than a read.
    """
    protocol = url.partition("://")[0].strip().lower()
    name = shown(url)
    if "::" in url:
        raise _refused(name, "chains protocols, which can run code and read other places; give a plain URL")
    if protocol in _TEMPLATES:
        raise _refused(name, f"{protocol}:// runs templates out of what it reads; give the URL of the file itself")
    with _told(url):
        files, path = url_to_fs(url)
    if isinstance(files, LocalFileSystem):
        return read_weights(path)
    start, query, rest = url.partition("?")
    if not is_index(start):
        return _read_file(url)
    return merged(_read_index(files, path, url), name, lambda file: _read_file(_beside(start, file) + query + rest))


def _refused(name: str, message: str) -> InputError:
    return InputError(Problem("unreadable", message, place=Place(name)))


def _beside(url: str, file: str) -> str:
    return f"{url.rpartition('/')[0]}/{file}"


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into one problem: every protocol has errors of its own."""
    name = shown(url)
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(Problem("not_found", "there is no such file", place=Place(name))) from None
    except Exception as error:
        reason = (str(error) or type(error).__name__).replace(url, name)
        raise _refused(name, f"cannot be read: {reason}") from None


def _size(files: Any, path: str, name: str) -> int:
    status = files.info(path)
    if status.get("type", "file") != "file":
        raise _refused(name, f"is a {status['type']}; give a file")
    size = status.get("size")
    if not isinstance(size, int):
        raise _refused(name, "cannot be read: its server does not say how long the file is")
    return size


def _read_index(files: Any, path: str, url: str) -> bytes:
    with _told(url):
        check_index_size(size := _size(files, path, shown(url)), shown(url))
        with files.open(path, "rb", cache_type="none") as file:
            data: bytes = file.read(size)
            return data


def _read_file(url: str) -> Header:
    """Read one header: its length, then itself; nothing is read ahead."""
    name = shown(url)
    with _told(url):
        files, path = url_to_fs(url)
        size = _size(files, path, name)
        with files.open(path, "rb", cache_type="none") as file:
            length = header_length(file.read(min(LENGTH_BYTES, size)), name, size)
            data = file.read(length)
    if len(data) != length:
        raise _refused(name, f"cannot be read: {length:,} bytes were asked for and {len(data):,} came")
    return parse_header(data, name, size)
