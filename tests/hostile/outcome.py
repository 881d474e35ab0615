"""What a case of the corpus ends with: run in this process, or as a process of its own under limits."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import typer

from tttcfg.cli.app import COMMANDS, build, prepared
from tttcfg.errors import TttcfgError

GOLDEN = Path(__file__).with_name("outcomes.json")
CPU_SECONDS = 20
"""After which the system ends a forked process."""
_USAGE: type[Exception] = typer.BadParameter.__mro__[2]


def outcome(arguments: list[str]) -> list[Any]:
    """Return the exit code of a command in the current folder, and the codes of its errors.

    An error that is none of ours is raised. Of a file that `migrate` reports as failed, the codes are in its JSON.
    """
    application: Any = typer.main.get_command(build(COMMANDS))
    out = StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(StringIO()):
            code = application(prepared(arguments), "tttcfg", standalone_mode=False)
    except TttcfgError as error:
        return [error.exit_code, sorted({one.code for one in error.problems})]
    except _USAGE as error:
        return [error.exit_code, ["usage"]]  # type: ignore[attr-defined]
    return [code or 0, sorted(_codes_in(out.getvalue()))]


def expected() -> dict[str, list[Any]]:
    """Return what every case of the corpus is recorded to end with."""
    found: dict[str, list[Any]] = json.loads(GOLDEN.read_text("utf-8"))
    return found


def _codes_in(text: str) -> set[str]:
    if not text.startswith('{"files"'):
        return set()
    return {problem["code"] for file in json.loads(text)["files"] for problem in file["problems"]}


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return everything in a folder, so that a change can be seen."""
    found = {}
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(here, name))
            found[os.path.join(here, name)] = status.st_ino, status.st_size, status.st_mtime_ns
    return found


class Cost(NamedTuple):
    """What a case took beyond the process that it was forked from: seconds of processor time, and bytes."""

    seconds: float
    memory: int


def measured(arguments: list[str], folder: Path) -> tuple[list[Any] | None, Cost]:
    """Return what a command ends with in a forked process, and its cost; None where it was killed or failed."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)  # memory that this process has freed would hide what the other one takes
    read, write = os.pipe()
    before = _resident()
    child = os.fork()
    if not child:
        _answer(arguments, folder, write)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        text = answer.read()
    _, _, usage = os.wait4(child, 0)
    cost = Cost(usage.ru_utime + usage.ru_stime, max(0, usage.ru_maxrss * 1024 - before))
    return json.loads(text) if text else None, cost


def _answer(arguments: list[str], folder: Path, write: int) -> NoReturn:
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        os.chdir(folder)
        os.write(write, json.dumps(outcome(arguments)).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
