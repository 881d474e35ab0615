"""Train the model of a configuration file; every checkpoint holds its configuration.

    python examples/ttt_moshi/train.py --config examples/ttt_moshi/configs/train.yaml [run_dir=runs/mine ...]
    torchrun --nproc-per-node 2 examples/ttt_moshi/train.py --config ...

Exit codes: 0 fine; 1 the configuration contradicts the model or the checkpoint to resume from, or an evaluation failed
during training, which does not stop it; 2 wrong usage, invalid input, or a non-finite loss: the run stops at that step,
which is not saved.

`torchrun --max-restarts` restarts the program after any exit code but 0. A restarted run deletes nothing, even with
`overwrite_run_dir`.
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

from ttt_moshi.program import deterministic_device, log_findings, log_overrides, parse_overrides, run
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
    return train(options.config, parse_overrides(rest, parser))


def train(config: Sequence[str], overrides: Sequence[str]) -> int:
    """Do one training run and return the exit code: 1 if an evaluation failed during it, else 0.

    Raises:
        InputError: A file or a setting cannot be used.
        ContradictionError: The configuration contradicts the model or the checkpoint to resume from.
    """
    device = deterministic_device()
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        effective, model_config = resolve(config, overrides, ranks)
        resume_from = effective.training.resume_from
        if tttnn.rank() == 0:
            log_overrides(effective)
            log_findings(effective)
        training_run = Run(effective, model_config, device)
        if resume_from is not None:
            training_run.resume(resume_from)
        training_run.train()
        return int(training_run.failed_evaluations > 0)
    finally:
        if ranks > 1:
            dist.destroy_process_group()


def resolve(config: Sequence[str], overrides: Sequence[str], ranks: int) -> tuple[Any, Mapping[str, Any]]:
    """Return the effective configuration and the model's config.json.

    A run that resumes uses what its checkpoint was trained with, like an evaluation; other values need an override.
    `world_size` is always the number of ranks that were launched.
    """
    first = tttnn.resolve_together(config=config, overrides=overrides).training
    checkpoint, path = first.resume_from, first.moshi_paths.config_path
    if checkpoint is not None:
        path = find_checkpoint(checkpoint).model_config
    if path is None:
        message = "is not set; it names the config.json with the model's dimensions"
        raise InputError(Problem("missing", message, CONFIG_PATH))
    try:
        model_config = read_model_config(path)
    except InputError as error:
        raise InputError(one._replace(key=one.key or CONFIG_PATH) for one in error.problems) from None
    effective = tttnn.resolve_together(
        checkpoint, config, overrides, model_config=None if checkpoint else path, require_training=True
    )
    if (effective.training.world_size or 1) != ranks:
        return resolve(config, [*overrides, f"world_size={ranks}"], ranks)
    return effective, model_config


if __name__ == "__main__":
    run(main)
