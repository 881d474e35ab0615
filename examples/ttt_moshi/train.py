"""Train the model of a configuration file; every checkpoint carries its configuration.

    python examples/ttt_moshi/train.py --config examples/ttt_moshi/configs/train.yaml [run_dir=runs/mine ...]
    torchrun --nproc-per-node 2 examples/ttt_moshi/train.py --config ...

Exit codes: 0 fine; 1 the configuration contradicts the model or the checkpoint that is resumed, or an evaluation on the
way failed, which stops nothing; 2 wrong use, input that cannot be used, or a loss that is not finite: the run stops at
that step, and nothing of it is saved.

Every exit code but 0 makes `torchrun --max-restarts` start it once more. Started so, it deletes nothing, whatever
`overwrite_run_dir` says.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch.distributed as dist

from ttt_moshi.program import deterministic, overrides_of, run, say_findings, say_overrides
from ttt_moshi.training import Run
from tttcfg import InputError, Problem, find_checkpoint, read_model_config
from tttcfg import nn as tttnn

CONFIG_PATH = "moshi_paths.config_path"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description="Train the model of a configuration file.",
        epilog="Every other KEY=VALUE, --KEY=VALUE or --KEY VALUE overrides a setting.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="append", required=True, metavar="FILE", help="may be repeated")
    options, rest = parser.parse_known_args(words)
    return train(options.config, overrides_of(rest, parser))


def train(config: Sequence[str], overrides: Sequence[str]) -> int:
    """Do one training run and return the exit code: 1 where an evaluation on the way failed, else 0.

    Raises:
        InputError: Something that was given cannot be used.
        ContradictionError: The configuration cannot be true of the model, or of the checkpoint that is resumed.
    """
    device = deterministic()
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        effective, model_config = configured(config, overrides, ranks)
        training = effective.training
        if tttnn.rank() == 0:
            say_overrides(effective)
            say_findings(effective)
        one = Run(effective, model_config, device)
        if training.resume_from is not None:
            one.resume(training.resume_from)
        one.train()
        return int(one.failed > 0)
    finally:
        if ranks > 1:
            dist.destroy_process_group()


def configured(config: Sequence[str], overrides: Sequence[str], ranks: int) -> tuple[Any, Mapping[str, Any]]:
    """Return the effective configuration and the model's.

    A run that resumes goes on with what its checkpoint was trained with, like an evaluation: other values take an
    override. `world_size` is what was launched, whatever was given.
    """
    first = tttnn.resolve_together(config=config, overrides=overrides).training
    checkpoint, path = first.resume_from, first.moshi_paths.config_path
    if checkpoint is not None:
        path = find_checkpoint(checkpoint).model_config
    if path is None:
        message = "names no config.json, which says how large the model is"
        raise InputError(Problem("missing", message, CONFIG_PATH))
    try:
        model_config = read_model_config(path)
    except InputError as error:
        raise InputError(one._replace(key=one.key or CONFIG_PATH) for one in error.problems) from None
    effective = tttnn.resolve_together(
        checkpoint, config, overrides, model_config=None if checkpoint else path, require_training=True
    )
    if (effective.training.world_size or 1) != ranks:
        return configured(config, [*overrides, f"world_size={ranks}"], ranks)
    return effective, model_config


if __name__ == "__main__":
    run(main)
