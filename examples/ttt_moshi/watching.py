"""Stops a run that computes NaN or infinity, before it gets into a checkpoint, and says where to go on from."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor, nn

from tttcfg import InputError, Problem


class Watch:
    """Looks at every step of a run, and knows its checkpoints.

    A checkpoint is good once the step after it had a finite loss: that loss is the first of its weights.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest: Path | None = None
        self.good: Path | None = None

    def holds(self, checkpoint: Path) -> None:
        """Take note of a checkpoint that holds the weights as they are now."""
        self.newest = checkpoint

    def check_step(self, step: int, losses: Tensor, norm: float) -> None:
        """See that a step's loss of text and of audio, and the norm of its gradients, are finite.

        Raises:
            InputError: One is not; the weights are those of the step before.
        """
        text, audio = losses.tolist()
        if not math.isfinite(text + audio):
            raise self._refused(f"step {step}: the loss is {text + audio} (text {text:.4f}, audio {audio:.4f})")
        if not math.isfinite(norm):
            raise self._refused(f"step {step}: the loss is {text + audio:.4f}, and the norm of its gradients is {norm}")
        self.good = self.newest

    def check_weights(self, step: int, model: nn.Module) -> None:
        """See that the weights after a step are finite.

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
