"""Train: python train.py example/tiny.yaml"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import torch
from finetune.args import TrainArgs
from finetune.checkpointing import Checkpointer, TrainState
from finetune.data import build_data_loader
from finetune.eval import compute_loss
from finetune.wrapped_model import get_model
from torch.optim import AdamW, lr_scheduler

logger = logging.getLogger("train")


def train(config: str) -> None:
    args = TrainArgs.load(config)
    lm_config = json.loads(Path(args.moshi_paths.config_path).read_text("utf-8"))
    model = get_model(args, lm_config)
    data_loader = build_data_loader(args.data.train_data, lm_config, args.batch_size, args.duration_sec, args.seed)

    optimizer = AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=args.optim.lr,
        betas=(0.9, 0.95),
        eps=1e-08,
        weight_decay=args.optim.weight_decay,
    )
    scheduler = lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.optim.lr, total_steps=args.max_steps, pct_start=args.optim.pct_start
    )
    state = TrainState(args.max_steps)
    checkpointer = Checkpointer(
        model=model,
        state=state,
        config=lm_config,
        run_dir=args.run_dir,
        optimizer=optimizer,
        num_ckpt_keep=args.num_ckpt_keep,
        full_finetuning=args.full_finetuning,
    )

    model.train()
    while state.step < args.max_steps:
        state.step += 1
        optimizer.zero_grad()
        loss = compute_loss(model, next(data_loader))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.max_norm)
        optimizer.step()
        scheduler.step()
        logger.info("step %d, loss %.4f", state.step, loss.item())
        if state.step == args.max_steps or (args.ckpt_freq > 0 and state.step % args.ckpt_freq == 0):
            checkpointer.save_checkpoint(
                save_only_lora=not args.full_finetuning and args.save_adapters, dtype=getattr(torch, args.param_dtype)
            )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train(*sys.argv[1:])
