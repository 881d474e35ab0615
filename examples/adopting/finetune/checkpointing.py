"""Saving checkpoints."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn


@dataclass
class TrainState:
    max_steps: int
    step: int = 0


class Checkpointer:
    def __init__(
        self,
        model: nn.Module,
        state: TrainState,
        run_dir: Path | str,
        config: dict[str, Any],
        optimizer: torch.optim.Optimizer | None = None,
        num_ckpt_keep: int | None = None,
        full_finetuning: bool = False,
    ) -> None:
        self.model, self.state, self.run_dir, self.config = model, state, Path(run_dir), config
        self.optimizer, self.num_ckpt_keep, self.full_finetuning = optimizer, num_ckpt_keep, full_finetuning

    @property
    def dst_dir(self) -> Path:
        return self.run_dir / "checkpoints" / f"checkpoint_{self.state.step:06d}" / "consolidated"

    def write_params_info(self, tmp_dst: Path) -> None:
        (tmp_dst / "config.json").write_text(json.dumps(self.config, indent=4), "utf-8")

    @torch.no_grad()
    def save_checkpoint(self, save_only_lora: bool, dtype: torch.dtype = torch.float16) -> None:
        tmp_dst = self.dst_dir.with_name("tmp.consolidated")
        tmp_dst.mkdir(parents=True, exist_ok=True)
        trained = {name for name, one in self.model.named_parameters() if one.requires_grad}
        states = {
            name: one.to(dtype).clone()
            for name, one in self.model.state_dict().items()
            if name in trained or not save_only_lora
        }
        weights = tmp_dst / ("lora.safetensors" if save_only_lora else "consolidated.safetensors")
        safetensors.torch.save_file(states, weights)
        self.write_params_info(tmp_dst)
        tmp_dst.rename(self.dst_dir)
        if self.num_ckpt_keep is not None:
            kept = sorted(self.dst_dir.parent.parent.iterdir(), key=lambda folder: folder.stat().st_ctime)
            for folder in kept[: -self.num_ckpt_keep]:
                shutil.rmtree(folder)
