"""Checkpoint folders: written beside their place and renamed, so that they are there whole or not at all; and pruned.

Each holds a manifest of what was written, and of the number that the file system gave the folder. Whatever was copied,
renamed, changed or made by somebody else is thereby told from what was written here, and stays; under another name,
where a checkpoint takes its place. One file that was written anew is enough, by tttcfg as well: after `tttcfg migrate`
or `bind` a checkpoint is its owner's.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from tttcfg.documents.checkpoint import CONSOLIDATED
from tttcfg.errors import TttcfgError
from tttcfg.files.durable import new_file, sync_folder, write_all
from tttcfg.files.storage import TEMPORARY_SUFFIX, unwritable
from tttcfg.nn.checkpoints.manifests import DEFECT, DOUBT, MANIFEST_NAME, defect, doubt, is_as_written, told, written_in
from tttcfg.version import __version__

logger = logging.getLogger(__name__)
STEPS = "checkpoints"
"""The folder of a run that holds its checkpoints."""
_STEP = re.compile(r"checkpoint_(\d+)")
_TEMPORARY = re.compile(r"\.(checkpoint_\d+)\.[0-9]+\.[0-9a-f]+" + re.escape(TEMPORARY_SUFFIX))
_STALE_SECONDS = 3600.0
_AT_HERE, _EXCHANGE = -100, 2


def checkpoint_name(step: int) -> str:
    return f"checkpoint_{step:06d}"


@contextlib.contextmanager
def writing(parent: Path, step: int) -> Iterator[tuple[Path, Callable[..., Path]]]:
    """Make the folder of a checkpoint beside its place, and yield where its files go, and what puts it in its place.

    That may be called with what is wrong with the model that was saved, or odd about it, as `defect` and `doubt` are
    then going to return it. What is not put in its place is removed. A checkpoint of the same step takes the place of
    one that was written here; anything else that stands there, a copy say, is renamed, and a warning tells how, as is
    one that is sound where the new one is not: training is never lost over it.

    Raises:
        WriteError: It could not be written; what stood in its place is untouched.
    """
    target = parent / checkpoint_name(step)
    temporary = _beside(target)
    try:
        inside = temporary / CONSOLIDATED
        _make(inside)
        yield inside, lambda wrong="", odd="": _put(temporary, target, step, wrong, odd)
    except TttcfgError:
        raise
    except OSError as error:
        raise unwritable(str(target), error) from None
    finally:
        with contextlib.suppress(OSError):
            _discard(temporary)


def _make(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    if not folder.parent.is_dir():
        _make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns():x}{TEMPORARY_SUFFIX}")


def _left(folder: Path) -> Path:
    """Return the name under which what is not ours stays beside a checkpoint that has its name."""
    return folder.with_name(f"{folder.name}.left-{time.time_ns():x}")


def write_file(path: Path, data: bytes) -> None:
    """Write a new file, durably."""
    with new_file(path) as descriptor:
        write_all(descriptor, data)


def write_json(path: Path, values: object, indent: int | None = 2) -> None:
    write_file(path, json.dumps(values, indent=indent, allow_nan=False).encode() + b"\n")


def _put(temporary: Path, target: Path, step: int, wrong: str, odd: str) -> Path:
    """Let a finished folder take its place, and what stood there go."""
    files = {path.name: told(path) for path in sorted((temporary / CONSOLIDATED).iterdir())}
    made = {"written_by": f"tttcfg {__version__}", "step": step, "inode": temporary.stat().st_ino, "files": files}
    made |= {key: said for key, said in ((DEFECT, wrong), (DOUBT, odd)) if said}
    write_json(temporary / CONSOLIDATED / MANIFEST_NAME, made)
    sync_folder(temporary / CONSOLIDATED)
    sync_folder(temporary)
    if os.path.lexists(target) and (reason := _why_kept(target, is_suspect(temporary))):
        left = _left(target)
        os.rename(target, left)
        logger.warning("%s %s; it is %s now", target, reason, left)
    if not os.path.lexists(target):
        os.rename(temporary, target)
    elif not _exchanged(temporary, target):
        aside = _beside(target)
        os.rename(target, aside)
        os.rename(temporary, target)
        os.rename(aside, temporary)
    sync_folder(target.parent)
    return target


def _why_kept(target: Path, by_suspect: bool) -> str:
    """Return why what stands in the place of a checkpoint is not to be replaced by it; empty where it may be."""
    if not is_ours(target):
        return "is a copy, was changed or is another program's"
    if not _is_removable(target):
        return "is write-protected"
    return "is sound, and what takes its place is not" if by_suspect and not is_suspect(target) else ""


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places at once; return whether this system can."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    return exchange is not None and exchange(_AT_HERE, bytes(one), _AT_HERE, bytes(other), _EXCHANGE) == 0


def manifest(folder: Path) -> dict[str, Any]:
    """Return what was written in a checkpoint's folder, as its manifest says it; empty where there is none."""
    return written_in(folder / CONSOLIDATED)


