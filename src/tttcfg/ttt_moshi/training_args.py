"""`TrainingArgs`: everything a training run is configured with."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr
from typing_extensions import Self

from tttcfg.family.family import family_of
from tttcfg.schema.fields import Role, Section, Text, Whole, setting
from tttcfg.ttt_moshi.evaluation import EvaluationArgs
from tttcfg.ttt_moshi.ttt_settings import TTTArgs

Dtype = Literal["bfloat16", "float16", "float32"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class DataArgs(Section):
    """What is trained on."""

    train_data: Text = setting(
        "", role=Role.RUN, unit="path", description="Training data (JSON lines); needed to train."
    )
    eval_data: Text = setting(
        "", role=Role.RUN, unit="path", description="Evaluation data (JSON lines); needed by do_eval."
    )
    shuffle: bool = setting(False, role=Role.TRAINING, unit="switch", description="Shuffle the training data.")


class ModelPaths(Section):
    """The base model, and where its files lie on this machine."""

    hf_repo_id: Text | None = setting(
        "kyutai/moshiko-pytorch-bf16",
        role=Role.COMPUTATION,
        unit="name",
        description="Hugging Face repository of the base model that the weights were trained on.",
    )
    mimi_path: Text | None = setting(None, role=Role.RUN, unit="path", description="Local Mimi weights.")
    moshi_path: Text | None = setting(None, role=Role.RUN, unit="path", description="Local base model weights.")
    tokenizer_path: Text | None = setting(None, role=Role.RUN, unit="path", description="Local text tokenizer.")
    config_path: Text | None = setting(
        None, role=Role.RUN, unit="path", description="Local config.json of the base model."
    )


class OptimArgs(Section):
    """AdamW under a one-cycle schedule."""

    lr: float = setting(1e-4, role=Role.TRAINING, unit="1", ge=0, description="Peak learning rate.")
    weight_decay: float = setting(0.1, role=Role.TRAINING, unit="1", ge=0, description="AdamW weight decay.")
    pct_start: float = setting(
        0.05,
        role=Role.TRAINING,
        unit="1",
        ge=0,
        le=1,
        description="Part of the steps in which the learning rate rises.",
    )
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = setting(
        (0.9, 0.95), role=Role.TRAINING, unit="1", description="AdamW decay rates of the two moments."
    )
    eps: float = setting(1e-8, role=Role.TRAINING, unit="1", gt=0, description="AdamW epsilon.")


class LoraArgs(Section):
    """Low-rank adapters on the base model's linear layers."""

    enable: bool = setting(False, role=Role.ARCHITECTURE, unit="switch", description="Add LoRA adapters.")
    rank: Whole = setting(64, role=Role.ARCHITECTURE, unit="channels", ge=0, description="Rank of the adapters.")
    scaling: float = setting(
        2.0, role=Role.COMPUTATION, unit="1", ge=0, description="Factor on the adapters' output; in no tensor."
    )
    ft_embed: bool = setting(
        False, role=Role.TRAINING, unit="switch", description="Train the embeddings in full as well."
    )


class WandbArgs(Section):
    """Where the run is logged."""

    project: Text | None = setting(
        None, role=Role.RUN, unit="name", min_length=1, description="Weights & Biases project; null logs nothing there."
    )
    offline: bool = setting(False, role=Role.RUN, unit="switch", description="Log to local files only.")
    key: SecretStr | None = setting(
        None, role=Role.SECRET, unit="secret", description="API key; better given by WANDB_API_KEY or `wandb login`."
    )
    run_name: Text | None = setting(None, role=Role.RUN, unit="name", description="Name of the run.")


