"""The folder of a run: an existing one is emptied only if everything in it was written by a run of this program."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tttcfg import InputError, Problem, TrainingArgs
from tttcfg.nn import delete_checkpoints, foreign_files

from .program import logger

CHECKPOINTS = "checkpoints"
METRICS = ("metrics.train.jsonl", "metrics.eval.jsonl")
RESULTS_NAME = "results.json"
_WANDB = "wandb"  # Weights & Biases keeps every run there in a folder of its own
_EVALUATION = re.compile(r"evaluation_\d{6,}")
_SHOWN = 3


def evaluation_name(step: int) -> str:
    return f"evaluation_{step:06d}"


def check(training: TrainingArgs) -> None:
    """Check that a run can use its folder; nothing is changed.

    Raises:
        InputError: The folder is not empty and is not to be overwritten, holds files that no run wrote, or holds what
            this run wrote before torchrun restarted it.
    """
    folder = Path(training.run_dir or "")
    if training.resume_from is not None or _is_free(folder):
        return
    if not training.overwrite_run_dir:
        message = "exists; name another, or set overwrite_run_dir=true to delete it"
        raise InputError(Problem("unwritable", message, "run_dir", str(folder)))
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0:
        message = (
            "holds what this run wrote before torchrun restarted it; overwrite_run_dir deletes it at a first start only"
        )
        raise InputError(Problem("unwritable", f"{message}; continue with resume_from", "run_dir", str(folder)))
    if others := [str(path.relative_to(folder)) for path in _others(folder, training)]:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        message = "holds files that this run cannot be shown to have written, so nothing is deleted: "
        message += ", ".join(others[:_SHOWN]) + more
        raise InputError(Problem("unwritable", f"{message}; move it away", "run_dir", str(folder)))


def prepare(training: TrainingArgs) -> None:
    """Create the run's folder; with `overwrite_run_dir`, delete what an earlier run wrote. Resuming keeps it.

    Raises:
        InputError: As `check`; nothing was deleted.
    """
    check(training)
    folder = Path(training.run_dir or "")
    if training.resume_from is None and training.overwrite_run_dir and not _is_free(folder):
        logger.info("Deleting the earlier run in %s", folder)
        delete_checkpoints(folder)
        for name in METRICS:
            (folder / name).unlink(missing_ok=True)
        for evaluation in filter(_is_evaluation, list(folder.iterdir())):
            for file in _evaluation_files(training):
                (evaluation / file).unlink(missing_ok=True)
            evaluation.rmdir()
    folder.mkdir(parents=True, exist_ok=True)


def _is_free(folder: Path) -> bool:
    """Whether it does not exist, or has only folders without files, like those of the checkpointer's trial."""
    return all(path.is_dir() for path in folder.rglob("*"))


def _others(folder: Path, training: TrainingArgs) -> Iterator[Path]:
    """Yield everything that no run of this program wrote."""
    for path in sorted(folder.iterdir()):
        if path.name == CHECKPOINTS and path.is_dir():
            yield from foreign_files(folder)
        elif _is_evaluation(path):
            yield from sorted(file for file in path.iterdir() if file.name not in _evaluation_files(training))
        elif path.name not in (*METRICS, _WANDB):
            yield path


def _is_evaluation(path: Path) -> bool:
    return _EVALUATION.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def _evaluation_files(training: TrainingArgs) -> set[str]:
    """Return the names of the results, and of the figure that each benchmark may have."""
    return {RESULTS_NAME, *(f"{name}.png" for name in type(training.evaluation).model_fields)}
