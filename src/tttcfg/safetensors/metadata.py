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
from io import FileIO

from tttcfg.errors import InputError, Place, Problem, WriteError
from tttcfg.files.locks import alone, moved_meanwhile
from tttcfg.files.storage import (
    changed_meanwhile,
    identity,
    open_regular,
    put_in_place,
    read_exactly,
    read_up_to,
    writable_target,
    write_all,
    write_errors,
    written_beside,
)
from tttcfg.safetensors.header import LENGTH_BYTES, header_length, parse_header, read_header
from tttcfg.safetensors.violations import METADATA_KEY

CHUNK = 4 << 20
"""Bytes that are held in memory at a time."""
_ALIGNMENT = 8


@contextlib.contextmanager
def rewriting(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """Copy the weights at `path` into a file with `metadata`, and yield a function that puts it in their place.

    Before it is called nothing has changed, and all that can fail has been tried, except the rename; afterwards the
    file has the metadata, durably. Mode and, if permitted, owner stay; a symbolic link is followed. Memory is constant.

    Raises:
        InputError: The file cannot be read, breaks the format, or is truncated.
        WriteError: It is read-only, changed meanwhile, or the disk is full or failed.
    """
    name = os.fspath(path)
    with contextlib.ExitStack() as copying:
        with write_errors(name):
            target, _ = writable_target(name)
            copying.enter_context(alone(os.path.dirname(target)))
            _, replaced = writable_target(target)
            source, status = copying.enter_context(open_regular(target))
            start, size = _start(source, target, status.st_size, metadata)
            _check_free_space(target, len(start) + size)
            digest = b""

            def write(out: int) -> None:
                nonlocal digest
                write_all(out, start)
                digest = _digest(source, size, lambda block: write_all(out, block))
                if not digest:
                    raise changed_meanwhile(target)

            temporary = copying.enter_context(written_beside(target, write, replaced))
        _check_copy(temporary, len(start), size, digest, target)
        yield lambda: _put(temporary, target, status)


def rewrite(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> None:
    """Replace the metadata of the weights at `path`, as `rewriting` does."""
    with rewriting(path, metadata) as put:
        put()


def canonicalize_header(path: str | os.PathLike[str]) -> None:
    """Bring the header of a file into its one form; see `tttcfg.canonicalize_header`."""
    name = os.fspath(path)
    metadata = read_header(name).metadata
    with write_errors(name), open_regular(name) as (source, status):
        start, _ = _start(source, name, status.st_size, metadata)
        if source.tell() != len(start):
            rewrite(name, metadata)
        elif os.pread(source.fileno(), len(start), 0) != start:
            with open(name, "r+b", buffering=0) as out:
                write_all(out.fileno(), start)
                os.fsync(out)


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


def _start(source: FileIO, name: str, file_size: int, metadata: Mapping[str, str]) -> tuple[bytes, int]:
    """Return the start of the new file, and how many bytes of data follow; `source` is then at its data."""
    length = header_length(read_up_to(source, LENGTH_BYTES), name, file_size)
    raw = read_exactly(source, length, name)
    header = parse_header(raw, name, file_size)
    if header.truncated is not None:
        raise InputError(header.truncated)
    start, size = header_bytes(raw, metadata), header.size - header.data_start
    again = parse_header(start[LENGTH_BYTES:], name, len(start) + size)
    if again.entries != header.entries or again.metadata != metadata:
        message = "the new header is not read back as it was written; this is a bug of tttcfg"
        raise InputError(Problem("safetensors", message, place=Place(name)))
    return start, size


def _check_free_space(target: str, needed: int) -> None:
    """Refuse a copy that does not fit before an hour of writing; where the file system does not report, it is tried."""
    system = os.statvfs(os.path.dirname(target) or os.curdir)
    room = system.f_bavail * system.f_frsize
    if system.f_blocks and room < needed:
        message = f"cannot be written: the temporary copy takes {needed:,} bytes, and the disk has {room:,} free"
        raise WriteError(Problem("unwritable", message, place=Place(target)))


def _digest(source: FileIO, size: int, write: Callable[[memoryview], None] = lambda _: None) -> bytes:
    """Return the SHA-256 of the next `size` bytes of a file, each block given to `write`; empty where it ends early."""
    total, left = hashlib.sha256(), size
    buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))
    while left:
        got = os.readv(source.fileno(), [buffer[:left]])
        if not got:
            return b""
        total.update(buffer[:got])
        write(buffer[:got])
        left -= got
    return total.digest()


def _check_copy(temporary: str, data_start: int, size: int, digest: bytes, target: str) -> None:
    """Read the copy again, from the disk where the system allows it, and compare its data with those of the source."""
    try:
        with write_errors(target), open_regular(temporary) as (copy, status):
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(copy.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            copy.seek(data_start)
            is_equal = status.st_size == data_start + size and _digest(copy, size) == digest
    except InputError as error:  # names the copy, which is gone when the message is read
        if not os.path.lexists(temporary):
            raise moved_meanwhile(target) from None
        message = f"cannot be written: its temporary copy {error.problems[0].message}"
        raise WriteError(Problem("unwritable", message, place=Place(target))) from None
    if not is_equal:
        message = "was not copied correctly: disk or memory changed its tensors' bytes; nothing was written"
        raise WriteError(Problem("unwritable", message, place=Place(target)))


def _put(temporary: str, target: str, source: os.stat_result) -> None:
    with write_errors(target):
        try:
            if identity(os.stat(target)) != identity(source):
                raise changed_meanwhile(target)
            put_in_place(temporary, target)
        except FileNotFoundError:
            raise moved_meanwhile(target) from None