def is_ours(folder: Path) -> bool:
    """Whether a checkpoint's folder was written here, is neither a copy nor renamed, and no file of it was changed.

    A file of it that is gone, the optimiser's state say, leaves nothing of anybody's to be lost.
    """
    named = _STEP.fullmatch(folder.name)
    if named is None or folder.is_symlink():
        return False
    made = manifest(folder)
    if made.get("step") != int(named.group(1)) or made.get("inode") != folder.stat().st_ino:
        return False
    return all(
        is_as_written(folder / CONSOLIDATED / os.path.basename(name), said) for name, said in made["files"].items()
    )


def is_suspect(folder: Path) -> bool:
    """Whether something was wrong with the model that a checkpoint's folder holds, or odd about it."""
    return bool(defect(folder / CONSOLIDATED) or doubt(folder / CONSOLIDATED))


def foreign(parent: Path, step: int) -> list[str]:
    """Return the names of checkpoints from `step` on that were not written here, or were changed since, by step."""
    return [name for number, name in _by_step(parent) if number >= step and not is_ours(parent / name)]


def _by_step(parent: Path) -> list[tuple[int, str]]:
    return sorted((int(named.group(1)), name) for name in os.listdir(parent) if (named := _STEP.fullmatch(name)))


def prune(parent: Path, step: int, keep: int | None) -> None:
    """Remove what was written here before the checkpoint of `step`, but the newest: `keep` stay with that one.

    Checkpoints with a defect or a doubt are counted apart, so that a run which diverges removes none that is sound.
    Those of later steps, which an earlier attempt left, stay until this run comes to them. What cannot be removed
    stays, with a warning, and so does what was not written here.
    """
    if keep is None:
        return
    try:
        before = [name for number, name in _by_step(parent) if number < step]
        earlier = [parent / name for name in before if is_ours(parent / name)]
        _warn_of_foreign(parent, ", ".join(name for name in before if parent / name not in earlier))
        newest = parent / checkpoint_name(step)
        for broken in (False, True):
            these = [folder for folder in earlier if is_suspect(folder) is broken]
            apart = newest.exists() and is_suspect(newest) is not broken
            for folder in these[: max(0, len(these) + (not apart) - keep)]:
                _remove(folder)
    except OSError as error:
        logger.warning("%s: nothing more is pruned: %s", parent, error.strerror)


@lru_cache(maxsize=64)  # a run that saves often tells it once
def _warn_of_foreign(parent: Path, names: str) -> None:
    if names:
        logger.warning("%s: not pruned, being copies, changed or another program's: %s", parent, names)


def _remove(folder: Path) -> None:
    """Remove a checkpoint of ours; where that fails, it stays as it was, or what is left of it is swept up later."""
    temporary = _beside(folder)
    try:
        if not _is_removable(folder):
            raise PermissionError(errno.EACCES, "it is write-protected")
        os.rename(folder, temporary)
        _discard(temporary)
    except OSError as error:
        logger.warning("%s is not pruned: %s", folder, error.strerror)
        files = manifest(temporary).get("files")
        if files and all((temporary / CONSOLIDATED / os.path.basename(name)).exists() for name in files):
            with contextlib.suppress(OSError):
                os.rename(temporary, folder)


def _is_removable(folder: Path) -> bool:
    """Whether this process may remove what is in a checkpoint's folder."""
    by = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    return all(os.access(one, os.W_OK | os.X_OK, **by) for one in (folder, folder / CONSOLIDATED))


def sweep(parent: Path) -> None:
    """Remove folders that a run which died left half-written over an hour ago, and nothing else."""
    oldest = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            folder = parent / name
            if _TEMPORARY.fullmatch(name) and folder.is_dir() and not folder.is_symlink():
                with contextlib.suppress(OSError):
                    if max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))) < oldest:
                        _discard(folder)


def _discard(temporary: Path) -> None:
    """Remove a folder of ours; of one that was finished, what others put there stays, in a folder without weights.

    Its name is that of the checkpoint, or another one where that is taken.
    """
    files = manifest(temporary).get("files")
    if files is None:  # it was never finished, so that nobody else has seen it
        if temporary.exists():
            shutil.rmtree(temporary)
        return
    inside = temporary / CONSOLIDATED
    for name in files:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(inside / os.path.basename(name))
    others = [path for path in temporary.rglob("*") if path not in (inside, inside / MANIFEST_NAME)]
    if not others:
        shutil.rmtree(temporary)
        return
    named = _TEMPORARY.fullmatch(temporary.name)
    home = temporary.with_name(named.group(1) if named else temporary.name)
    free = home if not os.path.lexists(home) else _left(home)
    os.rename(temporary, free)
    os.unlink(free / CONSOLIDATED / MANIFEST_NAME)
