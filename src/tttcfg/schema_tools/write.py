"""Several files written together: all of them or none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tttcfg.errors import Problem, TttcfgError, WriteError
from tttcfg.files.durable import write_all
from tttcfg.files.storage import TEMPORARY_SUFFIX, put_in_place, unwritable, writable_target, write_temporary
from tttcfg.schema_tools.layout import Sources, shown


def write_together(files: Mapping[Path, bytes]) -> list[Path]:
    """Write files in their order, making their folders; return those that were not there with these bytes.

    Everything is on the disk under temporary names before the first takes its place, so that a full or read-only disk
    changes nothing. Where one cannot take its place all the same, those before it are put back.

    Raises:
        WriteError: A file could not be written; all are as they were.
    """
    wanted = {path: data for path, data in files.items() if _bytes(path) != data}
    before = {path: _bytes(path) for path in wanted}
    temporaries: dict[Path, str] = {}
    folders: list[Path] = []
    done: list[Path] = []
    try:
        for path, data in wanted.items():
            folders += _made_folders(path.parent)
            target, found = writable_target(str(path))
            temporaries[path] = write_temporary(target, partial(write_all, data=data), found)
        for path, temporary in temporaries.items():
            put_in_place(temporary, os.path.realpath(path))
            done.append(path)
    except BaseException as error:
        _undo(done, before, temporaries, folders)
        if isinstance(error, OSError) and not isinstance(error, TttcfgError):
            raise _said(error, wanted) from None
        raise
    return list(wanted)


def cut_short(sources: Sources) -> Iterator[Problem]:
    """Yield what a write that was killed left among the files of a history: some of that version may be missing."""
    for kind, folder in (("step", sources.migrations), ("schema", sources.schemas), ("golden", sources.golden)):
        for path in sorted(folder.glob(f".*{TEMPORARY_SUFFIX}")):
            message = "was left by a command that was cut short, unless one is writing at this moment"
            yield Problem(kind, message, place=shown(path), advice="take it out, and give the command again")


def _said(error: OSError, wanted: Mapping[Path, bytes]) -> WriteError:
    return unwritable(str(error.filename or next(iter(wanted))), error)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; return the ones that were made, the outermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _undo(
    done: list[Path], before: Mapping[Path, bytes | None], temporaries: Mapping[Path, str], folders: list[Path]
) -> None:
    with contextlib.suppress(OSError):
        for path in reversed(done):
            old = before[path]
            if old is None:
                path.unlink()
            else:
                path.write_bytes(old)
    for temporary in temporaries.values():
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()
