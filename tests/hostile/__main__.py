"""The figures of the hostile suite: `python -m tests.hostile [GENERATED]`, by default 100,000 generated inputs."""

# ruff: noqa: T201

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.corpus import build, cases
from tests.hostile.doors import enter
from tests.hostile.expressions import in_source, of_dialects
from tests.hostile.mutation import generated
from tests.hostile.outcome import expected, measured, snapshot


def corpus() -> None:
    wrong, written, seconds, memory = 0, 0, (0.0, ""), (0, "")
    recorded = expected()
    for name, case in cases().items():
        with tempfile.TemporaryDirectory() as folder:
            inside = Path(folder, "inside")
            inside.mkdir()
            build(case, inside)
            before = snapshot(Path(folder))
            found, cost = measured(case.arguments, inside)
            wrong += found != recorded[name]
            written += any(not name.startswith(str(inside)) for name in snapshot(Path(folder)).keys() ^ before.keys())
        seconds, memory = max(seconds, (cost.seconds, name)), max(memory, (cost.memory, name))
    print(f"{len(recorded)} named cases: {wrong} with another outcome than recorded, {written} that wrote elsewhere")
    print(f"  most processor time {seconds[0]:.2f} s ({seconds[1]}), most memory {memory[0] >> 20} MiB ({memory[1]})")


def inputs(count: int) -> None:
    refused, slowest = 0, (0.0, "")
    for door, data in generated(2, count):
        start = time.process_time()
        refused += bool(enter(door, data))
        slowest = max(slowest, (time.process_time() - start, door))
    print(f"{count:,} generated inputs: {refused:,} refused, the others taken, 0 tracebacks")
    print(f"  most processor time {slowest[0]:.2f} s ({slowest[1]})")


if __name__ == "__main__":
    corpus()
    print(f"{len([*in_source(), *of_dialects()])} regular expressions, held to linear time by test_time.py")
    inputs(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
