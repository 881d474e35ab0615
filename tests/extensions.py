"""The extension of `examples/extension`, in a folder of its own and as pip would have installed it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.builders import ROOT
from tests.families import install

PROJECT = ROOT / "examples" / "extension"


def write_extension(folder: Path) -> Path:
    """Copy the package `noise` into `folder`, and return it."""
    return Path(shutil.copytree(PROJECT / "noise", folder / "noise", ignore=shutil.ignore_patterns("__pycache__")))


def install_extension(folder: Path, distribution: str = "noisy-trainer") -> None:
    """Let `folder` hold the extension as pip would have installed it."""
    install(folder, distribution, "tttcfg.extensions", {"noise": "noise.config:EXTENSION"})
