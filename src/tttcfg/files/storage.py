"""Reading and writing files so that bad input costs nothing and a crash loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO
from typing import Any

from tttcfg.errors import InputError, Place, Problem, TttcfgError, WriteError
from tttcfg.files.locks import alone, hold, let_go, moved_meanwhile, open_to_hold, temporary_name
from tttcfg.files.open_folder import OpenFile
from tttcfg.urls import Url

ANY, PRIVATE = 0o7777, 0o600
"""What of a file's mode its copy may have."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)

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
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = name.open() if isinstance(name, OpenFile) else os.open(name, flags)
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
    return Problem("unreadable", f"cannot be read: {reason_of(error)}", place=Place(name))


def write_atomically(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    expected: bytes | None = None,
    backup: str | None = None,
    private_backup: bool = False,
    fsync: bool = True,
) -> str:
    """Put `data` at `path`, whole or not at all, and durably; the mode and, if permitted, the owner stay.

    A symbolic link is followed: the file it points to is replaced, the link stays. Other hard links keep the old file.
    Returned is where a copy of what was replaced is kept; an empty text where none is.

    Args:
        expected: Fail, changing nothing, unless the file has these bytes. A program that takes no part in our locks is
            not noticed in the microseconds between the last check and the rename: what it writes then is lost.
        backup: Where a copy of what is replaced is kept; a name that is taken by anything else, such as a link, gets a
            number.
        private_backup: Let its owner alone read the copy, as it may hold secrets.

    Raises:
        WriteError: The file is read-only, changed meanwhile, or the disk is full or failed; it is as it was, unless the
            error says that it was written.
    """
    target, kept = os.fspath(path), ""
    with write_errors(target):
        target, _ = writable_target(target)
        with alone(os.path.dirname(target)):
            target, replaced = writable_target(target)
            if replaced is None and expected is not None:
                raise changed_meanwhile(target)
            with written_beside(target, partial(write_all, data=data), replaced, fsync) as temporary:
                if replaced is not None and backup is not None:
                    before = _read_unchanged(target, replaced)
                    if expected not in (None, before):
                        raise changed_meanwhile(target)
                    expected = before
                    kept = keep_copy(backup, before, replaced, PRIVATE if private_backup else ANY, fsync)
                    if fsync and os.path.dirname(kept) != os.path.dirname(target):
                        sync_folder(os.path.dirname(kept) or os.curdir)
                if expected is not None and not _has_content(target, expected):
                    raise changed_meanwhile(target)
                put_in_place(temporary, target, fsync)
    return kept


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str], mode: int = 0o666, fsync: bool = True) -> Iterator[int]:
    """Create a file and yield its descriptor; on leaving it is made durable, or removed if anything failed."""
    descriptor = open_to_hold(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        yield descriptor
        if fsync:
            os.fsync(descriptor)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        let_go(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable, where its file system supports that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot; the rename itself has happened
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


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
    return WriteError(Problem("unwritable", f"cannot be written: {reason_of(error)}", place=Place(target)))


def reason_of(error: Exception) -> str:
    """Return what is wrong, of an error of ours or of the file system, as the end of a sentence."""
    if isinstance(error, TttcfgError):
        return error.problems[0].message
    return getattr(error, "strerror", None) or str(error)


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


@contextlib.contextmanager
def written_beside(
    target: str, write: Callable[[int], object], like: os.stat_result | None, fsync: bool = True, mask: int = ANY
) -> Iterator[str]:
    """Make a file beside `target`, durably, and yield its path; where it is not moved from there, it is removed.

    It has the owner and mode of a file, such as that which it will replace, `mask` applied. What a process that died
    left in the folder is removed before, as that may be what fills the disk.

    Args:
        write: Writes the content through the descriptor that it is given.
    """
    folder, name = os.path.split(target)
    with contextlib.ExitStack() as done:
        there: int | None = None
        with contextlib.suppress(OSError):
            there = open_to_hold(folder or os.curdir, os.O_RDONLY | os.O_DIRECTORY)
            done.callback(quietly, let_go, there)
        while True:
            temporary = os.path.join(folder, temporary_name(name))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = open_to_hold(temporary, flags, 0o666 if like is None else 0o600)
            if hold(descriptor, temporary):
                break
            let_go(descriptor)
        done.callback(quietly, let_go, descriptor)
        done.callback(quietly, _remove, temporary, there)
        write(descriptor)
        if like is not None:
            _set_owner(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, like.st_mode & mask)
        if fsync:
            os.fsync(descriptor)
        else:
            os.close(os.dup(descriptor))  # a network file system reports only now what it does not take
        try:
            yield temporary
        except FileNotFoundError:
            raise moved_meanwhile(target) from None


def _remove(temporary: str, folder: int | None) -> None:
    """Remove a temporary file from the open folder in which it was made, whatever the name of that is now."""
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        if folder is not None:
            os.unlink(os.path.basename(temporary), dir_fd=folder)


def quietly(action: Callable[..., object], *arguments: Any) -> None:
    with contextlib.suppress(OSError):
        action(*arguments)


def put_in_place(temporary: str, target: str, fsync: bool = True) -> None:
    """Move what was written beside `target` there, replacing the file that is there.

    Raises:
        OSError: It could not be moved; the file is as it was.
        WriteError: It was moved, and this could not be made durable.
    """
    os.replace(temporary, target)
    if fsync:
        try:
            sync_folder(os.path.dirname(target) or os.curdir)
        except OSError as error:
            raise not_durable(target, error) from None


def not_durable(target: str, error: OSError) -> WriteError:
    """Return the failure to make durable what has its place already."""
    if isinstance(error, FileNotFoundError):
        message = "was written, and its folder was moved or removed by another program right after that"
        return WriteError(Problem("unwritable", message, place=Place(target), advice="look where that is now"))
    message = f"was written, but may be lost if the machine fails now: {reason_of(error)}"
    advice = "check the disk, then look at the file, and write it again"
    return WriteError(Problem("unwritable", message, place=Place(target), advice=advice))


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


def _read_unchanged(target: str, status: os.stat_result) -> bytes:
    """Return the bytes of a file that had this status; raise a WriteError where it was changed since."""
    try:
        return read_bytes(target, status.st_size)
    except InputError as error:
        is_the_same = os.path.exists(target) and identity(os.stat(target)) == identity(status)
        raise (WriteError(error.problems) if is_the_same else changed_meanwhile(target)) from None


def identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes when another program writes a file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _has_content(path: str, data: bytes) -> bool:
    try:
        return read_bytes(path, len(data)) == data
    except InputError:
        return False


def keep_copy(path: str, data: bytes, like: os.stat_result, mask: int = ANY, fsync: bool = True) -> str:
    """Keep a copy of `data` under a name that is not taken, or that has these bytes already; return the name.

    A link is never followed: its name is taken, whatever it leads to. That may be the file which is about to be
    replaced, and then there would be no copy. Another hard link of it is one: it keeps the old bytes.

    Args:
        like: A file whose owner and mode the copy gets, `mask` applied.
    """
    with contextlib.ExitStack() as copying:
        write, copy = partial(write_all, data=data), ""
        stem, suffix = os.path.splitext(path)
        for name in (f"{stem}.{number}{suffix}" if number else path for number in range(1000)):
            if not os.path.lexists(name):
                copy = copy or copying.enter_context(written_beside(path, write, like, fsync, mask))
                if _takes_name(copy, name):
                    return name
            if _is_copy(name, data):
                if (mode := os.stat(name).st_mode) & ANY & ~mask:
                    os.chmod(name, mode & mask)
                return name
    raise WriteError(Problem("unwritable", "has a thousand backups already; remove some", place=Place(path)))


def _is_copy(name: str, data: bytes) -> bool:
    """Whether there is a file with these bytes of that name, and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(name).st_mode) and _has_content(name, data)
    except FileNotFoundError:
        return False


def _takes_name(temporary: str, name: str) -> bool:
    """Give a temporary file its name; return whether that was free."""
    try:
        os.link(temporary, name)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(temporary, name)  # nothing of ours took the name since it was looked at: see `alone`
    return True
