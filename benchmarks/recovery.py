"""By how many standard errors other settings are further from a stationary point than those of the training.

    python examples/ttt_moshi/train.py --config examples/ttt_moshi/configs/train.yaml    # writes runs/ttt_moshi
    python benchmarks/recovery.py runs/ttt_moshi [--batches 32]

Prints the table of docs/recovery.md: one setting changed at a time, on batches of the training's data. The gradients
are compared plainly, in AdamW's metric from the training state, and in one that was estimated under a wrong setting.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import torch
from ttt_moshi.optimizer import make_optimizer
from ttt_moshi.recovery import Trained

import tttcfg
from tttcfg import find_checkpoint
from tttcfg.nn import AdamMetric, Checkpointer, Gradients, batch_gradients

CHANGES = [
    *(f"ttt.mini_batch_size={size}" for size in (1, 2, 4, 16, 32)),
    *(f"ttt.base_lr={rate}" for rate in (1, 4, 8, 32, 64)),
    "ttt.rope_mode=mini_batch",
]
WRONG = "ttt.base_lr=4"
"""Under which the third metric is estimated."""
FOR_METRIC = 8


class State:
    step = 0


class Trial(Trained):
    """A checkpoint as it was trained, the batches that are compared, and others of which squares are estimated."""

    def __init__(self, checkpoint: str, count: int) -> None:
        super().__init__(checkpoint, tttcfg.resolve(checkpoint))
        self.checkpoint = checkpoint
        given = self.batches(FOR_METRIC + count)
        self.others, self.compared = given[:FOR_METRIC], given[FOR_METRIC:]

    def metric_of_state(self) -> AdamMetric:
        model = self.build(self.effective)
        optimizer = make_optimizer(model, self.training)
        run = Path(find_checkpoint(self.checkpoint).folder).parents[2]
        saver = Checkpointer(model, State(), run, self.model_config, optimizer=optimizer, training_args=self.effective)
        saver.resume(self.checkpoint)
        return AdamMetric.of(model, optimizer)

    def metric_of_batches(self) -> AdamMetric:
        return AdamMetric.estimated(*self._on(self.others, WRONG), self.training.optim.weight_decay)

    def gradients(self, metric: AdamMetric | None, *overrides: str) -> Gradients:
        return batch_gradients(*self._on(self.compared, *overrides), metric)

    def _on(self, batches: Sequence[Any], *overrides: str) -> tuple[Any, Any, Any]:
        """Return the model under a setting, the batches, and its loss."""
        effective = tttcfg.resolve(self.checkpoint, overrides=overrides)
        return self.build(effective), batches, lambda model, stretch: self.loss(model, stretch, effective)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Compare settings by how near a model is to a stationary point.")
    parser.add_argument("checkpoint")
    parser.add_argument("--batches", type=int, default=32)
    options = parser.parse_args(words)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    trial = Trial(options.checkpoint, options.batches)
    metrics = [None, trial.metric_of_state(), trial.metric_of_batches()]
    own = [trial.gradients(metric) for metric in metrics]
    most = [2 * float(one.norms.median()) for one in own]
    norms = " | ".join(f"{one.squared_norm.errors:.1f}" for one in own)
    sys.stdout.write(f"| none: errors above zero | {norms} | {float(own[0].losses.mean()):.4f} |\n")
    for change in CHANGES:
        found = [trial.gradients(metric, change) for metric in metrics]
        beyond = [
            one.clipped(limit).beyond(ours.clipped(limit)).errors
            for one, ours, limit in zip(found, own, most, strict=True)
        ]
        loss = float(found[0].losses.mean())
        sys.stdout.write(f"| {change} | {' | '.join(f'{one:.1f}' for one in beyond)} | {loss:.4f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
