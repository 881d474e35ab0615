"""Finding saved documents in trees of checkpoints, in constant memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from tttcfg.documents.document import DOCUMENT_NAME
from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.storage import TEMPORARY_SUFFIX

LEFT_BEHIND = "tmp.consolidated"
"""A folder that a crash of the trainer leaves behind; what lies in it is not complete. Ours end in a suffix."""


def find_documents(
    paths: Iterable[str | os.PathLike[str]], unlisted: Callable[[InputError], None] | None = None
) -> Iterator[str]:
    """Yield every file that is given, and every `training_config.json` below the folders that are given, once.

    Links to folders are not followed, and folders that a crash leaves behind (`tmp.consolidated`, `*.tttcfg-tmp`) not
    entered.

    Args:
        unlisted: Called with every folder that cannot be listed; without it, such a folder ends the search.

    Raises:
        InputError: A given path does not exist; nothing has been yielded then.
    """
    roots = [os.fspath(path) for path in paths]
    missing = [root for root in roots if not os.path.lexists(root)]
    if missing:
        raise InputError(Problem("not_found", "there is no such file or folder", place=Place(root)) for root in missing)
    return _documents(_apart(roots), unlisted or _refuse)


def _refuse(error: InputError) -> None:
    raise error


def _apart(roots: Iterable[str]) -> list[str]:
    """Return the roots without duplicates, and without those that the search of another one finds."""
    real: dict[str, str] = {}
    for root in roots:
        real.setdefault(os.path.realpath(root), root)
    folders = {path for path in real if os.path.isdir(path)}
    return [root for path, root in real.items() if not (_is_found(path, folders) or _is_found(_place(root), folders))]


def _place(root: str) -> str:
    """Return where a file lies, be it a link to another place."""
    return os.path.join(os.path.realpath(os.path.dirname(root)), os.path.basename(root))


def _is_found(path: str, folders: set[str]) -> bool:
    """Whether searching one of `folders` comes by `path`."""
    below, name = os.path.split(path)
    if path not in folders and name != DOCUMENT_NAME:
        return False
    if path in folders and _is_left_behind(name):
        return False
    while below not in folders:
        above, name = os.path.split(below)
        if not name or _is_left_behind(name):
            return False
        below = above
    return below != path


def _is_left_behind(name: str) -> bool:
    return name == LEFT_BEHIND or name.endswith(TEMPORARY_SUFFIX)


def _documents(roots: Iterable[str], unlisted: Callable[[InputError], None]) -> Iterator[str]:
    for root in roots:
        if os.path.isdir(root):
            yield from _below(root, unlisted)
        else:
            yield root


def _below(root: str, unlisted: Callable[[InputError], None]) -> Iterator[str]:
    rest = [root]
    while rest:
        folder = rest.pop()
        try:
            found, folders = _listed(folder)
        except OSError as error:
            reason = f"cannot be searched: {error.strerror or error}"
            unlisted(InputError(Problem("unreadable", reason, place=Place(folder))))
            continue
        if found:
            yield os.path.join(folder, DOCUMENT_NAME)
        rest += [os.path.join(folder, name) for name in sorted(folders, reverse=True)]


def _listed(folder: str) -> tuple[bool, list[str]]:
    """Return whether a folder holds a document, and the names of the folders in it."""
    found, folders = False, []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not _is_left_behind(entry.name):
                    folders.append(entry.name)
            elif entry.name == DOCUMENT_NAME:
                found = True
    return found, folders
