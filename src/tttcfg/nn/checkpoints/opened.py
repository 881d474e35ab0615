"""A checkpoint that every rank reads: its files are opened once, and are those of one save on all ranks."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tttcfg.documents.checkpoint import Checkpoint, opened_checkpoint
from tttcfg.errors import InputError, Place, Problem, RankError
from tttcfg.files.open_folder import inside
from tttcfg.files.storage import read_bytes
from tttcfg.nn.checkpoints.manifests import MANIFEST_CAP, MANIFEST_NAME
from tttcfg.nn.ranks.ranks import gather_texts, log_once, together

logger = logging.getLogger(__name__)
_ATTEMPTS = 100


@contextmanager
def opened_together(path: str | os.PathLike[str]) -> Iterator[Checkpoint]:
    """Open the checkpoint that a path leads to, on every rank the same save. A collective.

    Raises:
        InputError: There is no checkpoint.
        RankError: The ranks do not get to the same one.
    """
    for _ in range(_ATTEMPTS):  # each time a rank was in between, another checkpoint was saved
        with ExitStack() as stack:
            found = together(lambda stack=stack: stack.enter_context(opened_checkpoint(path)))  # type: ignore[misc]
            if len({*gather_texts(_save(found))} - {""}) <= 1:
                for problem in found.passed_over:
                    log_once(logger, logging.WARNING, "%s", problem)
                yield found
                return
    message, advice = "the ranks read different checkpoints from it", "give them the same one, in a shared folder"
    raise RankError(Problem("ranks", message, place=Place(os.fspath(path)), advice=advice))


def place_of(found: Checkpoint, path: str | os.PathLike[str]) -> str:
    """Return the path to what was opened by `path`, which leads there again: a file where one was given."""
    return found.weights[0] if found.weights == (os.fspath(path),) else found.folder


def _save(found: Checkpoint) -> str:
    """Return what distinguishes this save from all others; empty where its manifest cannot be read."""
    try:
        data = read_bytes(inside(found.folder, MANIFEST_NAME), MANIFEST_CAP)
    except InputError:
        return ""
    return hashlib.sha256(data).hexdigest()
