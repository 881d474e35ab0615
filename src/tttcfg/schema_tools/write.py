"""Several files written together: all of them or none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from tttcfg.errors import Problem, TttcfgError
from tttcfg.files.locks import TEMPORARY_SUFFIX, alone, name_of_temporary
from tttcfg.files.storage import put_in_place, quietly, unwritable, writable_target, write_all, written_beside
from tttcfg.schema_tools.layout import History, problem_in


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
    try:
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as written:
            for path, data in wanted.items():
                for folder in _made_folders(path.parent):
                    undo.callback(quietly, folder.rmdir)
                target, found = writable_target(str(path))
                written.enter_context(alone(os.path.dirname(target)))
                write = partial(write_all, data=data)
                temporaries[path] = written.enter_context(written_beside(target, write, found))
            for path, temporary in temporaries.items():
                undo.callback(quietly, _put_back, path, before[path])
                put_in_place(temporary, os.path.realpath(path))
            undo.pop_all()
    except OSError as error:
        if isinstance(error, TttcfgError):
            raise
        where, name = os.path.split(str(error.filename or next(iter(wanted))))
        raise unwritable(os.path.join(where, name_of_temporary(name) or name), error) from None
    return list(wanted)


def interrupted(history: History) -> Iterator[Problem]:
    """Yield what an interrupted write left among the files of a history: some of that version may be missing."""
    for kind, folder in (("step", history.migrations), ("schema", history.schemas), ("golden", history.golden)):
        for path in sorted(folder.glob(f".*{TEMPORARY_SUFFIX}")):
            message = "was left by a command that was interrupted, unless one is writing at this moment"
            yield problem_in(path, kind, message, "remove it, and run the command again")


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; return the ones that were made, the outermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _put_back(path: Path, old: bytes | None) -> None:
    if old is None:
        path.unlink()
    elif _bytes(path) != old:
        path.write_bytes(old)
