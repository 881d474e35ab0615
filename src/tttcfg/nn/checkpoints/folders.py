"""Checkpoint folders: written beside their place and renamed, so that they are there whole or not at all; and pruned.

A run removes only what it can show to be its own: the manifest names one of the run's starts (`run_record.py`) and the
step in the folder's name, and every file of the manifest is there, with its size and sampled bytes (`manifests.py`).
Everything else stays: another run's checkpoints, a copy or a renamed folder, one in which a file was changed or is
gone, by tttcfg as well (`tttcfg migrate`, `bind`), and those of versions whose manifests name no run. What stays, and
has the name of a checkpoint that is saved, is renamed.
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
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from tttcfg.documents.checkpoint import CONSOLIDATED
from tttcfg.errors import TttcfgError
from tttcfg.files.durable import new_file, sync_folder, write_all
from tttcfg.files.storage import TEMPORARY_SUFFIX, unwritable, write_atomically
from tttcfg.nn.checkpoints.manifests import (
    DEFECT,
    DOUBT,
    MANIFEST_NAME,
    defect,
    doubt,
    file_entry,
    is_unchanged,
    read_manifest,
)
from tttcfg.nn.checkpoints.run_record import identity_in, record_paths, remove_continued
from tttcfg.version import __version__

logger = logging.getLogger(__name__)
STEPS = "checkpoints"
"""The folder of a run that holds its checkpoints."""
_STEP = re.compile(r"checkpoint_(\d+)")
_TEMPORARY = re.compile(r"\.(checkpoint_\d+)\.[0-9]+\.[0-9a-f]+" + re.escape(TEMPORARY_SUFFIX))
_STALE_SECONDS = 3600.0
_AT_HERE, _EXCHANGE = -100, 2


class RunFolder:
    """The folder of a run's checkpoints, as one start of the run has it.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.identity = path, identity_in(path)

    @contextlib.contextmanager
    def writing(self, step: int) -> Iterator[tuple[Path, Callable[..., Path]]]:
        """Make the folder of a checkpoint beside its place; yield where its files go, and what puts it in its place.

        That may be called with what is wrong with the model that was saved, or odd about it: `defect` and `doubt`
        return it then. What is not put in its place is removed. A checkpoint of the same step is replaced if it is this
        run's own; anything else in its place, a copy say, is renamed with a warning, as is one that is sound where the
        new one is not: training is never lost over it.

        Raises:
            WriteError: It could not be written; what was in its place is untouched.
        """
        target = self.path / checkpoint_name(step)
        temporary = _beside(target)
        try:
            inside = temporary / CONSOLIDATED
            _make(inside)
            yield inside, lambda defect="", doubt="": self._put(temporary, step, defect, doubt)
        except TttcfgError:
            raise
        except OSError as error:
            raise unwritable(str(target), error) from None
        finally:
            with contextlib.suppress(OSError):
                _discard(temporary)

    def _put(self, temporary: Path, step: int, defect: str, doubt: str) -> Path:
        """Rename a finished folder to its place, and remove or rename what was there."""
        target, inside = self.path / checkpoint_name(step), temporary / CONSOLIDATED
        files = {path.name: file_entry(path) for path in sorted(inside.iterdir())}
        values = {"written_by": f"tttcfg {__version__}", "step": step, "run": self.identity.identity, "files": files}
        values |= {key: text for key, text in ((DEFECT, defect), (DOUBT, doubt)) if text}
        write_json(inside / MANIFEST_NAME, values)
        sync_folder(inside)
        sync_folder(temporary)
        self._record()
        if os.path.lexists(target) and (reason := self._why_kept(target, is_suspect(temporary))):
            leftover = _leftover(target)
            os.rename(target, leftover)
            logger.warning("%s %s; it was renamed to %s", target, reason, leftover)
        if not os.path.lexists(target):
            os.rename(temporary, target)
        elif not _exchanged(temporary, target):
            aside = _beside(target)
            os.rename(target, aside)
            os.rename(temporary, target)
            os.rename(aside, temporary)
        sync_folder(self.path)
        return target

    def _record(self) -> None:
        """Write this start's record, where it is not there yet."""
        path = self.path / self.identity.name
        if not path.exists():
            write_atomically(path, json.dumps(self.identity.values, indent=2).encode() + b"\n")
            remove_continued(self.path, self.identity)

    def _why_kept(self, target: Path, by_suspect: bool) -> str:
        """Return why what is in the place of a checkpoint is not to be replaced by it; empty where it may be."""
        if not self.is_own(target):
            return "is not a checkpoint of this run, or was changed"
        if not _is_removable(target):
            return "is write-protected"
        return "is sound, and the checkpoint that replaces it is not" if by_suspect and not is_suspect(target) else ""

    def is_own(self, folder: Path) -> bool:
        """Whether a checkpoint's folder was saved by this run, has its own name, and no file of it was changed."""
        step = _STEP.fullmatch(folder.name)
        if step is None or folder.is_symlink():
            return False
        values, inside = manifest(folder), folder / CONSOLIDATED
        if values.get("step") != int(step.group(1)) or str(values.get("run")) not in self.identity.owned:
            return False
        return all(is_unchanged(inside / os.path.basename(name), entry) for name, entry in values["files"].items())

    def foreign(self, step: int) -> list[str]:
        """Return the names of checkpoints from `step` on that are not this run's own, by step."""
        return [name for number, name in self._by_step() if number >= step and not self.is_own(self.path / name)]

    def _by_step(self) -> list[tuple[int, str]]:
        names = os.listdir(self.path)
        return sorted((int(step.group(1)), name) for name in names if (step := _STEP.fullmatch(name)))

    def prune(self, step: int, keep: int | None) -> None:
        """Remove the run's own checkpoints before the one of `step`, but the newest: `keep` stay with that one.

        Checkpoints with a defect or a doubt are counted apart, so that a run which diverges removes none that is sound.
        Those of later steps, which an earlier attempt left, stay until this run comes to them. What cannot be removed
        stays, with a warning, and so does what is not this run's own.
        """
        if keep is None:
            return
        try:
            before = [name for number, name in self._by_step() if number < step]
            earlier = [self.path / name for name in before if self.is_own(self.path / name)]
            _warn_of_foreign(self.path, ", ".join(name for name in before if self.path / name not in earlier))
            newest = self.path / checkpoint_name(step)
            for broken in (False, True):
                these = [folder for folder in earlier if is_suspect(folder) is broken]
                apart = newest.exists() and is_suspect(newest) is not broken
                for folder in these[: max(0, len(these) + (not apart) - keep)]:
                    _remove(folder)
        except OSError as error:
            logger.warning("%s: nothing more is pruned: %s", self.path, error.strerror)

    def sweep(self) -> None:
        """Remove folders that a run which died left half-written over an hour ago, and nothing else."""
        oldest = time.time() - _STALE_SECONDS
        with contextlib.suppress(OSError):
            for name in os.listdir(self.path):
                folder = self.path / name
                if _TEMPORARY.fullmatch(name) and folder.is_dir() and not folder.is_symlink():
                    with contextlib.suppress(OSError):
                        if max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))) < oldest:
                            _discard(folder)


