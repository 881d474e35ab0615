"""`JobConfig`: everything that a job of ttt-video-dit is configured with, for training and sampling.

Section and field names are the program's (ttt/infra/config_manager.py).
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from tttcfg import Role, Section, Text, Whole, setting
from video_dit_config.model_settings import ModelConfig
from video_dit_config.sampling import DenoiserConfig, DiscretizationConfig, EvalConfig, GuiderConfig

Schedule = Literal["linear", "cosine"]
Dtype = Literal["float32", "bfloat16", "float16"]


def whole(value: Any) -> Any:
    """Return 1e6, as the program's own files write it, as a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _run(default: object, unit: str, description: str, **constraints: Any) -> Any:
    """Declare a run setting; `unit` is empty where the type implies it."""
    return setting(default, role=Role.RUN, unit=unit, description=description, **constraints)


def _training(default: object, unit: str, description: str, **constraints: Any) -> Any:
    """Declare a training setting; `unit` is empty where the type implies it."""
    return setting(default, role=Role.TRAINING, unit=unit, description=description, **constraints)


class JobExpConfig(Section):
    """The job itself."""

    config_file: Text | None = _run(None, "path", "File that the job was started with.")
    exp_name: Text = _run("default job", "", "Name of the job.")
    dump_folder: Text | None = _run(None, "path", "Folder of all jobs; null is exp in the current folder.")
    seed: Whole = _training(42, "number", "Seed of all random generators.", ge=0)


class TrainingConfig(Section):
    """How it is trained, and on what."""

    adapter_method: Literal["sft", "qkvo"] | None = _training(
        None, "", "What is trained: everything (sft) or TTT and attention projections (qkvo)."
    )
    dataset_path: Text | None = _run(None, "path", "Folder of the data; needed to train.")
    jsonl_paths: Text | None = _run(None, "path", "Index of the data; needed to train.")
    global_batch_size: Whole = _training(8, "videos", "Videos per step, over all ranks.", ge=1)
    grad_accum_steps: Whole = _training(1, "batches", "Parts that a batch is cut into.", ge=1)
    warmup_steps: Whole = _training(50, "steps", "Steps in which the learning rate rises.", ge=0)
    steps: Whole = _training(5000, "steps", "Steps of the whole schedule.", ge=1)
    gc_freq: Whole = _run(50, "steps", "Steps between two garbage collections.", ge=1)


class OptimizerConfig(Section):
    """The optimiser; the TTT layers have a learning rate of their own."""

    name: Literal["AdamW"] = _training("AdamW", "", "Optimiser.")
    lr: float = _training(1e-4, "dimensionless", "Learning rate outside of the TTT layers.", ge=0)
    lr_end: float = _training(0.0, "dimensionless", "Learning rate at the end.", ge=0)
    lr_ssm: float = _training(1e-4, "dimensionless", "Learning rate of the TTT layers.", ge=0)
    lr_schedule: Schedule = _training("linear", "", "How the learning rate falls.")
    lr_ssm_schedule: Schedule = _training("linear", "", "How that of the TTT layers falls.")
    gradient_clipping_norm: float = _training(0.1, "dimensionless", "Gradient norm that is clipped to.", ge=0)


class CheckpointConfig(Section):
    """What is loaded, and how often it is saved."""

    init_state_dir: Text | None = _run(None, "path", "Folder of the weights to start from.")
    interval: Whole = _run(0, "steps", "Steps between two checkpoints; 0 saves none.", ge=0)
    resume: bool = _run(False, "", "Go on with the job of this name.")
    resume_step: Whole = _run(-1, "steps", "Step to go on from; -1 is the newest.", ge=-1)
    timeout_minutes: Whole = _run(0, "minutes", "Time after which the job is ended; 0 is never.", ge=0)


class ParallelismConfig(Section):
    """How ranks share the work."""

    fsdp_unsharded_dtype: Dtype = setting(
        "bfloat16", role=Role.COMPUTATION, description="Floating-point type that the model computes in."
    )
    tp_sharding: Whole = _run(1, "ranks", "Ranks that share the heads of every layer.", ge=1)
    dp_sharding: Whole = _run(8, "ranks", "Ranks that share the parameters.", ge=1)
    dp_replicate: Whole = _run(1, "ranks", "Copies of the sharded model.", ge=1)


class RematConfig(Section):
    """What is computed twice to save memory."""

    transformer_checkpoint_layer_group_size: Whole = _run(1, "layers", "Layers per activation checkpoint.", ge=1)
    scan_checkpoint_group_size: Annotated[Whole, BeforeValidator(whole)] = _run(
        16, "mini-batches", "Mini-batches per activation checkpoint of the inner scan.", ge=0
    )
    forward_ssm: bool = _run(False, "", "Checkpoint the forward TTT layer.")
    reverse_ssm: bool = _run(False, "", "Checkpoint the backward TTT layer.")
    attention: bool = _run(False, "", "Checkpoint attention.")
    mlp: bool = _run(False, "", "Checkpoint the MLP.")
    seq_modeling_block: bool = _run(False, "", "Checkpoint attention and TTT together.")
    shard_transformer_inputs: bool = _run(False, "", "Share a layer's input among tensor-parallel ranks.")


class CommConfig(Section):
    """How ranks talk to each other."""

    init_timeout_seconds: Whole = _run(1200, "seconds", "Longest wait before and in the first step.", ge=1)


class WandBConfig(Section):
    """Where the job is logged."""

    disable: bool = _run(False, "", "Log nothing there.")
    project: Text = _run("ttt-video", "", "Weights & Biases project.")
    entity: Text = _run("default", "", "Weights & Biases entity.")
    log_interval: Whole = _run(50, "steps", "Steps between two log lines.", ge=1)
    alert: bool = _run(False, "", "Send a message when a job starts, goes on or ends a prompt.")


class JobConfig(Section):
    """The complete configuration of a job, and so of the checkpoints that it saves."""

    job: JobExpConfig = JobExpConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    parallelism: ParallelismConfig = ParallelismConfig()
    remat: RematConfig = RematConfig()
    comm: CommConfig = CommConfig()
    wandb: WandBConfig = WandBConfig()
    eval: EvalConfig = EvalConfig()
    guider: GuiderConfig = GuiderConfig()
    denoiser: DenoiserConfig = DenoiserConfig()
    discretization: DiscretizationConfig = DiscretizationConfig()
