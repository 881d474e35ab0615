"""Runs every measurement, inside the environment that `run.py` made."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import cold
import fleet
import hostile
import warm
import weights
from measure import VALGRIND, Figure, report

PARTS: dict[str, Callable[[Path, int], Iterator[Figure]]] = {
    "cold": cold.figures,
    "warm": warm.figures,
    "fleet": fleet.figures,
    "hostile": hostile.figures,
    "weights": weights.figures,
}
if find_spec("torch"):  # which is installed where one of these is asked for
    import layers
    import saving

    PARTS |= {"saving": saving.figures, "layers": layers.figures}
NAMES = ("tttcfg", "pydantic", "typer", "ruamel.yaml", "hydra-core", "safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all where none is given")
    parser.add_argument("--quick", action="store_true", help="1,000 checkpoints in place of 10,000")
    parser.add_argument("--checkpoints", type=int, metavar="N", help="this many checkpoints")
    parser.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    checkpoints = options.checkpoints or (1_000 if options.quick else 10_000)
    versions = ", ".join(f"{name} {version(name)}" for name in NAMES)
    sys.stdout.write(f"Python {platform.python_version()}, {versions}\n")
    sys.stdout.write(
        f"commands are compared by {'instructions (callgrind)' if VALGRIND else 'time: no valgrind here'}\n"
    )
    for name in options.parts or PARTS:
        for figure in PARTS[name](options.work, checkpoints):
            report(figure)


if __name__ == "__main__":
    main()
