"""Running the command line as a process: piped, on a terminal, and in Python for speed."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from tests.cli.served import server

TTTCFG = (sys.executable, "-m", "tttcfg")
_UNSET = ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TTTCFG_COMPLETE", "_TTTCFG_COMPLETE", "PYTHONIOENCODING")


class Result(NamedTuple):
    """What a process said and how it left."""

    code: int
    out: str
    err: str
    memory: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what colours or resizes output, with `changes`."""
    return {key: value for key, value in os.environ.items() if key not in _UNSET} | changes


def run(*arguments: str | Path, cwd: Path | None = None, cpu_seconds: int = 60, **env: str) -> Result:
    """Run `tttcfg` with arguments, its output piped."""
    with TemporaryFile() as out, TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        here, words = os.fspath(cwd or os.getcwd()), [*map(str, arguments)]
        code, memory = server().run(words, here, environment(**env), streams, cpu_seconds)
        out.seek(0)
        err.seek(0)
        return Result(code, out.read().decode(), err.read().decode(), memory)


def run_on_terminal(*arguments: str | Path, cwd: Path | None = None, **env: str) -> Result:
    """Run `tttcfg` with arguments on a terminal; standard error goes there too."""
    parent, child = pty.openpty()
    command = [*TTTCFG, *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=cwd, env=environment(**{"TERM": "xterm", **env}), stdin=child, stdout=child, stderr=child
    ) as process:
        os.close(child)
        shown = b""
        while select.select([parent], [], [], 60)[0]:
            try:
                block = os.read(parent, 65536)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not block:
                break
            shown += block
        os.close(parent)
        process.wait(60)
    return Result(process.returncode, shown.decode().replace("\r\n", "\n"), "")
