"""What a run is configured with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


@dataclass
class DataArgs:
    train_data: str = ""
    eval_data: str = ""


@dataclass
class ModelPaths:
    config_path: str = ""


@dataclass
class OptimArgs:
    lr: float = 1e-4
    weight_decay: float = 0.1
    pct_start: float = 0.05


@dataclass
class TTTArgs:
    enable: bool = False
    layers: str = "middle"
    base_lr: float = 1.0
    mini_batch_size: int = 16
    initial_gating_alpha: float = 0.1


@dataclass
class TrainArgs:
    data: DataArgs
    run_dir: str
    moshi_paths: ModelPaths = field(default_factory=ModelPaths)
    optim: OptimArgs = field(default_factory=OptimArgs)
    ttt: TTTArgs = field(default_factory=TTTArgs)
    seed: int = 0
    duration_sec: float = 10.0
    batch_size: int = 1
    max_norm: float = 1.0
    max_steps: int = 100
    ckpt_freq: int = 0
    num_ckpt_keep: int | None = 3
    save_adapters: bool = True
    full_finetuning: bool = False
    param_dtype: str = "bfloat16"

    @classmethod
    def load(cls, path: str) -> TrainArgs:
        values: dict[str, Any] = YAML(typ="safe").load(Path(path).read_text("utf-8"))
        sections = {"data": DataArgs, "moshi_paths": ModelPaths, "optim": OptimArgs, "ttt": TTTArgs}
        made = {name: section(**values.pop(name, {})) for name, section in sections.items()}
        return cls(**made, **values)
