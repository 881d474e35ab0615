"""`TrainArgs`: everything that a training run of moshi_in_place is configured with.

What is not the fork's own is that of kyutai-labs/moshi-finetune, whose names these are (finetune/args.py).
"""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from moshi_in_place_config.in_place import TTTArgs, YaRNArgs
from tttcfg import Role, Section, Text, Whole, setting

Beta = Annotated[float, Field(ge=0, lt=1)]


class DataArgs(Section):
    """What is trained on."""

    train_data: Text = setting("", role=Role.RUN, unit="path", description="Training data; needed to train.")
    eval_data: Text = setting("", role=Role.RUN, unit="path", description="Evaluation data; needed by do_eval.")
    shuffle: bool = setting(False, role=Role.TRAINING, description="Shuffle the training data.")


class ModelPaths(Section):
    """The base model, and where its files lie on this machine."""

    hf_repo_id: Text | None = setting(
        "kyutai/moshiko-pytorch-bf16", role=Role.COMPUTATION, description="Repository of the base model."
    )
    mimi_path: Text | None = setting(None, role=Role.RUN, unit="path", description="Local Mimi weights.")
    moshi_path: Text | None = setting(None, role=Role.RUN, unit="path", description="Local base model weights.")
    tokenizer_path: Text | None = setting(None, role=Role.RUN, unit="path", description="Local text tokenizer.")
    config_path: Text | None = setting(None, role=Role.RUN, unit="path", description="Local config.json.")


class OptimArgs(Section):
    """AdamW under a one-cycle schedule."""

    lr: float = setting(1e-4, role=Role.TRAINING, unit="dimensionless", ge=0, description="Peak learning rate.")
    weight_decay: float = setting(
        0.1, role=Role.TRAINING, unit="dimensionless", ge=0, description="AdamW weight decay."
    )
    pct_start: float = setting(
        0.05,
        role=Role.TRAINING,
        unit="dimensionless",
        ge=0,
        le=1,
        description="Part of the steps in which the rate rises.",
    )
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = setting(
        (0.9, 0.95), role=Role.TRAINING, unit="dimensionless", description="AdamW decay rates of the two moments."
    )
    eps: float = setting(1e-8, role=Role.TRAINING, unit="dimensionless", gt=0, description="AdamW epsilon.")


class LoraArgs(Section):
    """Low-rank adapters on the base model's linear layers."""

    enable: bool = setting(False, role=Role.ARCHITECTURE, description="Add LoRA adapters.")
    rank: Whole = setting(64, role=Role.ARCHITECTURE, unit="channels", ge=1, description="Rank of the adapters.")
    scaling: float = setting(
        2.0, role=Role.COMPUTATION, unit="dimensionless", ge=0, description="Factor on their output."
    )
    ft_embed: bool = setting(False, role=Role.TRAINING, description="Train the embeddings in full too.")


class WandbArgs(Section):
    """Where the run is logged."""

    project: Text | None = setting(
        None, role=Role.RUN, min_length=1, description="Weights & Biases project; null logs nothing."
    )
    offline: bool = setting(False, role=Role.RUN, description="Log to local files only.")
    key: SecretStr | None = setting(None, role=Role.SECRET, unit="secret", description="API key.")
    run_name: Text | None = setting(None, role=Role.RUN, description="Name of the run.")


class TrainArgs(Section):
    """The complete configuration of a training run, and so of the checkpoints that it saves."""

    data: DataArgs = DataArgs()
    run_dir: Text | None = setting(None, role=Role.RUN, unit="path", description="Folder of the run; needed to train.")
    moshi_paths: ModelPaths = ModelPaths()
    first_codebook_weight_multiplier: float = setting(
        1.0, role=Role.COMPUTATION, unit="dimensionless", ge=0, description="Loss weight of the first audio codebook."
    )
    text_padding_weight: float = setting(
        0.5, role=Role.COMPUTATION, unit="dimensionless", ge=0, description="Loss weight of text padding tokens."
    )
    optim: OptimArgs = OptimArgs()
    seed: Whole = setting(0, role=Role.TRAINING, unit="number", ge=0, description="Seed of all random generators.")
    num_microbatches: Whole = setting(
        1, role=Role.TRAINING, unit="batches", ge=1, description="Batches whose gradients are added before a step."
    )
    duration_sec: float = setting(
        10.0, role=Role.COMPUTATION, unit="seconds", gt=0, description="Length of a sequence; 12.5 tokens per second."
    )
    batch_size: Whole = setting(1, role=Role.TRAINING, unit="sequences", ge=1, description="Sequences per rank.")
    max_norm: float = setting(
        1.0, role=Role.TRAINING, unit="dimensionless", ge=0, description="Gradient norm that is clipped to."
    )
    max_steps: Whole = setting(100, role=Role.TRAINING, unit="steps", ge=1, description="Steps of the schedule.")
    log_freq: Whole = setting(1, role=Role.RUN, unit="steps", ge=1, description="Steps between two log lines.")
    ckpt_freq: Whole = setting(0, role=Role.RUN, unit="steps", ge=0, description="Steps between two checkpoints.")
    save_adapters: bool = setting(True, role=Role.TRAINING, description="Save adapters only.")
    do_ckpt: bool = setting(True, role=Role.RUN, description="Save checkpoints.")
    num_ckpt_keep: Whole | None = setting(
        3, role=Role.RUN, unit="checkpoints", ge=1, description="Checkpoints kept; null keeps all."
    )
    eval_freq: Whole = setting(0, role=Role.RUN, unit="steps", ge=0, description="Steps between two evaluations.")
    do_eval: bool = setting(False, role=Role.RUN, description="Evaluate while training.")
    gradient_checkpointing: bool = setting(True, role=Role.RUN, description="Recompute activations to save memory.")
    world_size: Whole | None = setting(None, role=Role.TRAINING, unit="ranks", ge=1, description="Ranks that trained.")
    wandb: WandbArgs = WandbArgs()
    lora: LoraArgs = LoraArgs()
    full_finetuning: bool = setting(False, role=Role.TRAINING, description="Train every weight.")
    param_dtype: Literal["bfloat16", "float32"] = setting(
        "bfloat16", role=Role.COMPUTATION, description="Floating-point type of the parameters."
    )
    overwrite_run_dir: bool = setting(False, role=Role.RUN, description="Empty run_dir before a run.")
    ttt: TTTArgs = TTTArgs()
    yarn: YaRNArgs = YaRNArgs()
