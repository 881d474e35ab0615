"""Migrating one saved document, or thousands: plan, write, go on after a failure."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from multiprocessing import Pool
from multiprocessing.pool import AsyncResult
from typing import Literal, NamedTuple

from tttcfg.documents.document import DOCUMENT_CAP, parse_document, read_unplaced
from tttcfg.documents.downgrade import migrate_tree, migrate_whatever_is_lost, refuse_losses
from tttcfg.documents.save import canonical_bytes, document_bytes
from tttcfg.documents.secret_values import secrets_of_file
from tttcfg.errors import ForeignDocumentError, InputError, Place, Problem
from tttcfg.family.extension import EXTENSIONS, path_of
from tttcfg.family.family import Family
from tttcfg.files.locks import alone
from tttcfg.files.storage import read_bytes, write_atomically
from tttcfg.fleet.failures import problems_of
from tttcfg.fleet.plan import DocumentChange, between, losing, upgrading
from tttcfg.formats.json import read_json
from tttcfg.formats.text import decode
from tttcfg.resolving.families import family_in_bytes, family_named

FEW = 64
"""Documents that are migrated sooner than processes could be started for them."""
BATCH = 16
"""Documents that a process takes at a time."""
WAITING = 3
"""Processes per processor where each file is made durable: most of the time they wait for the disk."""
AHEAD = 4
"""Batches that lie ready for every process, so that none waits for the others, or for who reads the outcomes."""

MigrationStatus = Literal["current", "planned", "migrated", "failed"]


class MigrationResult(NamedTuple):
    """What became of one document: why it failed, if it did, and what changes, if that was asked for.

    `changes` has what is lost in any case. `secrets` names those in the document as it was, which its `backup` keeps, a
    path where it is written. `passed_through` names the extensions that are not installed, whose sections stay as they
    are.
    """

    path: str
    status: MigrationStatus
    version: int | None = None
    to: int | None = None
    decided_by: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    changes: tuple[DocumentChange, ...] = ()
    passed_through: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    backup: str = ""


@dataclass(frozen=True)
class MigrationTask:
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


def migrate_file(path: str, task: MigrationTask) -> MigrationResult:
    """Migrate one document; what cannot be migrated stays as it is, with the reason in the outcome."""
    try:
        family = family_named(task.family_name) if task.family_name else None
        with alone(os.path.dirname(os.path.realpath(path))) if task.write else nullcontext():
            raw = read_bytes(path, DOCUMENT_CAP)
            return _migrated(raw, path, task, family or family_in_bytes(raw))
    except Exception as error:
        return MigrationResult(path, "failed", to=task.to, problems=problems_of(error, path))


def _migrated(raw: bytes, path: str, task: MigrationTask, family: Family) -> MigrationResult:
    to = family.head if task.to is None else task.to
    document = parse_document(raw, family, path)
    if document.written is not None:
        own, advice = document.written.family.name, "leave --family out; resolve, verify and diff read it as one"
        message = f"is a document of {own}, and migrating does not make one of {family.name} of it"
        raise ForeignDocumentError(Problem("family", message, "$schema", Place(path), advice=advice))
    version, decided_by = document.version, document.decided_by
    passed_through = tuple(document.passed_through)
    if passed_through and task.strict_extensions:
        message = "is an extension that is not installed; install it, or do without --strict-extensions"
        raise InputError(Problem("extension", message, f"{path_of(name)[:-1]}", Place(path)) for name in passed_through)
    family.require_version(to, "--to")
    if version == to and (document.is_current or to != family.head):
        return MigrationResult(path, "current", version, to, decided_by, passed_through=passed_through)
    if to == family.head:
        data = document_bytes(document)
        changes = upgrading(document) if task.explain else []
    else:
        data, changes, going = _older(raw, task, to, family, path)
        passed_through = tuple(name for name in passed_through if name in going)
    secrets, kept = tuple(secrets_of_file(raw, path, family) or ()), f"{path}.v{version}.bak"
    backup = ""
    if task.write:
        backup = write_atomically(path, data, expected=raw, backup=kept, private_backup=bool(secrets), fsync=task.fsync)
    status: MigrationStatus = "migrated" if task.write else "planned"
    return MigrationResult(path, status, version, to, decided_by, (), tuple(changes), passed_through, secrets, backup)


def _older(
    raw: bytes, task: MigrationTask, to: int, family: Family, path: str
) -> tuple[bytes, list[DocumentChange], Container[str]]:
    """Return a document's bytes in another version, what changes, and the extensions whose sections go with it."""
    values = read_unplaced(raw) or read_json(decode(raw, path), path).values
    tree, losses = migrate_whatever_is_lost(values, family, to=to, path=path)
    if not task.allow_loss:
        refuse_losses(losses, path)
    lost = []
    if losses:
        lost = losing(migrate_tree(values, family, path=path), losses)
    changes = between(values, tree, to, lost) if task.explain else lost
    return canonical_bytes(tree), changes, tree.get(EXTENSIONS, {})


def migrate_many(paths: Iterable[str], task: MigrationTask, workers: int | None = None) -> Iterator[MigrationResult]:
    """Migrate documents in so many processes; outcomes come in the order of `paths`.

    Args:
        workers: Left out, as many as keep the processors busy for more than a few documents, else none but this one.
    """
    rest = iter(paths)
    if workers is None:
        first = list(islice(rest, FEW + 1))
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        workers = processors * (WAITING if task.write and task.fsync else 1) if len(first) > FEW else 1
        rest = chain(first, rest)
    if workers <= 1:
        yield from (migrate_file(path, task) for path in rest)
        return
    under_way: deque[AsyncResult[list[MigrationResult]]] = deque()
    with ExitStack() as started:
        # One that died of it while it starts would leave a lock that closing waits for.
        with _interrupts_deferred(), _current_folder_not_searched():
            pool = started.enter_context(Pool(workers, signal.signal, (signal.SIGINT, signal.SIG_IGN)))
        while True:
            while len(under_way) < AHEAD * workers and (batch := list(islice(rest, BATCH))):
                under_way.append(pool.map_async(partial(migrate_file, task=task), batch, BATCH))
            if not under_way:
                return
            yield from under_way.popleft().get()


@contextmanager
def _current_folder_not_searched() -> Iterator[None]:
    """Keep Python from importing from the current folder in processes that are not forked from this one."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before


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
