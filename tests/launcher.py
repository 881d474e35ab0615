"""Starting a command as a process: the one way in which tests do it.

A process gets this environment without what colours or resizes output, one thread for torch, and the default handling
of Ctrl-C; it reads what it is given or nothing, inherits no other descriptor, and is ended with all that it started.

Seven things start processes in another way:

- `tests.cli.served` forks the command line from a process that has imported it.
- `tests.nn.checkpoints.killed` forks what it kills in the middle of a save.
- `tests.nn.ranks.test_ranks` forks ranks from a process that has imported torch.
- `tests.trust.faults` forks what is killed at a call of the system.
- `tests.hostile.outcome` forks what it measures from a process that has imported it.
- `tests.files.test_locks` forks a process from one that holds a lock.
- `tests.fleet.test_migrate` tests the start of a pool of processes itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

LIMIT = 300
"""Seconds after which a process is killed: many times what any of them takes."""
_UNSET = (
    *("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TTTCFG_COMPLETE", "_TTTCFG_COMPLETE"),
    *("PYTHONIOENCODING", "PYTEST_ADDOPTS"),
)


class Result(NamedTuple):
    """What a process wrote, and the code that it ended with."""

    code: int
    out: str
    err: str
    memory: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return the environment of a process, with `changes`; None removes a variable."""
    kept = {key: value for key, value in os.environ.items() if key not in _UNSET}
    changed = {"OMP_NUM_THREADS": "1", **kept, **(changes or {})}
    return {key: value for key, value in changed.items() if value is not None}


def start(
    *command: str | Path, env: Mapping[str, str | None] | None = None, encoding: str = "utf-8", **options: Any
) -> subprocess.Popen[str]:
    """Start a command in a process group of its own.

    Args:
        env: Changes of the environment.
        options: Those of `subprocess.Popen`; by default standard input is empty.
    """
    options = {"stdin": subprocess.DEVNULL, "start_new_session": True, **options}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # an ignored signal would stay ignored
    try:
        return subprocess.Popen([*map(str, command)], env=environment(env), encoding=encoding, **options)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def started(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command as `start` does, and kill its process group in the end."""
    with start(*command, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def launch(
    *command: str | Path, given: str | None = None, code: int | None = 0, limit: float = LIMIT, **options: Any
) -> Result:
    """Run a command to its end and return what it wrote; it is killed after `limit` seconds.

    Args:
        given: What it reads from standard input.
        code: The code that it must end with; None for any.
        options: Those of `start`; by default both outputs are captured.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with started(*command, **options) as process:
        out, err = process.communicate(given, timeout=limit)
    assert code in (None, process.returncode), f"ended with {process.returncode}\n{out or ''}{err or ''}"
    return Result(process.returncode, out or "", err or "")


def python(*arguments: str | Path, **options: Any) -> Result:
    """Run the interpreter of the tests as `launch` does."""
    return launch(sys.executable, *arguments, **options)
