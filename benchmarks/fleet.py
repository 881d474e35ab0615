"""A tree of old checkpoints: the memory of a plan, and writing against the same reads and writes without parsing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from cold import COMMAND
from job import OLD
from measure import Figure, ratio, used

from tttcfg.documents.document import DOCUMENT_NAME, parse_document
from tttcfg.documents.save import document_bytes
from tttcfg.ttt_moshi.family import TTT_MOSHI

CONTROL = Path(__file__).parent / "programs" / "control.py"
SMALL = 1_000
STEPS_PER_RUN = 10
ROUNDS = 3
MOST_GROWTH = 1.05


def figures(work: Path, checkpoints: int) -> Iterator[Figure]:
    tree, payload = work / "tree", work / "migrated.json"
    payload.write_bytes(document_bytes(parse_document(OLD.read_bytes(), TTT_MOSHI)))
    yield from _memory(work, tree, checkpoints)
    for mode, at_most in (("no-fsync", 1.5), ("fsync", 1.15)):
        yield from _writing(tree, payload, checkpoints, mode, at_most)
    shutil.rmtree(tree)


def _memory(work: Path, tree: Path, checkpoints: int) -> Iterator[Figure]:
    """Compare the peak of a plan for a small tree with that for the whole one."""
    small = work / "small"
    _fill(small, min(SMALL, checkpoints // 10))
    _fill(tree, checkpoints)
    few, many = (used([COMMAND, "migrate", str(root)]).peak_kib / 1024 for root in (small, tree))
    name = f"peak memory of a plan, {checkpoints:,} / {min(SMALL, checkpoints // 10):,} checkpoints"
    yield ratio(name, many, few, MOST_GROWTH, unit="MiB")


def _writing(tree: Path, payload: Path, checkpoints: int, mode: str, at_most: float) -> Iterator[Figure]:
    migrate = [COMMAND, "migrate", str(tree), "--write", f"--{mode}"]
    control = [sys.executable, str(CONTROL), str(tree), str(payload), mode]
    one, own, bare = _interleaved([[*migrate, "--workers", "1"], migrate, control], tree, checkpoints)
    yield ratio(f"migrate --write, {mode}, 1 worker / bare writes", one, bare, None, unit="s")
    yield ratio(f"migrate --write, {mode}, by default / bare writes", own, bare, at_most, unit="s")


def _interleaved(commands: Sequence[Sequence[str]], tree: Path, checkpoints: int) -> list[float]:
    """Return the median seconds of each command, in turns, each on a fresh tree."""
    rounds = []
    for _ in range(ROUNDS):
        row = []
        for command in commands:
            _fill(tree, checkpoints)
            row.append(used(command).seconds)
        rounds.append(row)
    return [median(column) for column in zip(*rounds, strict=True)]


def _fill(tree: Path, checkpoints: int) -> None:
    """Make a tree of run folders, each with its checkpoints of version 3; what a run left there goes."""
    shutil.rmtree(tree, ignore_errors=True)
    data = OLD.read_bytes()
    for number in range(checkpoints):
        run, step = divmod(number, STEPS_PER_RUN)
        folder = tree / f"run_{run:05d}" / "checkpoints" / f"checkpoint_{(step + 1) * 100:06d}" / "consolidated"
        folder.mkdir(parents=True)
        (folder / DOCUMENT_NAME).write_bytes(data)
