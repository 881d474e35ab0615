"""Reading and writing files so that bad input costs nothing and a crash loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path

from tttcfg.errors import InputError, Place, Problem, WriteError

CONFIGURATION_CAP = 1 << 20
"""Most bytes a configuration or document may have; real ones have about 4,000."""

TEMPORARY_SUFFIX = ".tttcfg-tmp"
_STALE_SECONDS = 3600.0
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


def read_bytes(path: str | os.PathLike[str], cap: int = CONFIGURATION_CAP) -> bytes:
    """Read a regular file of at most `cap` bytes, without ever blocking on anything else.

    Raises:
        InputError: The path is missing, no regular file, unreadable or too large.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise InputError(_unreadable(name, error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(Problem("unreadable", f"is {kind}; give a file", place=Place(name)))
        if status.st_size > cap:
            raise InputError(_too_large(name, status.st_size, cap))
        data = os.read(descriptor, cap + 1)
        while len(data) <= cap and (more := os.read(descriptor, cap + 1 - len(data))):
            data += more
    except OSError as error:
        raise InputError(_unreadable(name, error)) from None
    finally:
        os.close(descriptor)
    if len(data) > cap:
        raise InputError(_too_large(name, len(data), cap))
    return data


def _unreadable(name: str, error: Exception) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem("not_found", "there is no such file", place=Place(name))
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Problem("unreadable", f"cannot be read: {reason}", place=Place(name))


def _too_large(name: str, size: int, cap: int) -> Problem:
    return Problem("too_large", f"has {size:,} bytes; a configuration may have {cap:,}", place=Place(name))


def write_atomically(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    expected: bytes | None = None,
    backup: str | None = None,
    fsync: bool = True,
) -> None:
    """Put `data` at `path`, whole or not at all, and durably; what stands there keeps its mode.

    A symbolic link is followed: the file it points to is replaced, the link stays. Hard links part.

    Args:
        expected: Fail, changing nothing, unless these bytes still stand there.
        backup: Where the bytes that stood there are kept; a name that is taken gets a number.

    Raises:
        WriteError: The file is read-only, changed meanwhile, or the disk would not take it.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = _mode(target)
        temporary = _write_temporary(target, data, mode, fsync)
        try:
            if expected is not None and read_bytes(target) != expected:
                raise WriteError(
                    Problem("unwritable", "somebody else changed it meanwhile; run again", place=Place(str(target)))
                )
            if backup is not None:
                _keep(target, Path(backup))
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if fsync:
            _sync_folder(target.parent)
    except WriteError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(Problem("unwritable", f"cannot be written: {reason}", place=Place(str(target)))) from None


def _mode(target: Path) -> int:
    """Return the mode the new file gets: the old one's, or what the umask leaves."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
    if not stat.S_ISREG(status.st_mode):
        raise WriteError(Problem("unwritable", "is not a regular file", place=Place(str(target))))
    if not status.st_mode & 0o222:
        raise WriteError(Problem("unwritable", "is read-only; make it writable first", place=Place(str(target))))
    return stat.S_IMODE(status.st_mode)


def _write_temporary(target: Path, data: bytes, mode: int, fsync: bool) -> Path:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns():x}{TEMPORARY_SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        if fsync:
            os.fsync(descriptor)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    return temporary


def _keep(target: Path, backup: Path) -> None:
    """Keep what stands at `target` under a second name that nothing has yet; a hard link where there are any."""
    for number in range(1000):
        name = backup if not number else backup.with_name(f"{backup.stem}.{number}{backup.suffix}")
        try:
            os.link(target, name)
            return
        except FileExistsError:
            if name.is_file() and read_bytes(name) == read_bytes(target):
                return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not os.path.lexists(name):
                write_atomically(name, read_bytes(target))
                return
    raise WriteError(Problem("unwritable", "has a thousand backups already; remove some", place=Place(str(backup))))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot; the rename itself has happened
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove temporary files that an earlier write of ours left behind over an hour ago, and nothing else."""
    oldest = time.time() - _STALE_SECONDS
    for entry in os.scandir(folder):
        ours = entry.name.startswith(".") and entry.name.endswith(TEMPORARY_SUFFIX)
        if ours and entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < oldest:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
