"""Reading and writing files so that bad input costs nothing and a crash loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO
from typing import Any

from tttcfg.errors import InputError, Place, Problem, TttcfgError, WriteError
from tttcfg.files.durable import new_file, sync_folder, write_all
from tttcfg.urls import Url

TEMPORARY_SUFFIX = ".tttcfg-tmp"
_STALE_SECONDS = 3600.0
_TEMPORARY = re.compile(r"\..+\.[0-9]+\.[0-9a-f]+" + re.escape(TEMPORARY_SUFFIX), re.DOTALL)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


CONFIGURATION_CAP = 1 << 16
"""Most bytes a configuration may have; real ones have about 4,000."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def read_bytes(path: str | os.PathLike[str], cap: int = CONFIGURATION_CAP) -> bytes:
    """Read a whole file of at most `cap` bytes; see `opened` for what is read.

    Raises:
        InputError: It cannot be read, or is larger.
    """
    name = os.fspath(path)
    with opened(name) as (file, size):
        data = read_exactly(file, size, name) if size <= cap else b""
        data += read_up_to(file, cap + 1 - size)  # files may grow, and those of /proc have no size
    if max(size, len(data)) > cap:
        message = f"has {max(size, len(data)):,} bytes; a configuration may have {cap:,}"
        raise InputError(Problem("too_large", message, place=Place(name)))
    return data


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, int]]:
    """Open a regular file, or what a `Url` leads to, and yield it with its size in bytes; nothing is read ahead.

    Raises:
        InputError: The path is missing, is not a regular file, or cannot be read.
    """
    name = os.fspath(path)
    if isinstance(name, Url):
        with remote(name).opened(name) as found:
            yield found
        return
    with open_regular(name) as (file, status):
        try:
            yield file, status.st_size
        except OSError as error:
            raise InputError(unreadable(name, error)) from None


def remote(url: Url) -> Any:
    """Return the module that reads URLs, or raise an InputError where fsspec, which it needs, is not installed."""
    try:
        from tttcfg.files import remote as module  # and fsspec, which only a URL needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "fsspec":
            raise
        message, advice = "is a URL, which needs fsspec", 'run: pip install "tttcfg[remote]"'
        raise InputError(Problem("unreadable", message, place=Place(url), advice=advice)) from None
    return module


