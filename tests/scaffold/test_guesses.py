"""What is guessed of a setting, from its name, its sections and its type."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from tttcfg.scaffold.guesses import description_of, role_of, unit_of_number
from tttcfg.schema.fields import Role

ROLES = {
    Role.ARCHITECTURE: "model.dim model.n_layers n_heads model.vocab_size ffn.hidden_dim lora.lora_rank head_dim",
    Role.COMPUTATION: "norm_eps model.rope_theta causal activation ttt.mini_batch_size ttt.base_lr ttt.lr context "
    "training.dtype something model.whatever",
    Role.TRAINING: "optim.lr lr training.batch_size max_steps seed weight_decay dropout optimizer.eps debug.seed "
    "lr_scheduler.warmup_steps training.something",
    Role.RUN: "run_dir data.path log_freq wandb.project training.num_workers device compile.enable checkpoint.interval "
    "profiling.enable parallelism.tensor_parallel_degree data.eval_data",
}


@pytest.mark.parametrize(("role", "path"), [(role, path) for role, paths in ROLES.items() for path in paths.split()])
def test_role(role: Role, path: str) -> None:
    assert role_of(path, kinds=[int]) is role


@pytest.mark.parametrize("path", ["wandb.key", "hf_token", "api_key", "password", "metrics.wandb_api_key"])
def test_a_text_that_gives_access_is_a_secret(path: str) -> None:
    assert role_of(path, kinds=[str]) is Role.SECRET


@pytest.mark.parametrize("path", ["num_tokens", "eos_token", "model.pad_token", "tokenizer"])
def test_other_tokens_are_none(path: str) -> None:
    assert role_of(path, kinds=[str]) is not Role.SECRET


def test_types_count() -> None:
    """A number is no secret, whatever its name; a path is where this run reads; a SecretStr is one."""
    assert role_of("model.key", kinds=[int]) is Role.COMPUTATION
    assert role_of("model.weights", kinds=[Path]) is Role.RUN
    assert role_of("model.anything", kinds=[SecretStr]) is Role.SECRET


@pytest.mark.parametrize(
    ("name", "whole", "unit"),
    [
        ("max_steps", True, "steps"),
        ("num_layers", True, "layers"),
        ("n_experts", True, "experts"),
        ("hidden_dim", True, "channels"),
        ("timeout_seconds", False, "seconds"),
        ("lr", False, "dimensionless"),
        ("weight_decay", False, "dimensionless"),
        ("lr", True, "EDIT"),
        ("buffer", True, "EDIT"),
        ("timeout", False, "EDIT"),
        ("max_steps", False, "EDIT"),
    ],
)
def test_unit(name: str, whole: bool, unit: str) -> None:
    assert unit_of_number(name, whole=whole) == unit


def test_a_name_is_a_description_where_there_is_no_other() -> None:
    assert description_of("weight_decay") == "Weight decay."
