"""Checkpoint folders: written beside their place and renamed, so that they are there whole or not at all; and pruned.

A run removes only what it can show to be its own: the manifest (`manifests.py`) names one of the run's starts and the
step in the folder's name, and every file of the manifest is there, with its size and sampled bytes.
Everything else stays: another run's checkpoints, a copy or a renamed folder, one in which a file was changed or is
gone, by tttcfg as well (`tttcfg migrate`, `bind`), and those of versions whose manifests name no run. What stays, and
has the name of a checkpoint that is saved, is renamed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from tttcfg.documents.checkpoint import CONSOLIDATED
from tttcfg.errors import Place, Problem, TttcfgError, WriteError
from tttcfg.files.locks import abandoned, alone, name_of_replaced, name_of_temporary, temporary_name
from tttcfg.files.storage import new_file, reason_of, sync_folder, unwritable, write_all, write_atomically
from tttcfg.nn.checkpoints.manifests import (
    DEFECT,
    DOUBT,
    MANIFEST_NAME,
    defect_and_doubt,
    file_entry,
    identity_in,
    is_known,
    is_unchanged,
    read_manifest,
    record_paths,
    remove_continued,
)
from tttcfg.nn.checkpoints.places import (
    REMOVING_SECONDS,
    discard,
    has_all_files,
    held,
    home_of,
    is_removable,
    leftover,
    made_beside,
    put_in_place,
    remove,
)
from tttcfg.version import __version__

logger = logging.getLogger(__name__)
STEPS = "checkpoints"
"""The folder of a run that holds its checkpoints."""
_STEP = re.compile(r"checkpoint_(\d+)")


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
        run's own; anything else in its place, such as a copy, is renamed with a warning, as is one that is sound where
        the new one is not: training is never lost over it.

        Raises:
            WriteError: It could not be written, and what was in its place is untouched; or it was, and it is not
                certain to be there after a loss of power: the message says which.
        """
        target = self.path / checkpoint_name(step)
        try:
            with made_beside(target) as temporary:
                yield temporary / CONSOLIDATED, lambda defect="", doubt="": self._put(temporary, step, defect, doubt)
        except WriteError as error:
            raise WriteError(_about(target, problem) for problem in error.problems) from None
        except TttcfgError:
            raise
        except OSError as error:
            raise unwritable(str(target), error) from None

    def _put(self, temporary: Path, step: int, defect: str, doubt: str) -> Path:
        """Rename a finished folder to its place, and remove or rename what was there."""
        target, inside = self.path / checkpoint_name(step), temporary / CONSOLIDATED
        self._record()  # before the manifest names this start: what is finished is always known to be the run's own
        files = {path.name: file_entry(path) for path in sorted(inside.iterdir())}
        values = {"written_by": f"tttcfg {__version__}", "step": step, "run": self.identity.identity, "files": files}
        values |= {key: text for key, text in ((DEFECT, defect), (DOUBT, doubt)) if text}
        write_json(inside / MANIFEST_NAME, values)
        sync_folder(inside)
        sync_folder(temporary)
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(WriteError):  # training does not fail over another program that goes on writing
                stack.enter_context(alone(target / CONSOLIDATED))
            with alone(self.path):
                reason, kept = "", None
                if os.path.lexists(target) and (reason := self._why_kept(target, is_suspect(temporary))):
                    kept = leftover(target)
                elif target.exists():
                    stack.enter_context(held(target))  # until it is removed, another process leaves it alone
                put_in_place(temporary, target, kept)
            if reason:
                logger.warning("%s %s; it was renamed to %s", target, reason, kept)
            with contextlib.suppress(OSError):
                discard(temporary)
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
        if not is_removable(target):
            return "is write-protected"
        return "is sound, and the checkpoint that replaces it is not" if by_suspect and not is_suspect(target) else ""

    def is_own(self, folder: Path) -> bool:
        """Whether a checkpoint's folder was saved by this run, has its own name, and no file of it was changed."""
        step = _STEP.fullmatch(home_of(folder).name)
        if step is None or folder.is_symlink():
            return False
        values = read_manifest(folder / CONSOLIDATED)
        if values.get("step") != int(step.group(1)) or str(values.get("run")) not in self.identity.owned:
            return False
        return _is_whole(folder)

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
            newest, end = self.path / checkpoint_name(step), time.monotonic() + REMOVING_SECONDS
            for broken in (False, True):
                these = [folder for folder in earlier if is_suspect(folder) is broken]
                apart = newest.exists() and is_suspect(newest) is not broken
                for folder in these[: max(0, len(these) + (not apart) - keep)]:
                    remove(folder, self.is_own, max(0.0, end - time.monotonic()))
        except OSError as error:
            logger.warning("%s: nothing more is pruned: %s", self.path, reason_of(error))

    def sweep(self) -> None:
        """Put right what processes that died have left, and touch nothing else.

        What was never finished is removed, and so is what was replaced, or what was being removed. A checkpoint that
        is finished gets its place if that is free; if another one has it that did not replace this one, it is kept
        under another name, with a warning.
        """
        with contextlib.suppress(OSError, WriteError), alone(self.path):
            for folder in (self.path / name for name in sorted(os.listdir(self.path)) if _is_left(name)):
                with contextlib.suppress(OSError), abandoned(folder, _newest(folder)) as is_free:
                    if is_free and folder.is_dir():
                        self._put_right(folder)

    def _put_right(self, folder: Path) -> None:
        """Put one folder right; temporary ones come first, as what they hold may be what replaces the others."""
        home, temporary = home_of(folder), name_of_temporary(folder.name) is not None
        if temporary and not has_all_files(folder):
            if is_known(folder / CONSOLIDATED):
                discard(folder)
        elif not os.path.lexists(home):
            os.rename(folder, home)
            sync_folder(self.path)
        elif self.is_own(home) and self.is_own(folder) and (is_suspect(folder) or not is_suspect(home)):
            hidden = folder if temporary else home.with_name(temporary_name(home.name))
            os.rename(folder, hidden)  # what is half removed is not to be found
            discard(hidden)
        else:
            kept = leftover(home)
            os.rename(folder, kept)
            logger.warning("%s is what a run that died has left of %s; it was renamed to %s", folder, home, kept)


