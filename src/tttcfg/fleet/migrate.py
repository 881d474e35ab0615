"""Migrating one saved document, or thousands: plan, write, go on after a failure."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import Pool
from typing import Literal, NamedTuple

from tttcfg.document import parse_document
from tttcfg.errors import TttcfgError, printable
from tttcfg.family import Family
from tttcfg.saving import canonical_bytes, document_bytes, migrate_tree
from tttcfg.sources.json import read_json
from tttcfg.sources.text import decode
from tttcfg.storage import read_bytes, write_atomically
from tttcfg.ttt_moshi.family import TTT_MOSHI

BATCH = 64

Status = Literal["current", "planned", "migrated", "failed"]


class Outcome(NamedTuple):
    """What became of one document; `problem` says why it failed, if it did."""

    path: str
    status: Status
    version: int | None = None
    to: int | None = None
    decided_by: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Task:
    """What is to be done with every document."""

    to: int
    write: bool = False
    allow_loss: bool = False
    fsync: bool = True

    @property
    def family(self) -> Family:
        return TTT_MOSHI


def migrate_file(path: str, task: Task) -> Outcome:
    """Migrate one document; what cannot be migrated stays as it is, and the outcome says why."""
    try:
        return _migrate(path, task)
    except TttcfgError as error:
        return Outcome(path, "failed", to=task.to, problem=str(error))
    except OSError as error:
        return Outcome(path, "failed", to=task.to, problem=f"{printable(path)}: {error.strerror or error}")


def _migrate(path: str, task: Task) -> Outcome:
    raw = read_bytes(path)
    document = parse_document(raw, task.family, path)
    version, decided_by = document.version, document.decided_by
    if version == task.to:
        return Outcome(path, "current", version, task.to, decided_by)
    data = document_bytes(document) if task.to == task.family.head else _older_bytes(raw, task, path)
    if not task.write:
        return Outcome(path, "planned", version, task.to, decided_by)
    write_atomically(path, data, expected=raw, backup=f"{path}.v{version}.bak", fsync=task.fsync)
    return Outcome(path, "migrated", version, task.to, decided_by)


def _older_bytes(raw: bytes, task: Task, path: str) -> bytes:
    values = read_json(decode(raw, path), path).values
    return canonical_bytes(migrate_tree(values, task.family, to=task.to, allow_loss=task.allow_loss, path=path))


def migrate_many(paths: Iterable[str], task: Task, workers: int = 1) -> Iterator[Outcome]:
    """Migrate documents one after the other, or in as many processes; outcomes come in the order of `paths`."""
    if workers <= 1:
        yield from (migrate_file(path, task) for path in paths)
        return
    rest = iter(paths)
    with Pool(workers, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:  # Ctrl-C ends them with us
        while batch := list(islice(rest, BATCH * workers)):
            yield from pool.map(partial(migrate_file, task=task), batch)
