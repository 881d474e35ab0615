"""Migrating one saved document, or thousands: plan, write, go on after a failure."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import Pool
from multiprocessing.pool import AsyncResult
from typing import Literal, NamedTuple

from tttcfg.documents.document import DOCUMENT_CAP, parse_document, read_unplaced
from tttcfg.documents.downgrade import migrate_tree, migrate_whatever_is_lost, refuse_losses
from tttcfg.documents.save import canonical_bytes, document_bytes
from tttcfg.errors import InputError, Place, Problem, TttcfgError, printable
from tttcfg.family.extension import KEY as EXTENSIONS
from tttcfg.family.extension import path_of
from tttcfg.family.family import Family
from tttcfg.files.storage import read_bytes, write_atomically
from tttcfg.fleet.plan import Change, between, losing, upgrading
from tttcfg.formats.json import read_json
from tttcfg.formats.text import decode
from tttcfg.resolving.families import family_named, with_family

FEW = 64
"""Documents that are migrated sooner than processes could be started for them."""
BATCH = 16
"""Documents that a process takes at a time."""
WAITING = 3
"""Processes per processor where each file is made durable: most of the time they wait for the disk."""
AHEAD = 4
"""Batches that lie ready for every process, so that none waits for the others, or for who reads the outcomes."""

Status = Literal["current", "planned", "migrated", "failed"]


class Outcome(NamedTuple):
    """What became of one document: why it failed, if it did, and what changes, if that was asked for.

    `changes` has what is lost in any case. `passed_through` names the extensions that are not installed, whose
    sections stay as they are.
    """

    path: str
    status: Status
    version: int | None = None
    to: int | None = None
    decided_by: tuple[str, ...] = ()
    problem: str = ""
    changes: tuple[Change, ...] = ()
    passed_through: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """What is to be done with every document.

    Attributes:
        to: The version that each is brought to; None for the newest of its family.
        family_name: The family of all of them; None for that which each names in its `$schema`, or the built-in one.
    """

    to: int | None = None
    write: bool = False
    allow_loss: bool = False
    fsync: bool = True
    explain: bool = False
    family_name: str | None = None
    strict_extensions: bool = False


def migrate_file(path: str, task: Task) -> Outcome:
    """Migrate one document; what cannot be migrated stays as it is, with the reason in the outcome."""
    try:
        return _migrate(path, task)
    except TttcfgError as error:
        return Outcome(path, "failed", to=task.to, problem=str(error))
    except OSError as error:
        return Outcome(path, "failed", to=task.to, problem=f"{printable(path)}: {error.strerror or error}")


def _migrate(path: str, task: Task) -> Outcome:
    raw, family = read_bytes(path, DOCUMENT_CAP), family_named(task.family_name) if task.family_name else None
    return with_family(lambda own: _migrated(raw, path, task, own), family)


def _migrated(raw: bytes, path: str, task: Task, family: Family) -> Outcome:
    to = family.head if task.to is None else task.to
    document = parse_document(raw, family, path)
    version, decided_by = document.version, document.decided_by
    passed_through = tuple(document.passed_through)
    if passed_through and task.strict_extensions:
        message = "is an extension that is not installed; install it, or do without --strict-extensions"
        raise InputError(Problem("extension", message, f"{path_of(name)[:-1]}", Place(path)) for name in passed_through)
    if not 0 <= to <= family.head:
        message = f"there is no version {to} of {family.name}; versions go from 0 to {family.head}"
        raise InputError(Problem("version", message, place=Place(path)))
    if version == to and (document.is_current or to != family.head):
        return Outcome(path, "current", version, to, decided_by, passed_through=passed_through)
    if to == family.head:
        data = document_bytes(document)
        changes = upgrading(document) if task.explain else []
    else:
        data, changes, kept = _older(raw, task, to, family, path)
        passed_through = tuple(name for name in passed_through if name in kept)
    if task.write:
        write_atomically(path, data, expected=raw, backup=f"{path}.v{version}.bak", fsync=task.fsync)
    status: Status = "migrated" if task.write else "planned"
    return Outcome(path, status, version, to, decided_by, changes=tuple(changes), passed_through=passed_through)


def _older(raw: bytes, task: Task, to: int, family: Family, path: str) -> tuple[bytes, list[Change], Container[str]]:
    """Return a document's bytes in another version, what changes, and the extensions whose sections go with it."""
    values = read_unplaced(raw) or read_json(decode(raw, path), path).values
    tree, losses = migrate_whatever_is_lost(values, family, to=to, path=path)
    if not task.allow_loss:
        refuse_losses(losses, path)
    lost = []
    if losses:
        newest = migrate_tree(values, family, path=path)
        lost = losing({**newest, EXTENSIONS: values.get(EXTENSIONS)}, losses)
    changes = between(values, tree, to, lost) if task.explain else lost
    return canonical_bytes(tree), changes, tree.get(EXTENSIONS, {})


def migrate_many(paths: Iterable[str], task: Task, workers: int | None = None) -> Iterator[Outcome]:
    """Migrate documents in so many processes; outcomes come in the order of `paths`.

    Args:
        workers: Left out, as many as keep the processors busy for more than a few documents, else none but this one.
    """
    rest = iter(paths)
    first = list(islice(rest, FEW + 1)) if workers is None else []
    if workers is None:
        workers = _processors() * (WAITING if task.write and task.fsync else 1) if len(first) > FEW else 1
    rest = chain(first, rest)
    if workers <= 1:
        yield from (migrate_file(path, task) for path in rest)
        return
    under_way: deque[AsyncResult[list[Outcome]]] = deque()
    with ExitStack() as started:
        with _interrupts_deferred():  # one that died of it while it starts would leave a lock that closing waits for
            pool = started.enter_context(Pool(workers, signal.signal, (signal.SIGINT, signal.SIG_IGN)))
        while True:
            while len(under_way) < AHEAD * workers and (batch := list(islice(rest, BATCH))):
                under_way.append(pool.apply_async(_migrate_all, (batch, task)))
            if not under_way:
                return
            yield from under_way.popleft().get()


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Deliver Ctrl-C afterwards, and never to processes that are started meanwhile: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _migrate_all(paths: list[str], task: Task) -> list[Outcome]:
    return [migrate_file(path, task) for path in paths]
