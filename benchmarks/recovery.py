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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import torch
from ttt_moshi.data import open_dataset
from ttt_moshi.losses import token_losses, token_weights, training_loss
from ttt_moshi.model import build
from ttt_moshi.optimizer import choose_trained_parameters, make_optimizer

import tttcfg
from tttcfg import find_checkpoint, read_model_config
from tttcfg.nn import AdamMetric, Checkpointer, Gradients, batch_gradients, restore

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


class Trial:
    """A checkpoint, the batches that are compared, and others of which squares of gradients are estimated."""

    def __init__(self, checkpoint: str, count: int) -> None:
        self.checkpoint = checkpoint
        self.training = tttcfg.resolve(checkpoint).training
        self.config = read_model_config(find_checkpoint(checkpoint).model_config or "")
        data = open_dataset(self.training.data.train_data, "data.train_data", self.config, self.training)
        size = self.training.batch_size
        rows = [range(start * size, (start + 1) * size) for start in range(FOR_METRIC + count)]
        batches = [data.batch(list(row)).codes for row in rows]
        self.others, self.batches = batches[:FOR_METRIC], batches[FOR_METRIC:]

    def model(self, *overrides: str) -> tuple[Any, Callable[[Any, torch.Tensor], torch.Tensor]]:
        """Return the model as it is trained under a setting, and its loss."""
        training = tttcfg.resolve(self.checkpoint, overrides=overrides).training
        found = restore(self.checkpoint, overrides=overrides, build=lambda config, own: build(config, own, None))
        model: Any = found.model.train()
        choose_trained_parameters(model, training)

        def loss(model: Any, codes: torch.Tensor) -> torch.Tensor:
            losses = token_losses(model(codes), codes)
            text, audio = training_loss(losses, token_weights(losses, codes, model, training))
            return text + audio

        return model, loss

    def metric_of_state(self) -> AdamMetric:
        model, _ = self.model()
        optimizer = make_optimizer(model, self.training)
        run = Path(find_checkpoint(self.checkpoint).folder).parents[2]
        effective = tttcfg.resolve(self.checkpoint)
        saver = Checkpointer(model, State(), run, self.config, optimizer=optimizer, training_args=effective)
        saver.resume(self.checkpoint)
        return AdamMetric.of(model, optimizer)

    def metric_of_batches(self) -> AdamMetric:
        model, loss = self.model(WRONG)
        return AdamMetric.estimated(model, self.others, loss, self.training.optim.weight_decay)

    def gradients(self, metric: AdamMetric | None, *overrides: str) -> Gradients:
        model, loss = self.model(*overrides)
        return batch_gradients(model, self.batches, loss, metric)


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
