"""Problems of a configuration alone, which a training run would meet later."""

from __future__ import annotations

from collections.abc import Iterator
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
    return [*_trained(training), *_evaluated(training), *(_ttt(training) if training.ttt.enable else ())]


def _trained(training: TrainingArgs) -> Iterator[Problem]:
    lora = training.lora
    if training.full_finetuning and lora.enable:
        yield Problem("contradiction", "excludes lora.enable", "full_finetuning", advice="set one of them to false")
    if lora.enable and not lora.rank:
        yield Problem("contradiction", "is 0 with lora.enable", "lora.rank", advice="set a rank, or lora.enable=false")
    if lora.enable and lora.scaling == 0:
        yield Problem("training", "is 0, so the adapters have no effect", "lora.scaling", severity="warning")
    if not (training.full_finetuning or lora.enable or training.ttt.enable or lora.ft_embed):
        message = "nothing would be trained: no full fine-tuning, no LoRA, no TTT"
        yield Problem("training", message, "full_finetuning", severity="info")


def _evaluated(training: TrainingArgs) -> Iterator[Problem]:
    if training.do_eval and not training.data.eval_data:
        yield Problem("training", "is empty, and do_eval needs it", "data.eval_data", severity="warning")
    if training.eval_freq and not training.do_eval:
        yield Problem("training", "has no effect while do_eval is false", "eval_freq", severity="info")


def _ttt(training: TrainingArgs) -> Iterator[Problem]:
    ttt, mlp, tokens = training.ttt, training.ttt.mlp, sequence_tokens(training)
    if ttt.layers == "none":
        yield Problem("training", "is none, so ttt.enable changes nothing", "ttt.layers", severity="warning")
    if training.num_microbatches > 1:
        message = "more than 1 with TTT stopped the trainer: some TTT parameters never get a gradient"
        yield Problem("training", message, "num_microbatches", severity="warning")
    if mlp.layers == 2 and (mlp.expansion_factor != 4.0 or mlp.hidden_dims):
        message = "the trainer before version 7 built two layers four times as wide, whatever was set"
        yield Problem("training", message, "ttt.mlp", severity="warning")
    if tokens % ttt.mini_batch_size:
        message = f"{tokens} tokens are no whole number of mini-batches of {ttt.mini_batch_size}"
        yield Problem("padding", f"{message}; zeros fill the last, and train too", "duration_sec", severity="info")
    if ttt.persistent_states == "first_sequence":
        message = (
            "is first_sequence: while evaluating, every sequence goes on from the first one of the batch before, so "
            "that results depend on order and batches"
        )
        yield Problem("persistence", message, "ttt.persistent_states", severity="warning")