def _is_left(name: str) -> bool:
    """Whether a name is one that a checkpoint's folder has before it gets its place, or once it has left it."""
    home = name_of_temporary(name) or name_of_replaced(name)
    return home is not None and _STEP.fullmatch(home) is not None


def _newest(folder: Path) -> float:
    """Return when anything in a folder, or its name, was changed last."""
    return max(path.lstat().st_ctime for path in (folder, *folder.rglob("*")))


def _is_whole(folder: Path) -> bool:
    """Whether all files that a manifest names are there, unchanged."""
    inside = folder / CONSOLIDATED
    files = read_manifest(inside).get("files", {})
    return all(is_unchanged(inside / os.path.basename(name), entry) for name, entry in files.items())


def _about(target: Path, problem: Problem) -> Problem:
    """Return a problem of a file that is written for a checkpoint as one of the checkpoint."""
    name = problem.place.file if isinstance(problem.place, Place) else problem.place
    if name in (str(target), str(target.parent)):
        return problem
    message = f"cannot be written: {os.path.basename(name)} {problem.message}"
    return problem._replace(message=message, place=Place(str(target)), advice="")


def checkpoint_name(step: int) -> str:
    return f"checkpoint_{step:06d}"


def write_json(path: Path, values: object, indent: int | None = 2) -> None:
    """Write a new file, durably."""
    with new_file(path) as descriptor:
        write_all(descriptor, json.dumps(values, indent=indent, allow_nan=False).encode() + b"\n")


def is_suspect(folder: Path) -> bool:
    """Whether something was wrong with the model that a checkpoint's folder holds, or odd about it."""
    return any(defect_and_doubt(folder / CONSOLIDATED))


def foreign_files(run_dir: str | os.PathLike[str]) -> list[Path]:
    """Return, sorted, what in a run's `checkpoints` folder was not written by this run, or was changed since.

    A checkpoint that was copied, renamed or edited is returned as a folder. Empty where the run has no checkpoints.
    What a save that was killed did not finish is the run's own.

    Args:
        run_dir: The run's folder, which `Checkpointer` was given.
    """
    own = RunFolder(Path(run_dir, STEPS))
    found: list[Path] = []
    for checkpoint in sorted({*own.path.glob("*")} - {*record_paths(own.path)}):
        if name_of_temporary(checkpoint.name) is not None and not has_all_files(checkpoint):
            continue
        if own.is_own(checkpoint):
            inside = checkpoint / CONSOLIDATED
            written = {inside, *(inside / name for name in (MANIFEST_NAME, *read_manifest(inside)["files"]))}
            found += sorted(path for path in checkpoint.rglob("*") if path not in written)
        else:
            found.append(checkpoint)
    return found


def delete_checkpoints(run_dir: str | os.PathLike[str]) -> None:
    """Delete the checkpoints that this run wrote, and the record that they are its own.

    Other checkpoints, and those that were changed since, stay, with a warning; so does one that cannot be deleted.

    Args:
        run_dir: The run's folder, which `Checkpointer` was given.
    """
    own = RunFolder(Path(run_dir, STEPS))
    if own.path.is_dir():
        own.sweep()
        own.prune(sys.maxsize, keep=1)  # the one of the step that is named counts as kept
        for record in record_paths(own.path):
            record.unlink()


@lru_cache(maxsize=64)  # once for a run that saves often
def _warn_of_foreign(parent: Path, names: str) -> None:
    if names:
        logger.warning("%s: not pruned, as they are not checkpoints of this run, or were changed: %s", parent, names)
