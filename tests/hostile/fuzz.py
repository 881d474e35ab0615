"""Fuzzing every parser, outside the tests: `python -m tests.hostile.fuzz [DOOR …] [-runs=N] [-seed=N]`.

With atheris (`pip install atheris`; it has wheels for some versions of Python) the branches that an input reaches guide
what is tried next, and options such as `-max_total_time=600` are libFuzzer's. Without it, inputs are drawn as in
`tests.hostile.mutation`. The first input that ends with an error which is not ours is printed, and ends the program.
"""

from __future__ import annotations

import importlib
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    import atheris  # type: ignore[import-not-found]
except ImportError:
    atheris = None

RUNS = 100_000


def main(arguments: list[str]) -> None:
    names = [one for one in arguments if not one.startswith("-")]
    options = dict(one.removeprefix("-").partition("=")[::2] for one in arguments if one.startswith("-"))
    doors = _instrumented() if atheris is not None else importlib.import_module("tests.hostile.doors")
    names = names or list(doors.DOORS)
    if unknown := [name for name in names if name not in doors.DOORS]:
        sys.exit(f"no such door: {', '.join(unknown)}; there are: {', '.join(doors.DOORS)}")
    if atheris is None:
        _draw(doors, names, int(options.get("runs", RUNS)), int(options.get("seed", 0)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for index, name in enumerate(names):
            for number, seed in enumerate(doors.SEEDS[name]):
                Path(folder, f"{index}-{number}").write_bytes(bytes([index]) + seed)
        flags = [f"-{name}={value}" for name, value in options.items()]
        atheris.Setup([sys.argv[0], *(flags or [f"-runs={RUNS}"]), folder], lambda data: _try(doors, names, data))
        atheris.Fuzz()


def _instrumented() -> Any:
    """Import the doors, and what is behind them, so that branches are counted."""
    with atheris.instrument_imports(include=["tttcfg"]):
        return importlib.import_module("tests.hostile.doors")


def _try(doors: Any, names: list[str], data: bytes) -> None:
    """Give an input to the door that its first byte chooses."""
    if data:
        doors.enter(names[data[0] % len(names)], data[1:])


def _draw(doors: Any, names: list[str], runs: int, seed: int) -> None:
    mutation, draw, refused = importlib.import_module("tests.hostile.mutation"), random.Random(seed), 0
    for number in range(runs):
        name = names[number % len(names)]
        data = mutation.mutated(draw.choice(doors.SEEDS[name]), draw)
        try:
            refused += bool(doors.enter(name, data))
        except BaseException:
            sys.stderr.write(f"{name}: {data!r}\n")
            raise
    print(f"{runs:,} inputs drawn without atheris: {refused:,} refused, 0 tracebacks")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