@contextlib.contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[tuple[FileIO, os.stat_result]]:
    """Open a regular file for reading, without ever blocking on anything else, and yield it with its status.

    Raises:
        InputError: The path is missing, is not a regular file, or cannot be opened.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise InputError(unreadable(name, error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(Problem("unreadable", f"is {kind}; give a file", place=Place(name)))
        yield FileIO(descriptor, closefd=False), status
    finally:
        os.close(descriptor)


def read_up_to(file: Any, size: int) -> bytes:
    """Return the next `size` bytes of a file, or all that are left where there are fewer."""
    data: bytes = file.read(size) if size > 0 else b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def read_exactly(file: Any, size: int, name: str) -> bytes:
    """Return the next `size` bytes of a file, or raise an InputError where it ends before."""
    data = read_up_to(file, size)
    if len(data) != size:
        message = f"cannot be read: {size:,} bytes were requested and {len(data):,} received"
        raise InputError(Problem("unreadable", message, place=Place(name)))
    return data


def lfs_pointer(name: str) -> Problem:
    """Return the problem of a file that Git LFS has not fetched: it names the content and does not hold it."""
    message = "is a git-lfs pointer and not the file itself"
    return Problem("unreadable", message, place=Place(name), advice="run: git lfs pull")


def unreadable(name: str, error: Exception) -> Problem:
    """Return an error of the file system as a problem of reading `name`."""
    if isinstance(error, FileNotFoundError):
        return Problem("not_found", "there is no such file", place=Place(name))
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Problem("unreadable", f"cannot be read: {reason}", place=Place(name))


def write_atomically(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    expected: bytes | None = None,
    backup: str | None = None,
    fsync: bool = True,
) -> None:
    """Put `data` at `path`, whole or not at all, and durably; the mode and, if permitted, the owner stay.

    A symbolic link is followed: the file it points to is replaced, the link stays. Other hard links keep the old file.

    Args:
        expected: Fail, changing nothing, unless the file has these bytes. Another writer is not noticed in the
            microseconds between the last check and the rename: what it writes into the file is in the backup, if there
            is one; a file that it puts in its place is lost.
        backup: Where the bytes that are replaced are kept; a name that is taken gets a number.

    Raises:
        WriteError: The file is read-only, changed meanwhile, or the disk is full or failed.
    """
    target = os.fspath(path)
    with write_errors(target):
        target, replaced = writable_target(target)
        if replaced is None and expected is not None:
            raise changed_meanwhile(target)
        temporary = write_temporary(target, partial(write_all, data=data), replaced, fsync)
        try:
            if backup is not None and replaced is not None:
                before = read_bytes(target, replaced.st_size) if expected is None else expected
                _back_up(target, replaced, backup, before, fsync)
            elif expected is not None and not _has_content(target, expected):
                raise changed_meanwhile(target)
            put_in_place(temporary, target, fsync)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


@contextlib.contextmanager
def write_errors(target: str) -> Iterator[None]:
    """Raise what the file system raises as a WriteError about `target`."""
    try:
        yield
    except TttcfgError:
        raise
    except (OSError, ValueError) as error:
        raise unwritable(target, error) from None


def unwritable(target: str, error: Exception) -> WriteError:
    """Return an error of the file system as one of writing at `target`."""
    reason = getattr(error, "strerror", None) or str(error)
    return WriteError(Problem("unwritable", f"cannot be written: {reason}", place=Place(target)))


def changed_meanwhile(target: str) -> WriteError:
    message = "was changed by another program meanwhile"
    return WriteError(Problem("unwritable", message, place=Place(target), advice="run again"))


def writable_target(target: str) -> tuple[str, os.stat_result | None]:
    """Return the path that a symbolic link leads to, and the status of the file there; None where there is none.

    Raises:
        WriteError: It is not a regular file, or is read-only.
    """
    try:
        status = os.lstat(target)
        if stat.S_ISLNK(status.st_mode):
            target = os.path.realpath(target)
            status = os.stat(target)
    except FileNotFoundError:
        return target, None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder; give a file name" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise WriteError(Problem("unwritable", f"is {kind}", place=Place(target)))
    if not status.st_mode & 0o222:
        raise WriteError(Problem("unwritable", "is read-only; make it writable first", place=Place(target)))
    return target, status


def write_temporary(
    target: str, write: Callable[[int], object], replaced: os.stat_result | None, fsync: bool = True
) -> str:
    """Make a file beside `target`, durably, with the owner and mode of the file it will replace; return its path.

    Args:
        write: Writes the content through the descriptor that it is given.
    """
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{time.monotonic_ns():x}{TEMPORARY_SUFFIX}")
    with new_file(temporary, 0o666 if replaced is None else 0o600, fsync) as descriptor:
        write(descriptor)
        if replaced is not None:
            _set_owner(descriptor, replaced.st_uid, replaced.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))
    return temporary


def put_in_place(temporary: str, target: str, fsync: bool = True) -> None:
    """Move what `write_temporary` made to `target`, replacing the file there, and sweep the folder."""
    os.replace(temporary, target)
    folder = os.path.dirname(target) or os.curdir
    if fsync:
        sync_folder(folder)
    sweep(folder)


def _set_owner(descriptor: int, owner: int, group: int) -> None:
    """Set a new file's owner and group, or the group alone, as far as that is permitted."""
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) == (owner, group):
        return
    try:
        os.fchown(descriptor, owner, group)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, group)


def _has_content(path: str, data: bytes) -> bool:
    try:
        return read_bytes(path, len(data)) == data
    except InputError:
        return False


def _back_up(target: str, status: os.stat_result, backup: str, before: bytes, fsync: bool) -> None:
    """Keep `before` under a second name that is not taken, after checking that it is the content of `target`.

    The second name is a hard link; or a copy where the file system has none, or where the file has other names
    already: writing through those would change the backup too.
    """
    linking = status.st_nlink == 1
    stem, suffix = os.path.splitext(backup)
    for name in (f"{stem}.{number}{suffix}" if number else backup for number in range(1000)):
        if os.path.lexists(name):
            if not _has_content(name, before):
                continue
            if not _has_content(target, before):
                raise changed_meanwhile(target)
            return
        linking = linking and _link(target, name)
        if not linking:
            os.replace(write_temporary(name, partial(write_all, data=before), status, fsync), name)
        if not (_has_content(name, before) and _same_file(target, name) if linking else _has_content(target, before)):
            os.unlink(name)
            raise changed_meanwhile(target)
        if fsync and os.path.dirname(name) != os.path.dirname(target):
            sync_folder(os.path.dirname(name) or os.curdir)
        return
    raise WriteError(Problem("unwritable", "has a thousand backups already; remove some", place=Place(backup)))


def _link(target: str, name: str) -> bool:
    """Make a hard link; return False where the file system has none."""
    try:
        os.link(target, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except FileNotFoundError:
        return False


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove leftover temporary files of writes that tttcfg began over an hour ago, and nothing else."""
    oldest = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(TEMPORARY_SUFFIX) or not _TEMPORARY.fullmatch(entry.name):
                continue
            if not entry.is_file(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.path)
