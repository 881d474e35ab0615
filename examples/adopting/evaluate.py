"""Evaluate: python evaluate.py runs/tiny/checkpoints/checkpoint_000008/consolidated example/other.yaml"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import safetensors.torch
from finetune.args import TrainArgs
from finetune.data import build_data_loader
from finetune.eval import evaluate
from finetune.wrapped_model import get_model

logger = logging.getLogger("evaluate")


def main(checkpoint: str, config: str) -> None:
    args = TrainArgs.load(config)
    lm_config = json.loads(Path(checkpoint, "config.json").read_text("utf-8"))
    model = get_model(args, lm_config)
    state_dict = safetensors.torch.load_file(Path(checkpoint, "lora.safetensors"))
    model.load_state_dict(state_dict, strict=False)
    data_loader = build_data_loader(args.data.eval_data, lm_config, args.batch_size, args.duration_sec, args.seed)
    logger.info("eval loss %.17g", evaluate(model, data_loader))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(*sys.argv[1:])
