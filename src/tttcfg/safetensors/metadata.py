"""A safetensors file with other metadata: streamed beside the old one, every byte of its tensors checked, and renamed.

The header that is written has one form, so that equal metadata makes equal bytes: the metadata first, keys sorted,
then the tensors in the order of their data, compact, padded with spaces to a multiple of eight bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from tttcfg.errors import InputError, Place, Problem, TttcfgError, WriteError
from tttcfg.files.durable import write_all
from tttcfg.files.storage import (
    changed,
    open_regular,
    put_in_place,
    standing,
    sweep,
    unwritable,
    write_temporary,
)
from tttcfg.safetensors.header import LENGTH_BYTES, header_length, parse_header, read_exactly, read_header
from tttcfg.safetensors.violations import METADATA_KEY

CHUNK = 4 << 20
"""Bytes that are held in memory at a time."""
_ALIGNMENT = 8


class _Copy(NamedTuple):
    """A finished copy: where it lies, what it is to replace, and what that was when it was read."""

    temporary: str
    target: str
    source: os.stat_result


@contextlib.contextmanager
def rewriting(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """Copy the weights at `path` into a file with `metadata`, and yield what puts that file in their place.

    Until then nothing has changed, and what could fail, has; afterwards the file has the metadata, durably. Mode and,
    if permitted, owner stay; a symbolic link is followed. Memory is constant.

    Raises:
        InputError: The file cannot be read, breaks the format, or is truncated.
        WriteError: It is read-only, changed meanwhile, or the disk would not take the copy.
    """
    copy = _copy(os.fspath(path), metadata)
    try:
        yield lambda: _put(copy)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(copy.temporary)


def rewrite(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Give the weights at `path` other metadata; `rewriting` tells the rest."""
    with rewriting(path, metadata) as put:
        put()


def canonicalize_header(path: str | os.PathLike[str]) -> None:
    """Bring the header of a file into its one form; `tttcfg.canonicalize_header` tells the rest."""
    name = os.fspath(path)
    metadata = read_header(name).metadata
    source, status = open_regular(name)
    try:
        start, _ = _start(source, name, status.st_size, metadata)
        if os.lseek(source, 0, os.SEEK_CUR) != len(start):
            rewrite(name, metadata)
        elif os.pread(source, len(start), 0) != start:
            _overwrite(name, start)
    except TttcfgError:
        raise
    except OSError as error:
        raise unwritable(name, error) from None
    finally:
        os.close(source)


def _overwrite(name: str, start: bytes) -> None:
    out = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(out, start)
        os.fsync(out)
    finally:
        os.close(out)


def header_bytes(raw: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the start of a file, its length included, for the tensors of the valid header `raw`."""
    entries = json.loads(raw)
    entries.pop(METADATA_KEY, None)
    notes = {METADATA_KEY: dict(sorted(metadata.items()))} if metadata else {}
    order = sorted(entries, key=lambda name: (entries[name]["data_offsets"], name))
    tensors = {name: {key: entries[name][key] for key in ("dtype", "shape", "data_offsets")} for name in order}
    try:
        text = json.dumps({**notes, **tensors}, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InputError(Problem("encoding", f"cannot be written: {error}", METADATA_KEY)) from None
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _copy(name: str, metadata: Mapping[str, str]) -> _Copy:
    target = name
    try:
        target, found = standing(name)
        source, status = open_regular(target)
        try:
            start, size = _start(source, target, status.st_size, metadata)
            sweep(os.path.dirname(target) or os.curdir)
            _demand_room(target, len(start) + size)
            reading = _Reading(source, target, size)
            temporary = write_temporary(target, lambda out: reading.into(out, start), found)
            try:
                _check(temporary, len(start), reading)
            except BaseException:
                os.unlink(temporary)
                raise
        finally:
            os.close(source)
    except TttcfgError:
        raise
    except (OSError, ValueError) as error:
        raise unwritable(target, error) from None
    return _Copy(temporary, target, status)


def _start(source: int, name: str, file_size: int, metadata: Mapping[str, str]) -> tuple[bytes, int]:
    """Return what the new file begins with, and how many bytes of data follow; `source` then stands at the data."""
    raw = read_exactly(source, header_length(read_exactly(source, LENGTH_BYTES), name, file_size))
    header = parse_header(raw, name, file_size)
    if header.truncated is not None:
        raise InputError(header.truncated)
    start, size = header_bytes(raw, metadata), header.size - header.data_start
    again = parse_header(start[LENGTH_BYTES:], name, len(start) + size)
    if again.entries != header.entries or again.metadata != metadata:
        raise InputError(Problem("safetensors", "the new header does not come back as it was; this is a bug of tttcfg"))
    return start, size


def _demand_room(target: str, needed: int) -> None:
    """Refuse what cannot fit, before an hour of copying; file systems that do not tell are tried."""
    system = os.statvfs(os.path.dirname(target) or os.curdir)
    room = system.f_bavail * system.f_frsize
    if system.f_blocks and room < needed:
        message = f"cannot be written: the copy takes {needed:,} bytes for a while, and the disk has {room:,}"
        raise WriteError(Problem("unwritable", message, place=Place(target)))


class _Reading:
    """The data of a file, as it is copied: its digest is what every later reading is held against."""

    def __init__(self, source: int, name: str, size: int) -> None:
        self.source, self.name, self.size = source, name, size
        self.digest = b""

    def into(self, out: int, start: bytes) -> None:
        write_all(out, start)
        self.digest = _digest(self.source, self.size, lambda block: write_all(out, block))
        if not self.digest:
            raise changed(self.name)


def _digest(source: int, size: int, see: Callable[[memoryview], None] = lambda _: None) -> bytes:
    """Return the SHA-256 of the next `size` bytes of a file, each block shown to `see`; empty where it ends early."""
    total, left = hashlib.sha256(), size
    buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))
    while left:
        got = os.readv(source, [buffer[:left]])
        if not got:
            return b""
        total.update(buffer[:got])
        see(buffer[:got])
        left -= got
    return total.digest()


def _check(temporary: str, data_start: int, reading: _Reading) -> None:
    """Read the copy again, from the disk where the system lets us, and hold it against what was read of the file."""
    copy, status = open_regular(temporary)
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(copy, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(copy, data_start, os.SEEK_SET)
        if status.st_size != data_start + reading.size or _digest(copy, reading.size) != reading.digest:
            message = "was not copied as it is: disk or memory has changed its tensors' bytes; nothing was written"
            raise WriteError(Problem("unwritable", message, place=Place(reading.name)))
    finally:
        os.close(copy)


def _put(copy: _Copy) -> None:
    try:
        now = os.stat(copy.target)
        if _seen(now) != _seen(copy.source):
            raise changed(copy.target)
        put_in_place(copy.temporary, copy.target)
    except TttcfgError:
        raise
    except OSError as error:
        raise unwritable(copy.target, error) from None


def _seen(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes when somebody else writes a file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