def checkpoint_name(step: int) -> str:
    return f"checkpoint_{step:06d}"


def _make(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    if not folder.parent.is_dir():
        _make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{time.monotonic_ns():x}{TEMPORARY_SUFFIX}")


def _leftover(folder: Path) -> Path:
    """Return the name under which a checkpoint that is not the run's own stays beside one that gets its name."""
    return folder.with_name(f"{folder.name}.left-{time.time_ns():x}")


def write_file(path: Path, data: bytes) -> None:
    """Write a new file, durably."""
    with new_file(path) as descriptor:
        write_all(descriptor, data)


def write_json(path: Path, values: object, indent: int | None = 2) -> None:
    write_file(path, json.dumps(values, indent=indent, allow_nan=False).encode() + b"\n")


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places at once; return whether this system can."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    return exchange is not None and exchange(_AT_HERE, bytes(one), _AT_HERE, bytes(other), _EXCHANGE) == 0


def manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint's folder; empty where there is none."""
    return read_manifest(folder / CONSOLIDATED)


def is_suspect(folder: Path) -> bool:
    """Whether something was wrong with the model that a checkpoint's folder holds, or odd about it."""
    return bool(defect(folder / CONSOLIDATED) or doubt(folder / CONSOLIDATED))


def foreign_files(run_dir: str | os.PathLike[str]) -> list[Path]:
    """Return, sorted, what in a run's `checkpoints` folder was not written by this run, or was changed since.

    A checkpoint that was copied, renamed or edited is returned as a folder. Empty where the run has no checkpoints.
    """
    own = RunFolder(Path(run_dir, STEPS))
    found: list[Path] = []
    for checkpoint in sorted({*own.path.glob("*")} - {*record_paths(own.path)}):
        if own.is_own(checkpoint):
            inside = checkpoint / CONSOLIDATED
            written = {inside, *(inside / name for name in (MANIFEST_NAME, *manifest(checkpoint)["files"]))}
            found += sorted(path for path in checkpoint.rglob("*") if path not in written)
        else:
            found.append(checkpoint)
    return found


def delete_checkpoints(run_dir: str | os.PathLike[str]) -> None:
    """Delete the checkpoints that this run wrote, and the record that they are its own.

    Other checkpoints, and those that were changed since, stay, with a warning; so does one that cannot be deleted.
    """
    own = RunFolder(Path(run_dir, STEPS))
    if own.path.is_dir():
        own.prune(sys.maxsize, keep=1)  # the one of the step that is named counts as kept
        for record in record_paths(own.path):
            record.unlink()


@lru_cache(maxsize=64)  # once for a run that saves often
def _warn_of_foreign(parent: Path, names: str) -> None:
    if names:
        logger.warning("%s: not pruned, as they are not checkpoints of this run, or were changed: %s", parent, names)


def _remove(folder: Path) -> None:
    """Remove a checkpoint of this run; where that fails, it stays as it was, or its rest is swept up later."""
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


def _discard(temporary: Path) -> None:
    """Remove a temporary folder; of a finished checkpoint, files that were added stay, in a folder without weights.

    That gets the name of the checkpoint, or another one where that is taken.
    """
    files = manifest(temporary).get("files")
    if files is None:  # it was never finished, and never had its name
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
    free = home if not os.path.lexists(home) else _leftover(home)
    os.rename(temporary, free)
    os.unlink(free / CONSOLIDATED / MANIFEST_NAME)
