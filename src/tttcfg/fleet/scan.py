"""Finding saved documents in trees of checkpoints, in constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from tttcfg.document import DOCUMENT_NAME
from tttcfg.errors import InputError, Place, Problem


def find_documents(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """Yield every file that is given, and every `training_config.json` below the folders that are given.

    Links to folders are not followed, and `tmp.consolidated` folders, which a crash leaves behind, not entered.

    Raises:
        InputError: A given path does not exist; nothing has been yielded then.
    """
    roots = [os.fspath(path) for path in paths]
    missing = [root for root in roots if not os.path.lexists(root)]
    if missing:
        raise InputError(Problem("not_found", "there is no such file or folder", place=Place(root)) for root in missing)
    return _walk(roots)


def _walk(roots: list[str]) -> Iterator[str]:
    for root in roots:
        if not os.path.isdir(root):
            yield root
            continue
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("tmp."))
            if DOCUMENT_NAME in files:
                yield os.path.join(folder, DOCUMENT_NAME)
