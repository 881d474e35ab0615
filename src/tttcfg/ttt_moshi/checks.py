"""What is doubtful or impossible in a configuration alone: what the trainer would find out later."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from tttcfg.errors import Problem
from tttcfg.ttt_moshi.training_args import TrainingArgs

TOKENS_PER_SECOND = 12.5
"""Mimi's frame rate, which is the language model's token rate."""


def sequence_tokens(training: TrainingArgs) -> int:
    """Return the tokens of a sequence, rounded up as the trainer's data loader does."""
    return ceil(training.duration_sec * TOKENS_PER_SECOND)


def check(training: TrainingArgs) -> list[Problem]:
    """Return the problems that the rules find in `training`."""
    return [found for rule in _RULES if (found := rule(training))]


def _full_and_lora(training: TrainingArgs) -> Problem | None:
    if training.full_finetuning and training.lora.enable:
        return Problem("contradiction", "excludes lora.enable", "full_finetuning", advice="set one of them to false")
    return None


def _lora_without_rank(training: TrainingArgs) -> Problem | None:
    if training.lora.enable and not training.lora.rank:
        return Problem("contradiction", "is 0 with lora.enable", "lora.rank", advice="set a rank, or lora.enable=false")
    return None


def _nothing_trained(training: TrainingArgs) -> Problem | None:
    if training.full_finetuning or training.lora.enable or training.ttt.enable or training.lora.ft_embed:
        return None
    return Problem(
        "training", "nothing would be trained: no full fine-tuning, no LoRA, no TTT", "full_finetuning", severity="info"
    )


def _enabled_without_layers(training: TrainingArgs) -> Problem | None:
    if training.ttt.enable and training.ttt.layers == "none":
        return Problem("training", "is none, so ttt.enable changes nothing", "ttt.layers", severity="warning")
    return None


def _microbatches(training: TrainingArgs) -> Problem | None:
    if training.ttt.enable and training.num_microbatches > 1:
        message = "more than 1 with TTT stopped the trainer: some TTT parameters never get a gradient"
        return Problem("training", message, "num_microbatches", severity="warning")
    return None


def _evaluation_data(training: TrainingArgs) -> Problem | None:
    if training.do_eval and not training.data.eval_data:
        return Problem("training", "is empty, and do_eval needs it", "data.eval_data", severity="warning")
    return None


def _evaluation_off(training: TrainingArgs) -> Problem | None:
    if training.eval_freq and not training.do_eval:
        return Problem("training", "has no effect while do_eval is false", "eval_freq", severity="info")
    return None


def _lora_without_effect(training: TrainingArgs) -> Problem | None:
    if training.lora.enable and training.lora.scaling == 0:
        return Problem("training", "is 0, so the adapters have no effect", "lora.scaling", severity="warning")
    return None


def _two_layers(training: TrainingArgs) -> Problem | None:
    mlp = training.ttt.mlp
    if training.ttt.enable and mlp.layers == 2 and (mlp.expansion_factor != 4.0 or mlp.hidden_dims):
        message = "the trainer before version 7 built two layers four times as wide, whatever was set"
        return Problem("training", message, "ttt.mlp", severity="warning")
    return None


def _padding(training: TrainingArgs) -> Problem | None:
    tokens = sequence_tokens(training)
    if training.ttt.enable and tokens % training.ttt.mini_batch_size:
        size = training.ttt.mini_batch_size
        message = f"{tokens} tokens are no whole number of mini-batches of {size}; zeros fill the last, and train too"
        return Problem("padding", message, "duration_sec", severity="info")
    return None


def _order(training: TrainingArgs) -> Problem | None:
    if training.ttt.enable and training.ttt.persistent_states == "first_sequence":
        message = (
            "is first_sequence: while evaluating, every sequence goes on from the first one of the batch before, so "
            "that results depend on order and batches"
        )
        return Problem("persistence", message, "ttt.persistent_states", severity="warning")
    return None


_RULES: tuple[Callable[[TrainingArgs], Problem | None], ...] = (
    _full_and_lora,
    _lora_without_rank,
    _nothing_trained,
    _enabled_without_layers,
    _microbatches,
    _evaluation_data,
    _evaluation_off,
    _lora_without_effect,
    _two_layers,
    _padding,
    _order,
)
