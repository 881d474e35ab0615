"""Rounds of many lives, each from a seed: what was done, whether anything differed from the models, and the memory.

python -m tests.trust.soak 20
"""

from __future__ import annotations

import gc
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

import tests.conftest  # noqa: F401 it registers how examples are drawn
from tests.trust.bound_life import BoundLife
from tests.trust.life import Life, documents

LIVES, STEPS = 12, 50
"""Of each round and kind, and steps of each."""
WARM_UP = 5
"""Rounds before memory is looked at: what is loaded late and what is cached has its place by then."""


class Round(NamedTuple):
    """What was done since the start, and the memory that the process takes, in KiB."""

    seen: Counter[str]
    memory: int


def rounds(number: int) -> list[Round]:
    """Return what came out of each round.

    Raises:
        AssertionError: Something is not what a model expects; the message has the steps that lead there.
    """
    documents()
    found = []
    for one in range(number):
        for machine in (Life, BoundLife):
            live(machine, one, LIVES, STEPS)
        gc.collect()
        found.append(Round(Life.seen + BoundLife.seen, memory()))
    return found


def live(machine: type[RuleBasedStateMachine], start: int, lives: int, steps: int) -> None:
    """Run a machine from a seed."""
    profile = settings(settings.get_profile("tttcfg"), derandomize=False, max_examples=lives, stateful_step_count=steps)
    run_state_machine_as_test(seed(start)(machine), settings=profile)


def memory() -> int:
    """Return the memory of this process that is no file's, in KiB."""
    status = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/self/status").read_text("ascii")))
    return int(status["VmRSS"]) - int(status["RssFile"])


def main() -> None:
    found = rounds(int(sys.argv[1]))
    figures: dict[str, Any] = {
        "steps": found[-1].seen.total(),
        "seen": dict(found[-1].seen.most_common()),
        "memory_kib": [one.memory for one in found],
        "memory_grown_kib": found[-1].memory - found[min(WARM_UP, len(found) - 1)].memory,
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
