"""Finding the settings that a checkpoint was trained with, from its weights and its training's data (docs/recovery.md).

What is measured is what `training.py` does: its batches in its order, its loss, the parameters that it trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import tttcfg
from tttcfg import InputError, Problem, Role, find_checkpoint, read_model_config
from tttcfg import nn as tttnn
from tttcfg.nn import Recovery

from .data import Batch, Dataset, open_dataset
from .losses import token_losses, token_weights, training_loss
from .model import TinyMoshi, build
from .optimizer import choose_trained_parameters
from .program import deterministic_device

DEFAULT_BATCHES, MOST_PASSES = 32, 10_000
Stretch = tuple[Batch, ...]
"""Consecutive batches of a training, over which inner weights may persist."""


class Trained:
    """A checkpoint as it was trained: its model, its loss and its data.

    Args:
        checkpoint: Any path into it.
        effective: What is known of its configuration.
        base: The base model's weights, where the checkpoint holds adapters alone.
        data: The path of other data than the training's.
    """

    def __init__(
        self,
        checkpoint: str,
        effective: tttcfg.Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig],
        base: str | None = None,
        data: str | None = None,
    ) -> None:
        self.effective, self.training = effective, effective.training
        self.model_config: Mapping[str, Any] = read_model_config(find_checkpoint(checkpoint).model_config or "")
        self.data: Dataset = open_dataset(
            data or self.training.data.train_data, "data.train_data", self.model_config, self.training
        )
        self.model: TinyMoshi = build(self.model_config, effective, base).to(deterministic_device())
        tttnn.load_checkpoint(self.model, checkpoint, effective)
        choose_trained_parameters(self.model, self.training)
        self.model.train()

    def build(self, effective: tttcfg.Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig]) -> nn.Module:
        """Return the model, computing by another configuration."""
        tttnn.set_computation(self.model, effective)
        return self.model

    def batches(self, count: int) -> list[Stretch]:
        """Return what so many steps of the training see, in its order, from the first; whole recordings in any case.

        Inner weights may persist from one batch to the next: in training over more of them, which are then cut off.

        Raises:
            InputError: The data have fewer: in a second round, batches would no longer be disjoint.
        """
        training = self.training
        seed = training.seed if training.data.shuffle else None
        first, _ = self.data.pieces[0]
        pieces = sum(source is first for source, _ in self.data.pieces)
        persists = training.batch_size == 1 or not training.ttt.reset_on_new_file
        length = pieces * math.ceil(training.num_microbatches / pieces) if persists else training.num_microbatches
        most = len(self.data) // (length * training.batch_size)
        if count > most:
            message = f"has {len(self.data):,} sequences, which make {most} batches, and {count} are wanted"
            raise InputError(Problem("rejected", message, "data.train_data", advice="give fewer, or more data"))
        return [
            tuple(self.data.training_batch(start + at, training.batch_size, seed) for at in range(length))
            for start in range(0, count * length, length)
        ]

    def loss(
        self, model: nn.Module, stretch: Stretch, effective: tttcfg.Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig]
    ) -> Tensor:
        """Return the mean training loss of consecutive batches, inner weights persisting as they do in training."""
        training, before, losses = effective.training, None, []
        device = next(model.parameters()).device
        with tttnn.carrying_states(model):
            for batch in stretch:
                if training.ttt.reset_on_new_file and not batch.continues(before):
                    tttnn.reset_states(model)
                before, codes = batch, batch.codes.to(device)
                found = token_losses(model(codes), codes)
                text, audio = training_loss(found, token_weights(found, codes, self.model, training))
                losses.append(text + audio)
        return torch.stack(losses).mean()

    def recover(
        self,
        fields: Sequence[str] | None = None,
        candidates: Mapping[str, Sequence[Any]] | None = None,
        *,
        batches: int = DEFAULT_BATCHES,
        most_passes: int = MOST_PASSES,
        progress: Callable[[int], None] | None = None,
    ) -> Recovery:
        """Search for settings; see `tttcfg.nn.recover`. The model computes as it did before, afterwards."""
        try:
            return tttnn.recover(
                self.build,
                self.loss,
                self.batches(batches),
                self.effective,
                candidates,
                fields=fields,
                model_config=self.model_config,
                weight_decay=self.training.optim.weight_decay,
                most_passes=most_passes,
                progress=progress,
            )
        finally:
            self.build(self.effective)

    def check(self, found: Recovery, checkpoint: str) -> None:
        """See that the model computes with recovered values what it did when saved, as far as a fingerprint shows.

        Raises:
            ContradictionError: It computes something else.
        """
        if found.settled is not None:
            values = {**self.effective.settings(Role.COMPUTATION), **found.settled.values}
            effective = tttcfg.resolve(checkpoint, overrides=values)
            tttnn.check_computation(self.build(effective).eval(), checkpoint)
