"""Stops a run that computes NaN or infinity before it is saved, and reports the checkpoint to resume from."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor, nn

from tttcfg import InputError, Problem


class NonFiniteGuard:
    """Checks every step of a run, and keeps track of its checkpoints.

    A checkpoint counts as good once the step after it, the first with its weights, had a finite loss.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest: Path | None = None
        self.good: Path | None = None

    def saved(self, checkpoint: Path) -> None:
        """Record the checkpoint that holds the current weights."""
        self.newest = checkpoint

    def check_step(self, step: int, losses: Tensor, norm: float) -> None:
        """Check that a step's losses of text and audio and its gradient norm are finite.

        Raises:
            InputError: One is not; the weights are still those of the step before.
        """
        text, audio = losses.tolist()
        if not math.isfinite(text + audio):
            raise self._refused(f"step {step}: the loss is {text + audio} (text {text:.4f}, audio {audio:.4f})")
        if not math.isfinite(norm):
            raise self._refused(f"step {step}: the loss is {text + audio:.4f}, and the norm of its gradients is {norm}")
        self.good = self.newest

    def check_weights(self, step: int, model: nn.Module) -> None:
        """Check that the weights after a step are finite.

        Raises:
            InputError: Some are not.
        """
        wrong = [name for name, one in model.named_parameters() if not bool(one.isfinite().all())]
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise self._refused(f"step {step}: it left NaN or infinity in {wrong[0]}{more}")

    def _refused(self, message: str) -> InputError:
        good = self.good if self.good is not None and self.good.exists() else None
        advice = f"the last good checkpoint is {good}" if good else "there is no good checkpoint"
        if self.newest is not None and self.newest != self.good:
            advice += f"; {self.newest} holds the weights that this came of"
        return InputError(Problem("not_finite", f"{message}; the run stops here, and {advice}", place=str(self.folder)))
