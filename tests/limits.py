"""Running the command line under limits: of memory, held against what is normal, and of CPU time, against a hang.

How long bad input takes is measured where seconds are, in `benchmarks/hostile.py`: a busy machine says nothing of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.cli.process import TTTCFG, environment

CPU_SECONDS = 60
"""After which the system kills the process: a hundred times what refusing takes."""
MEMORY_BYTES = 64 << 20
# A small launcher in between: a process's peak memory counts that of the program it was forked from.
_LAUNCHER = """
import json, os, resource, subprocess, sys
def limit():
    seconds = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
with open(sys.argv[1], "wb") as out, open(sys.argv[2], "wb") as err:
    child = subprocess.Popen(sys.argv[4:], stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=limit)
    _, status, usage = os.wait4(child.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024]))
"""


class Limited(NamedTuple):
    """What a process said, how it left and the memory that it took."""

    code: int
    out: str
    err: str
    memory: int


def run_limited(*arguments: str | Path, cwd: Path | None = None) -> Limited:
    """Run `tttcfg`, killed after `CPU_SECONDS`, and measure its memory."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(out), str(err), str(CPU_SECONDS)]
        command = [*launch, *TTTCFG, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, check=True)
        code, memory = json.loads(done.stdout)
        return Limited(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"), memory)


@cache
def normal() -> Limited:
    """What a run takes that reads a small good file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.yaml")
        path.write_text("batch_size: 2\n", encoding="utf-8")
        run = run_limited("resolve", "--config", path)
    assert run.code == 0
    return run


def refused(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run `tttcfg` on bad input, hold it to exit code 2, no traceback and the limits, and return its message."""
    usual, run = normal(), run_limited(*arguments, cwd=cwd)
    assert run.code == 2, f"left with {run.code}: {run.err[-600:]}"
    assert "Traceback" not in run.err
    assert run.out == ""
    assert run.memory - usual.memory < MEMORY_BYTES
    assert len(run.err) < 20_000
    return run.err
