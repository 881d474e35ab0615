"""Finding saved documents and other files in trees of checkpoints, in constant memory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tttcfg.documents.document import DOCUMENT_NAME
from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.locks import TEMPORARY_SUFFIX
from tttcfg.urls import is_url

_BEFORE_VALUE = re.compile(r"^([^/=:,;]*(?:[=:,;]|->)).+", re.DOTALL)
"""The start of an override that was taken for a path; the rest of it may be a secret."""
UNFINISHED = "tmp.consolidated"
"""A folder that a crash of the trainer leaves behind; what lies in it is not complete. Ours end in a suffix."""


class Wanted(NamedTuple):
    """By their names, which files are looked for, and which folders are searched."""

    file: Callable[[str], bool]
    folder: Callable[[str], bool]


def find_documents(
    paths: Iterable[str | os.PathLike[str]], unlisted: Callable[[InputError], None] | None = None
) -> Iterator[str]:
    """Yield every file that is given, and every `training_config.json` below the folders that are given, once.

    Folders that a crash leaves behind (`tmp.consolidated`, `*.tttcfg-tmp`) are not entered; else see `find_files`.
    """
    return find_files(paths, _DOCUMENTS, unlisted)


def find_files(
    paths: Iterable[str | os.PathLike[str]], wanted: Wanted, unlisted: Callable[[InputError], None] | None = None
) -> Iterator[str]:
    """Yield every file that is given, and every wanted one below the folders that are given, once.

    Links to folders are not followed.

    Args:
        unlisted: Called with every folder that cannot be listed; without it, such a folder ends the search.

    Raises:
        InputError: A given path does not exist; nothing has been yielded then.
    """
    roots = [os.fspath(path) for path in paths]
    missing = [root for root in roots if not os.path.lexists(root)]
    if missing:
        names = (root if is_url(root) else _BEFORE_VALUE.sub(r"\1…", root) for root in missing)
        raise InputError(Problem("not_found", "there is no such file or folder", place=Place(name)) for name in names)
    apart = _apart(roots, wanted)
    searched = (_below(root, wanted, unlisted) if os.path.isdir(root) else (root,) for root in apart)
    return (file for files in searched for file in files)


def _apart(roots: Iterable[str], wanted: Wanted) -> list[str]:
    """Return the roots without duplicates, and without those that the search of another one finds."""
    real: dict[str, str] = {}
    for root in roots:
        real.setdefault(os.path.realpath(root), root)
    folders = {path for path in real if os.path.isdir(path)}
    return [
        root
        for path, root in real.items()
        if not (_is_found(path, folders, wanted) or _is_found(_place(root), folders, wanted))
    ]


def _place(root: str) -> str:
    """Return where a file lies, be it a link to another place."""
    return os.path.join(os.path.realpath(os.path.dirname(root)), os.path.basename(root))


def _is_found(path: str, folders: set[str], wanted: Wanted) -> bool:
    """Whether searching one of `folders` comes by `path`."""
    below, name = os.path.split(path)
    if not (wanted.folder(name) if path in folders else wanted.file(name)):
        return False
    while below not in folders:
        above, name = os.path.split(below)
        if not name or not wanted.folder(name):
            return False
        below = above
    return below != path


def _is_unfinished(name: str) -> bool:
    return name == UNFINISHED or name.endswith(TEMPORARY_SUFFIX)


_DOCUMENTS = Wanted(lambda name: name == DOCUMENT_NAME, lambda name: not _is_unfinished(name))


def _below(root: str, wanted: Wanted, unlisted: Callable[[InputError], None] | None) -> Iterator[str]:
    rest = [root]
    while rest:
        folder = rest.pop()
        try:
            files, folders = _listed(folder, wanted)
        except OSError as error:
            reason = f"cannot be searched: {error.strerror or error}"
            refusal = InputError(Problem("unreadable", reason, place=Place(folder)))
            if unlisted is None:
                raise refusal from None
            unlisted(refusal)
            continue
        yield from (os.path.join(folder, name) for name in sorted(files))
        rest += [os.path.join(folder, name) for name in sorted(folders, reverse=True)]


def _listed(folder: str, wanted: Wanted) -> tuple[list[str], list[str]]:
    """Return the names of the wanted files in a folder, and of the folders that are to be entered."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if wanted.folder(entry.name):
                    folders.append(entry.name)
            elif wanted.file(entry.name):
                files.append(entry.name)
    return files, folders
