"""What is doubtful or impossible about a configuration alone: one test per rule."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg import TrainingArgs
from tttcfg.ttt_moshi.checks import check, sequence_tokens

ON = {"enable": True}


@pytest.mark.parametrize(
    ("values", "severity", "code", "key"),
    [
        ({"full_finetuning": True, "lora": ON}, "error", "contradiction", "full_finetuning"),
        ({}, "info", "training", "full_finetuning"),
        ({"ttt": {**ON, "layers": "none"}, "duration_sec": 12.8}, "warning", "training", "ttt.layers"),
        ({"ttt": ON, "duration_sec": 12.8, "num_microbatches": 2}, "warning", "training", "num_microbatches"),
        ({"lora": ON, "do_eval": True}, "warning", "training", "data.eval_data"),
        ({"lora": ON, "eval_freq": 5}, "info", "training", "eval_freq"),
        ({"lora": {**ON, "scaling": 0}}, "warning", "training", "lora.scaling"),
        ({"ttt": ON, "duration_sec": 10.0}, "info", "padding", "duration_sec"),
    ],
)
def test_a_rule_speaks_alone_where_it_is_broken(values: dict[str, Any], severity: str, code: str, key: str) -> None:
    (rule,) = check(TrainingArgs.model_validate(values))
    assert (rule.severity, rule.code, rule.key) == (severity, code, key)


@pytest.mark.parametrize(
    "values",
    [
        {"full_finetuning": True},
        {"lora": ON, "do_eval": True, "eval_freq": 5, "data": {"eval_data": "dev.jsonl"}},
        {"lora": {"ft_embed": True, "scaling": 0}},
        {"ttt": ON, "duration_sec": 12.8},
        {"lora": ON, "num_microbatches": 4, "duration_sec": 10.0},
    ],
)
def test_a_sound_configuration_raises_nothing(values: dict[str, Any]) -> None:
    assert check(TrainingArgs.model_validate(values)) == []


@pytest.mark.parametrize("seconds", [5e-324, 1_000_000])
def test_the_shortest_and_the_longest_sequence_are_checked(seconds: float) -> None:
    check(TrainingArgs.model_validate({"ttt": ON, "duration_sec": seconds}))


@pytest.mark.parametrize(("seconds", "tokens"), [(5.12, 64), (5.08, 64), (10.0, 125), (5e-324, 1)])
def test_a_begun_token_counts_as_a_whole_one(seconds: float, tokens: int) -> None:
    """The trainer's data loader rounds up, and pads the audio to that."""
    assert sequence_tokens(TrainingArgs(duration_sec=seconds)) == tokens
