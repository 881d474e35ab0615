"""Running the command line as a process: piped, which is fast, and on a terminal."""

from __future__ import annotations

import os
import pty
import select
import sys
from pathlib import Path
from tempfile import TemporaryFile

from tests.cli.served import server
from tests.launcher import Result, environment, started

TTTCFG = (sys.executable, "-m", "tttcfg")


def run(*arguments: str | Path, cwd: Path | None = None, cpu_seconds: int = 60, **env: str) -> Result:
    """Run `tttcfg` with arguments, its output piped."""
    with TemporaryFile() as out, TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        here, words = os.fspath(cwd or os.getcwd()), [*map(str, arguments)]
        code, memory = server().run(words, here, environment(env), streams, cpu_seconds)
        out.seek(0)
        err.seek(0)
        return Result(code, out.read().decode(), err.read().decode(), memory)


def run_on_terminal(*arguments: str | Path, cwd: Path | None = None, **env: str) -> Result:
    """Run `tttcfg` with arguments on a terminal; standard error goes there too."""
    parent, child = pty.openpty()
    streams = {"stdin": child, "stdout": child, "stderr": child}
    with started(*TTTCFG, *arguments, cwd=cwd, env={"TERM": "xterm", **env}, **streams) as process:
        os.close(child)
        shown = b""
        while select.select([parent], [], [], 60)[0]:
            try:
                block = os.read(parent, 65536)
            except OSError:  # Linux reports in this way that the last writer is gone
                break
            if not block:
                break
            shown += block
        os.close(parent)
        process.wait(60)
    return Result(process.returncode, shown.decode().replace("\r\n", "\n"), "")
