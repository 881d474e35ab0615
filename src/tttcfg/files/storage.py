"""Reading and writing files so that bad input costs nothing and a crash loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tttcfg.errors import InputError, Place, Problem, TttcfgError, WriteError
from tttcfg.files.durable import new_file, sync_folder, write_all
from tttcfg.files.limits import CONFIGURATION_CAP, too_large
from tttcfg.urls import Url

TEMPORARY_SUFFIX = ".tttcfg-tmp"
_STALE_SECONDS = 3600.0
_TEMPORARY = re.compile(r"\..+\.[0-9]+\.[0-9a-f]+" + re.escape(TEMPORARY_SUFFIX), re.DOTALL)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


def read_bytes(path: str | os.PathLike[str], cap: int = CONFIGURATION_CAP) -> bytes:
    """Read a regular file of at most `cap` bytes, without ever blocking on anything else; or what a `Url` leads to.

    Raises:
        InputError: The path is missing, no regular file, unreadable or too large.
    """
    name = os.fspath(path)
    if isinstance(name, Url):
        fetched: bytes = remote(name).fetch(name, cap)
        return fetched
    descriptor, status = open_regular(name)
    try:
        if status.st_size > cap:
            raise InputError(too_large(name, status.st_size, cap))
        data = os.read(descriptor, status.st_size + 1)
        while len(data) != status.st_size and len(data) <= cap and (more := os.read(descriptor, cap + 1 - len(data))):
            data += more
    except OSError as error:
        raise InputError(unreadable(name, error)) from None
    finally:
        os.close(descriptor)
    if len(data) > cap:
        raise InputError(too_large(name, len(data), cap))
    return data


def remote(url: Url) -> Any:
    """Return the module that reads URLs, or raise an InputError where fsspec, which it needs, is not installed."""
    try:
        from tttcfg.files import remote as module  # and fsspec, which only a URL needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "fsspec":
            raise
        message = 'is a URL, which needs fsspec: pip install "tttcfg[remote]"'
        raise InputError(Problem("unreadable", message, place=Place(url))) from None
    return module


def open_regular(path: str | os.PathLike[str]) -> tuple[int, os.stat_result]:
    """Open a regular file for reading, without ever blocking on anything else; the descriptor is the caller's to close.

    Raises:
        InputError: The path is missing, no regular file, or unreadable.
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
    except (OSError, InputError) as error:
        os.close(descriptor)
        raise error if isinstance(error, InputError) else InputError(unreadable(name, error)) from None
    return descriptor, status


LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def lfs_pointer(name: str) -> Problem:
    """Return the problem of a file that Git LFS has not fetched, and that says only where it is."""
    message = "is a git-lfs pointer and not the file itself; fetch that: git lfs pull"
    return Problem("unreadable", message, place=Place(name))


def unreadable(name: str, error: Exception) -> Problem:
    """Return what an error of the file system means to whoever gave the path `name`."""
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

    A symbolic link is followed: the file it points to is replaced, the link stays. Hard links part.

    Args:
        expected: Fail, changing nothing, unless these bytes still stand there. Who writes between the last look and
            the rename, some microseconds, is not seen: what was written into the file is in the backup, if there is
            one; a file that was put in its place is lost.
        backup: Where the bytes that stood there are kept; a name that is taken gets a number.

    Raises:
        WriteError: The file is read-only, changed meanwhile, or the disk would not take it.
    """
    target = os.fspath(path)
    try:
        target, found = standing(target)
        if found is None and expected is not None:
            raise changed(target)
        temporary = write_temporary(target, partial(write_all, data=data), found, fsync)
        try:
            if backup is not None and found is not None:
                before = read_bytes(target, found.st_size) if expected is None else expected
                _keep(target, found, backup, before, fsync)
            elif expected is not None and not _holds(target, expected):
                raise changed(target)
            put_in_place(temporary, target, fsync)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except TttcfgError:
        raise
    except (OSError, ValueError) as error:
        raise unwritable(target, error) from None


def unwritable(target: str, error: Exception) -> WriteError:
    """Return what an error of the file system means to whoever wants to write at `target`."""
    reason = getattr(error, "strerror", None) or str(error)
    return WriteError(Problem("unwritable", f"cannot be written: {reason}", place=Place(target)))


def changed(target: str) -> WriteError:
    return WriteError(Problem("unwritable", "somebody else changed it meanwhile; run again", place=Place(target)))


def standing(target: str) -> tuple[str, os.stat_result | None]:
    """Return where a symbolic link leads, and what stands there, if anything."""
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
    target: str, write: Callable[[int], object], standing: os.stat_result | None, fsync: bool = True
) -> str:
    """Make a file beside `target`, durably, with the owner and mode of what stands there; return its path.

    Args:
        write: Writes what the file is to hold through the descriptor it is given.
    """
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{time.monotonic_ns():x}{TEMPORARY_SUFFIX}")
    with new_file(temporary, 0o666 if standing is None else 0o600, fsync) as descriptor:
        write(descriptor)
        if standing is not None:
            _give(descriptor, standing.st_uid, standing.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(standing.st_mode))
    return temporary


def put_in_place(temporary: str, target: str, fsync: bool = True) -> None:
    """Let what `write_temporary` made take the place of what stands at `target`, and sweep the folder."""
    os.replace(temporary, target)
    folder = os.path.dirname(target) or os.curdir
    if fsync:
        sync_folder(folder)
    sweep(folder)


def _give(descriptor: int, owner: int, group: int) -> None:
    """Give a new file its owner and group, or the group alone, as far as that is permitted."""
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) == (owner, group):
        return
    try:
        os.fchown(descriptor, owner, group)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, group)


def _holds(path: str, data: bytes) -> bool:
    try:
        return read_bytes(path, len(data)) == data
    except InputError:
        return False


def _keep(target: str, standing: os.stat_result, backup: str, before: bytes, fsync: bool) -> None:
    """Keep `before` under a second name that nothing has yet, having seen that it is what stands at `target`.

    The second name is a hard link; or a copy where there are none, or where the file has other names already, which
    whoever writes through them would change together with the backup.
    """
    linking = standing.st_nlink == 1
    stem, suffix = os.path.splitext(backup)
    for name in (f"{stem}.{number}{suffix}" if number else backup for number in range(1000)):
        if os.path.lexists(name):
            if not _holds(name, before):
                continue
            if not _holds(target, before):
                raise changed(target)
            return
        linking = linking and _link(target, name)
        if not linking:
            os.replace(write_temporary(name, partial(write_all, data=before), standing, fsync), name)
        if not (_holds(name, before) and _same_file(target, name) if linking else _holds(target, before)):
            os.unlink(name)
            raise changed(target)
        if fsync and os.path.dirname(name) != os.path.dirname(target):
            sync_folder(os.path.dirname(name) or os.curdir)
        return
    raise WriteError(Problem("unwritable", "has a thousand backups already; remove some", place=Place(backup)))


def _link(target: str, name: str) -> bool:
    """Make a hard link; return whether there are such things here."""
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
    """Remove temporary files that an earlier write of ours left behind over an hour ago, and nothing else."""
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
