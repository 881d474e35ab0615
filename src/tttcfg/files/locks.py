"""Locks that end with the process that holds them: one that was killed is never in the way of another.

A process that is forked meanwhile has none of them: it would keep them, however this one ends. They hold between the
processes of one machine, and between machines where the file system carries them. Where it has none, nothing waits, and
what a process left is known by its age.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import threading
import time
from collections.abc import Iterator
from functools import lru_cache

from tttcfg.errors import Place, Problem, WriteError

TEMPORARY_SUFFIX = ".tttcfg-tmp"
PATIENCE_SECONDS = 60.0
_STALE_SECONDS = 3600.0
_TEMPORARY = re.compile(r"\.(.+)\.([0-9]+)\.[0-9a-f]+" + re.escape(TEMPORARY_SUFFIX), re.DOTALL)
_REPLACED = re.compile(r"(.+)\.replaced-([0-9]+)\.[0-9a-f]+", re.DOTALL)
_held = threading.local()
_open: set[int] = set()
"""What this process has open to hold it, by any of its threads."""
_forking = threading.RLock()
"""Held while something is opened or closed, and while a process is forked: that one closes all of it."""


def temporary_name(name: str) -> str:
    """Return a name, not taken, for what is made beside `name` before it gets its place.

    It says on which machine, since when it was started, so that another one does not ask for its locks.
    """
    return f".{name}.{_machine()}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"


def name_of_temporary(name: str) -> str | None:
    """Return the name beside which something temporary was made; None for any other name."""
    found = _TEMPORARY.fullmatch(name)
    return found and found.group(1)


def replaced_name(name: str) -> str:
    """Return a name, not taken, for what is moved out of its place until what replaces it is there.

    Until then it is all that there is, so the name is one that is seen and found.
    """
    return f"{name}.replaced-{_machine()}.{os.urandom(8).hex()}"


def name_of_replaced(name: str) -> str | None:
    """Return the name that something had before it was moved out of its place; None for any other name."""
    found = _REPLACED.fullmatch(name)
    return found and found.group(1)


@lru_cache(maxsize=1)
def _machine() -> int:
    """Return a number that two processes share if they share a kernel, and so its locks."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            start = file.read()
    except OSError:
        start = platform.node().encode()
    return int.from_bytes(hashlib.sha256(start).digest()[:4], "big")


def open_to_hold(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
    """Open what is going to be locked; return its descriptor, which is for `let_go`. A forked process has it closed."""
    with _forking:
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        _open.add(descriptor)
    return descriptor


def let_go(descriptor: int) -> None:
    """Unlock and close what was opened to be held, also where another process has a copy of the descriptor."""
    with _forking:
        if descriptor not in _open:  # in a process that was forked since, which has closed it
            return
        _open.discard(descriptor)
        with contextlib.suppress(OSError):  # the file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _forget() -> None:
    """Close what the process that forked this one holds; it stays locked there."""
    for descriptor in _open:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _open.clear()
    vars(_held).clear()
    _forking.release()


os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_forget)


def hold(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Mark a temporary file or folder as in use until it is let go; return whether it is still there.

    Another process may take it for left behind before that, and remove it.
    """
    with contextlib.suppress(OSError):  # the file system has no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.path.lexists(path)


@contextlib.contextmanager
def abandoned(path: str | os.PathLike[str], newest: float) -> Iterator[bool]:
    """Yield whether a temporary or replaced file or folder was left by a process that ended; it is ours meanwhile.

    Args:
        newest: When it was last changed, in seconds since the epoch: what another machine made, or what cannot be
            locked, is in use until it has been still for an hour.
    """
    stale = newest < time.time() - _STALE_SECONDS
    name = os.path.basename(path)
    made = _TEMPORARY.fullmatch(name) or _REPLACED.fullmatch(name)
    here = made is not None and int(made.group(2)) == _machine()
    try:
        descriptor = open_to_hold(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        free = _take(descriptor)
        yield (stale if free is None or not here else free) and free is not False
    finally:
        let_go(descriptor)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files in a folder that a process of ours left behind when it died, and nothing else."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if name_of_temporary(entry.name) is None or not entry.is_file(follow_symlinks=False):
                continue
            with (
                contextlib.suppress(OSError),
                abandoned(entry.path, entry.stat(follow_symlinks=False).st_mtime) as left,
            ):
                if left:
                    os.unlink(entry.path)


def is_written_in(folder: str | os.PathLike[str]) -> bool:
    """Whether there is a temporary file in a folder of a process that lives; others are removed."""
    sweep(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return any(name_of_temporary(one.name) is not None and one.is_file(follow_symlinks=False) for one in entries)
    return False


@contextlib.contextmanager
def alone(folder: str | os.PathLike[str], patience: float | None = None) -> Iterator[None]:
    """Keep other processes that want it, and other threads, from writing in a folder; wait until they have done so.

    What is written inside may ask for it again. What a process that died has left there is removed first: it may be
    what fills the disk. A folder that cannot be opened is not locked. Who is alone in a folder asks for none that it is
    in: who renames a folder is alone in it first, and then in that.

    Args:
        patience: How many seconds it waits; by default a minute.

    Raises:
        WriteError: Another process still writes there after that time, or another folder, or none, has the name then.
    """
    name, descriptor = os.fspath(folder) or os.curdir, None
    with contextlib.suppress(OSError, ValueError):
        descriptor = open_to_hold(name, os.O_RDONLY | os.O_DIRECTORY)
    if descriptor is None:
        yield
        return
    try:
        status = os.fstat(descriptor)
        this, ours = (status.st_dev, status.st_ino), vars(_held).setdefault("folders", set())
        if this in ours:
            yield
            return
        _wait_for(descriptor, name, PATIENCE_SECONDS if patience is None else patience)
        if not _is_named(descriptor, name):
            raise moved_meanwhile(name)
        ours.add(this)
        try:
            sweep(name)
            yield
        finally:
            ours.discard(this)
    finally:
        let_go(descriptor)


def moved_meanwhile(path: str) -> WriteError:
    """Return what is raised where the folder in which something is written has another name now, or is gone."""
    message = "was moved or removed by another program meanwhile"
    return WriteError(Problem("unwritable", message, place=Place(path), advice="run again"))


def _is_named(descriptor: int, name: str) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.stat(name), os.fstat(descriptor))
    return False


def _wait_for(descriptor: int, name: str, patience: float) -> None:
    end = time.monotonic() + patience
    while _take(descriptor) is False:
        if time.monotonic() > end:
            message = f"has been written to by another process for {patience:.0f} s"
            raise WriteError(Problem("unwritable", message, place=Place(name), advice="run again when that has ended"))
        time.sleep(0.01)


def _take(descriptor: int) -> bool | None:
    """Lock what is open; return whether that went, or None where the file system has no locks for it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
