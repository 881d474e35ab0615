"""Measuring: instructions of a command, processor time of a call, and the line that reports the result."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

VALGRIND = shutil.which("valgrind")
ROUNDS = 9


class Figure(NamedTuple):
    """One measured figure: what came out, and whether that meets the target."""

    name: str
    measured: str
    target: str
    meets: bool | None


class Usage(NamedTuple):
    """What one run of a command took."""

    seconds: float
    peak_kib: int


def report(figure: Figure) -> None:
    verdict = "" if figure.meets is None else "meets" if figure.meets else "misses"
    sys.stdout.write(f"{figure.name:<58}  {figure.measured:<44}  {figure.target:<14}  {verdict}".rstrip() + "\n")
    sys.stdout.flush()


def ratio(name: str, ours: float, peer: float, at_most: float | None, *, unit: str) -> Figure:
    """Return the figure of a cost as a multiple of another one."""
    measured = f"{ours / peer:.3f} ({ours:,.1f} against {peer:,.1f} {unit})"
    target = f"<= {at_most:.2f}" if at_most is not None else ""
    return Figure(name, measured, target, None if at_most is None else ours / peer <= at_most)


def cost(commands: Sequence[Sequence[str]], *, code: int = 0) -> tuple[list[float], str]:
    """Return what each command costs, and the unit: instructions, or time where they cannot be counted."""
    for command in commands:  # so that every module is compiled
        used(command, code=code)
    if VALGRIND:
        return [_instructions(command, code) / 1e6 for command in commands], "M instructions"
    rounds = [[used(command, code=code).seconds * 1e3 for command in commands] for _ in range(ROUNDS)]
    return [median(column) for column in zip(*rounds, strict=True)], "ms"


def _instructions(command: Sequence[str], code: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "callgrind"
        tool = [str(VALGRIND), "--tool=callgrind", f"--callgrind-out-file={output}"]
        used([*tool, *command], code=code)
        lines = output.read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(("summary:", "totals:")))


def used(command: Sequence[str], *, code: int = 0) -> Usage:
    """Run a command to its end; it must leave with `code`."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, resources = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != code:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read().decode(errors='replace')}")
    return Usage(seconds, resources.ru_maxrss)


def interleaved(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the processor seconds of one call of each, in turns, so that all see the same machine.

    The fastest round counts, as timeit advises: what makes another slower is the machine's other load.
    """
    for call in calls:
        call()
    gc.collect()
    rounds = [[_seconds(call, repeats) for call in calls] for _ in range(ROUNDS)]
    return [min(column) for column in zip(*rounds, strict=True)]


def _seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats
