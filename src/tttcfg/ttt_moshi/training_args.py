"""`TrainingArgs`: everything a training run is configured with."""

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr
from typing_extensions import Self

from tttcfg.family.family import family_of
from tttcfg.schema.fields import Section, Text, Whole
from tttcfg.ttt_moshi.evaluation import EvaluationArgs
from tttcfg.ttt_moshi.roles import architecture, computation, run, secret, training
from tttcfg.ttt_moshi.ttt_settings import TTTArgs

Dtype = Literal["bfloat16", "float16", "float32"]
Beta = Annotated[float, Field(ge=0, lt=1)]


class DataArgs(Section):
    """What is trained on."""

    train_data: Text = run("", "Training data (JSON lines); needed to train.", unit="path")
    eval_data: Text = run("", "Evaluation data (JSON lines); needed by do_eval.", unit="path")
    shuffle: bool = training(False, "Shuffle the training data.")


class ModelPaths(Section):
    """The base model, and where its files are on this machine."""

    hf_repo_id: Text | None = computation(
        "kyutai/moshiko-pytorch-bf16", "Hugging Face repository of the base model that the weights were trained on."
    )
    mimi_path: Text | None = run(None, "Local Mimi weights.", unit="path")
    moshi_path: Text | None = run(None, "Local base model weights.", unit="path")
    tokenizer_path: Text | None = run(None, "Local text tokenizer.", unit="path")
    config_path: Text | None = run(None, "Local config.json of the base model.", unit="path")


class OptimArgs(Section):
    """AdamW under a one-cycle schedule."""

    lr: float = training(1e-4, "Peak learning rate.", unit="dimensionless", ge=0)
    weight_decay: float = training(0.1, "AdamW weight decay.", unit="dimensionless", ge=0)
    pct_start: float = training(
        0.05, "Fraction of the steps in which the learning rate rises.", unit="dimensionless", ge=0, le=1
    )
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = training(
        (0.9, 0.95), "AdamW decay rates of the two moments.", unit="dimensionless"
    )
    eps: float = training(1e-8, "AdamW epsilon.", unit="dimensionless", gt=0)


class LoraArgs(Section):
    """Low-rank adapters on the base model's linear layers."""

    enable: bool = architecture(False, "Add LoRA adapters.")
    rank: Whole = architecture(64, "Rank of the adapters.", unit="channels", ge=0)
    scaling: float = computation(2.0, "Factor on the adapters' output; in no tensor.", unit="dimensionless", ge=0)
    ft_embed: bool = training(False, "Train the embeddings in full as well.")


class WandbArgs(Section):
    """Where the run is logged."""

    project: Text | None = run(None, "Weights & Biases project; null logs nothing there.", min_length=1)
    offline: bool = run(False, "Log to local files only.")
    key: SecretStr | None = secret(None, "API key; better given by WANDB_API_KEY or `wandb login`.")
    run_name: Text | None = run(None, "Name of the run.")


class TrainingArgs(Section):
    """The complete configuration of a training run, and so of the checkpoints that it saves.

    Field names are the trainer's (finetune/args.py), wherever it had one.
    """

    data: DataArgs = DataArgs()
    run_dir: Text | None = run(None, "Folder of the run; needed to train.", unit="path")
    moshi_paths: ModelPaths = ModelPaths()
    first_codebook_weight_multiplier: float = computation(
        1.0, "Loss weight of the first audio codebook.", unit="dimensionless", ge=0
    )
    text_padding_weight: float = computation(0.5, "Loss weight of text padding tokens.", unit="dimensionless", ge=0)
    optim: OptimArgs = OptimArgs()
    seed: Whole = training(0, "Seed of all random generators.", unit="dimensionless", ge=0)
    num_microbatches: Whole = training(1, "Batches whose gradients are added before a step.", unit="batches", ge=1)
    duration_sec: float = computation(
        10.0, "Length of a sequence; 12.5 tokens per second.", unit="seconds", gt=0, le=1_000_000
    )
    batch_size: Whole = training(1, "Sequences per batch and rank.", unit="sequences", ge=1)
    max_norm: float = training(1.0, "Gradient norm that is clipped to.", unit="dimensionless", ge=0)
    max_steps: Whole = training(100, "Steps of the whole schedule.", unit="steps", ge=1)
    log_freq: Whole = run(1, "Steps between two log lines.", unit="steps", ge=1)
    ckpt_freq: Whole = run(0, "Steps between two checkpoints; 0 is the last only.", unit="steps", ge=0)
    save_adapters: bool = training(True, "Save adapters only; false merges them into the weights.")
    do_ckpt: bool = run(True, "Save checkpoints.")
    num_ckpt_keep: Whole | None = run(3, "Checkpoints kept; null keeps all.", unit="checkpoints", ge=1)
    eval_freq: Whole = run(0, "Steps between two evaluations; 0 is never.", unit="steps", ge=0)
    do_eval: bool = run(False, "Evaluate on data.eval_data while training.")
    gradient_checkpointing: bool = run(True, "Recompute activations of the base model to save memory.")
    world_size: Whole | None = training(None, "Ranks that trained; set by the launcher.", unit="ranks", ge=1)
    wandb: WandbArgs = WandbArgs()
    lora: LoraArgs = LoraArgs()
    full_finetuning: bool = training(False, "Train every weight of the base model; not together with LoRA.")
    ttt: TTTArgs = TTTArgs()
    evaluation: EvaluationArgs = EvaluationArgs()
    param_dtype: Dtype = computation("bfloat16", "Floating-point type of the parameters.")
    overwrite_run_dir: bool = run(False, "Delete what runs wrote in run_dir, where it exists.")
    resume_from: Text | None = run(None, "Checkpoint to continue from.", unit="path")
    reset_optimizer: bool = run(False, "Resume without the optimiser's state.")
    reset_step: bool = run(False, "Resume from step 0.")

    @classmethod
    def from_any(cls, old: Any) -> Self:
        """Return the configuration that a trainer of any version holds: a dataclass, mapping or namespace.

        Fields that an object of an older version does not have get what the program did at that time.

        `tttcfg.from_any` does the same for any family.

        Raises:
            InputError: `old` is not a configuration of this trainer; with every problem.
        """
        from tttcfg.documents.convert import document_from, of_family  # which import families, as this module must not

        family = family_of(cls)
        training: Self = of_family(document_from(old, family), family).training
        return training
