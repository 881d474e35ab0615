"""Running the command line under limits: of memory, compared with normal use, and of CPU time, against a hang.

How long bad input takes is measured where seconds are, in `benchmarks/hostile.py`: a busy machine does not show it.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tests.cli.process import Result, run

CPU_SECONDS = 60
"""After which the system kills the process: a hundred times what refusing takes."""
MEMORY_BYTES = 64 << 20


@cache
def normal() -> Result:
    """What a run takes that reads a small good file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.yaml")
        path.write_text("batch_size: 2\n", encoding="utf-8")
        usual = run("resolve", "--config", path)
    assert usual.code == 0
    return usual


def refused(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run `tttcfg` on bad input, hold it to exit code 2, no traceback and the limits, and return its message."""
    usual, bad = normal(), run(*arguments, cwd=cwd, cpu_seconds=CPU_SECONDS)
    assert bad.code == 2, f"left with {bad.code}: {bad.err[-600:]}"
    assert "Traceback" not in bad.err
    assert bad.out == ""
    assert bad.memory - usual.memory < MEMORY_BYTES
    assert len(bad.err) < 20_000
    return bad.err
