"""Where the figures of a run go: JSON lines in the run's folder, and Weights & Biases where a project is named."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tttcfg
from tttcfg import InputError, Problem


def require_wandb(training: tttcfg.TrainingArgs) -> None:
    """See that figures can go where they are to go.

    Raises:
        InputError: A Weights & Biases project is named, and its package is not installed.
    """
    if training.wandb.project is not None and find_spec("wandb") is None:
        message = "names a project, and the wandb package is not installed"
        raise InputError(Problem("missing", message, "wandb.project"))


class Tracking:
    """Writes figures by step, on rank 0; `metrics.train.jsonl` and `metrics.eval.jsonl` as the trainer names them."""

    def __init__(self, folder: Path, effective: tttcfg.Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig]) -> None:
        self.folder, self.run = folder, None
        settings = effective.training.wandb
        if settings.project is None:
            return
        wandb = import_module("wandb")
        if settings.key is not None:
            wandb.login(key=settings.key.get_secret_value())
        mode = "offline" if settings.offline else "online"
        config = tttcfg.to_dict(effective)  # without secrets
        self.run = wandb.init(
            project=settings.project, name=settings.run_name, mode=mode, dir=str(folder), config=config
        )

    def write(self, kind: str, step: int, figures: dict[str, Any]) -> None:
        """Add one line to the figures of a kind, `train` or `eval`."""
        with (self.folder / f"metrics.{kind}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        if self.run is not None:
            self.run.log({f"{kind}/{name}": value for name, value in figures.items()}, step=step)

    def close(self) -> None:
        if self.run is not None:
            self.run.finish()