class TrainingArgs(Section):
    """The complete configuration of a training run, and so of the checkpoints that it saves.

    Field names are the trainer's (finetune/args.py), wherever it had one.
    """

    data: DataArgs = DataArgs()
    run_dir: Text | None = setting(None, role=Role.RUN, unit="path", description="Folder of the run; needed to train.")
    moshi_paths: ModelPaths = ModelPaths()
    first_codebook_weight_multiplier: float = setting(
        1.0, role=Role.COMPUTATION, unit="1", ge=0, description="Loss weight of the first audio codebook."
    )
    text_padding_weight: float = setting(
        0.5, role=Role.COMPUTATION, unit="1", ge=0, description="Loss weight of text padding tokens."
    )
    optim: OptimArgs = OptimArgs()
    seed: Whole = setting(0, role=Role.TRAINING, unit="number", ge=0, description="Seed of all random generators.")
    num_microbatches: Whole = setting(
        1, role=Role.TRAINING, unit="batches", ge=1, description="Batches whose gradients are added before a step."
    )
    duration_sec: float = setting(
        10.0,
        role=Role.COMPUTATION,
        unit="seconds",
        gt=0,
        le=1_000_000,
        description="Length of a sequence; 12.5 tokens per second.",
    )
    batch_size: Whole = setting(
        1, role=Role.TRAINING, unit="sequences", ge=1, description="Sequences per batch and rank."
    )
    max_norm: float = setting(1.0, role=Role.TRAINING, unit="1", ge=0, description="Gradient norm that is clipped to.")
    max_steps: Whole = setting(100, role=Role.TRAINING, unit="steps", ge=1, description="Steps of the whole schedule.")
    log_freq: Whole = setting(1, role=Role.RUN, unit="steps", ge=1, description="Steps between two log lines.")
    ckpt_freq: Whole = setting(
        0, role=Role.RUN, unit="steps", ge=0, description="Steps between two checkpoints; 0 is the last only."
    )
    save_adapters: bool = setting(
        True, role=Role.TRAINING, unit="switch", description="Save adapters only; false merges them into the weights."
    )
    do_ckpt: bool = setting(True, role=Role.RUN, unit="switch", description="Save checkpoints.")
    num_ckpt_keep: Whole | None = setting(
        3, role=Role.RUN, unit="checkpoints", ge=1, description="Checkpoints kept; null keeps all."
    )
    eval_freq: Whole = setting(
        0, role=Role.RUN, unit="steps", ge=0, description="Steps between two evaluations; 0 is never."
    )
    do_eval: bool = setting(
        False, role=Role.RUN, unit="switch", description="Evaluate on data.eval_data while training."
    )
    gradient_checkpointing: bool = setting(
        True, role=Role.RUN, unit="switch", description="Recompute activations of the base model to save memory."
    )
    world_size: Whole | None = setting(
        None, role=Role.TRAINING, unit="ranks", ge=1, description="Ranks that trained; set by the launcher."
    )
    wandb: WandbArgs = WandbArgs()
    lora: LoraArgs = LoraArgs()
    full_finetuning: bool = setting(
        False,
        role=Role.TRAINING,
        unit="switch",
        description="Train every weight of the base model; not together with LoRA.",
    )
    ttt: TTTArgs = TTTArgs()
    evaluation: EvaluationArgs = EvaluationArgs()
    param_dtype: Dtype = setting(
        "bfloat16", role=Role.COMPUTATION, unit="name", description="Floating-point type of the parameters."
    )
    overwrite_run_dir: bool = setting(
        False, role=Role.RUN, unit="switch", description="Delete what runs wrote in run_dir, where it exists."
    )
    resume_from: Text | None = setting(None, role=Role.RUN, unit="path", description="Checkpoint to continue from.")
    reset_optimizer: bool = setting(
        False, role=Role.RUN, unit="switch", description="Resume without the optimiser's state."
    )
    reset_step: bool = setting(False, role=Role.RUN, unit="switch", description="Resume from step 0.")

    @classmethod
    def from_any(cls, old: Any) -> Self:
        """Return the configuration that a trainer of any version holds: a dataclass, mapping or namespace.

        What the object lacks because it is of an older shape gets what the program did at that time.

        Raises:
            InputError: `old` is no configuration of this trainer; every problem is named.
        """
        from tttcfg.documents.convert import document_from  # which imports families, as this module must not

        training: Self = document_from(old, family_of(cls)).training
        return training
