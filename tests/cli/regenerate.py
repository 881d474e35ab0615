"""Write the golden texts anew: `python -m tests.cli.regenerate`. Read what changed before you commit it."""

from __future__ import annotations

import importlib.metadata
import tempfile
from pathlib import Path

from tests.cli.scenes import GOLDEN, SCENES, TYPER, perform, prepare


def regenerate() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.txt"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for name in SCENES:
            (GOLDEN / f"{name}.txt").write_text(perform(name, Path(folder)), encoding="utf-8")
    TYPER.write_text(importlib.metadata.version("typer") + "\n")


if __name__ == "__main__":
    regenerate()
