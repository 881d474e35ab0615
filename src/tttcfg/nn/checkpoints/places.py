"""How a folder that is finished gets its place, and how one leaves it: at every instant a whole one can be found.

A folder is made under a temporary name. Where the system can let two names change places at once, it does so with what
it replaces. Where it cannot (network file systems, older kernels), what is replaced is moved to the visible name
`….replaced-…` first, under which it is found as long as its own name is free.

Temporary and replaced folders are held by the process that works on them; those of a dead one are known by that.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tttcfg.documents.checkpoint import CONSOLIDATED
from tttcfg.files.locks import (
    alone,
    hold,
    is_written_in,
    let_go,
    name_of_replaced,
    name_of_temporary,
    open_to_hold,
    replaced_name,
    temporary_name,
)
from tttcfg.files.storage import changed_meanwhile, not_durable, reason_of, sync_folder
from tttcfg.nn.checkpoints.manifests import MANIFEST_NAME, read_manifest

logger = logging.getLogger(__name__)
_AT_HERE, _EXCHANGE = -100, 2
REMOVING_SECONDS = 5.0
"""How long a program that writes in a checkpoint is waited for before that is removed; training waits meanwhile."""


@contextlib.contextmanager
def made_beside(target: Path) -> Iterator[Path]:
    """Make a folder beside `target`, with one for files in it; remove it in the end, unless it is in that place."""
    _make(target.parent)
    with contextlib.ExitStack() as stack:
        there = False
        while not there:  # another process may take it for left behind until it is held
            temporary = target.with_name(temporary_name(target.name))
            temporary.mkdir()
            there, descriptor = stack.enter_context(held(temporary))
        try:
            _make(temporary / CONSOLIDATED)
            sync_folder(target.parent)
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                if not _is_at(target, descriptor):
                    discard(temporary)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[tuple[bool, int]]:
    """Hold a folder, whatever its name becomes; yield whether it is still there, and its descriptor."""
    descriptor = open_to_hold(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield hold(descriptor, folder), descriptor
    finally:
        let_go(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether what is open is what has this name."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))


def _make(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    if not folder.parent.is_dir():
        _make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def put_in_place(temporary: Path, target: Path, kept: Path | None = None) -> None:
    """Rename a finished folder to its place, durably. What was there has the temporary name then, or that of `kept`.

    Raises:
        OSError: It cannot be renamed; what was in its place is there, or beside it under the name of what is replaced.
        WriteError: It is in its place, and may not be there after a loss of power; what it replaced is still there.
    """
    aside: Path | None = None
    if os.path.lexists(target) and (kept is not None or not exchanged(temporary, target)):
        aside = target.with_name(replaced_name(target.name))
        os.rename(target, aside)
    if aside is not None or not os.path.lexists(target):
        try:
            os.rename(temporary, target)
        except OSError:
            if aside is not None:
                with contextlib.suppress(OSError):
                    os.rename(aside, target)
            raise
    try:
        sync_folder(target.parent)
    except OSError as error:
        raise not_durable(str(target), error) from None
    if aside is not None:
        with contextlib.suppress(OSError):  # it is swept later
            os.rename(aside, kept or temporary)


def exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places at once; return whether this system can."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    return exchange is not None and exchange(_AT_HERE, bytes(one), _AT_HERE, bytes(other), _EXCHANGE) == 0


def leftover(folder: Path) -> Path:
    """Return the name under which a checkpoint that is not the run's own stays beside one that gets its name."""
    return folder.with_name(f"{folder.name}.left-{time.time_ns():x}")


def remove(folder: Path, may_go: Callable[[Path], bool], patience: float = REMOVING_SECONDS) -> None:
    """Remove a checkpoint's folder; where that fails, it stays with a warning, or its rest is swept later.

    A program that writes in it, as `tttcfg.bind` does, is waited for, and the checkpoint is left for the next time
    where that goes on. What `may_go` refuses then stays as well.
    """
    temporary = folder.with_name(temporary_name(home_of(folder).name))
    try:
        if not is_removable(folder):
            raise PermissionError(errno.EACCES, "it is write-protected")
        with contextlib.ExitStack() as stack:
            with alone(folder / CONSOLIDATED, patience), alone(folder.parent):
                if _is_in_use(folder):
                    raise BlockingIOError(errno.EAGAIN, "another program writes in it")
                if not may_go(folder):
                    raise changed_meanwhile(str(folder))
                stack.enter_context(held(folder))
                os.rename(folder, temporary)
            discard(temporary)
    except OSError as error:
        logger.warning("%s is not pruned: %s", folder, reason_of(error))
        if has_all_files(temporary):
            with contextlib.suppress(OSError):
                os.rename(temporary, folder)


def _is_in_use(folder: Path) -> bool:
    """Whether another program writes in a checkpoint's folder; what one that died has left there is removed."""
    return any(is_written_in(one) for one in (folder, folder / CONSOLIDATED))


def home_of(folder: Path) -> Path:
    """Return the place that a temporary or replaced folder was made for or had; of any other, itself."""
    return folder.with_name(name_of_temporary(folder.name) or name_of_replaced(folder.name) or folder.name)


def is_removable(folder: Path) -> bool:
    """Whether this process may remove what is in a checkpoint's folder."""
    by = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    return all(os.access(one, os.W_OK | os.X_OK, **by) for one in (folder, folder / CONSOLIDATED))


def has_all_files(folder: Path) -> bool:
    """Whether there are all files that the manifest of a checkpoint's folder names; without one it has none."""
    inside = folder / CONSOLIDATED
    files = read_manifest(inside).get("files")
    return bool(files) and all(os.path.lexists(inside / os.path.basename(name)) for name in files or ())


def discard(temporary: Path) -> None:
    """Remove a temporary folder; of a finished checkpoint, files that were added stay, in a folder without weights.

    That gets the name of the checkpoint, or another one where that is taken. One in which another program still writes
    stays as it is, and is swept later.
    """
    inside = temporary / CONSOLIDATED
    files = read_manifest(inside).get("files")
    if files is None:  # it was never finished, and never had its name
        if temporary.exists():
            shutil.rmtree(temporary)
        return
    if _is_in_use(temporary):
        return
    for name in files:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(inside / os.path.basename(name))
    others = [path for path in temporary.rglob("*") if path not in (inside, inside / MANIFEST_NAME)]
    if not others:
        shutil.rmtree(temporary)
        return
    home = home_of(temporary)
    free = home if not os.path.lexists(home) else leftover(home)
    os.rename(temporary, free)
    os.unlink(free / CONSOLIDATED / MANIFEST_NAME)
