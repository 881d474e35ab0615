"""A trainer's configuration in the shape of torchtitan's: nested dataclasses with a text below every field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Job:
    config_file: str | None = None
    """Job config file"""

    dump_folder: str = "./outputs"
    """Folder to dump job outputs"""

    description: str = "default job"
    """Description of the job"""

    print_config: bool = False
    """Print the job configs to terminal"""

    save_config_file: str | None = None
    """Path to save job config into"""

    custom_config_module: str = ""
    """Module that extends the job config"""


@dataclass
class Profiling:
    enable_profiling: bool = False
    """Whether to enable the profiler"""

    save_traces_folder: str = "profile_traces"
    """Trace files location"""

    profile_freq: int = 10
    """How often to collect profile traces, in iterations"""

    profiler_active: int = 1
    """The steps the profiler is active for"""

    profiler_warmup: int = 3
    """The number of warmup steps before the active steps"""

    enable_memory_snapshot: bool = False
    """Whether to dump memory snapshots"""

    save_memory_snapshot_folder: str = "memory_snapshot"
    """Memory snapshot files location"""


@dataclass
class Metrics:
    log_freq: int = 10
    """How often to log metrics to TensorBoard, in iterations"""

    enable_tensorboard: bool = False
    """Whether to log metrics to TensorBoard"""

    disable_color_printing: bool = False
    """Whether to disable color printing in logs"""

    save_tb_folder: str = "tb"
    """Folder to dump TensorBoard states"""

    save_for_all_ranks: bool = False
    """Whether to save TensorBoard/Wandb metrics for all ranks"""

    enable_wandb: bool = False
    """Whether to log metrics to Weights & Biases"""

    wandb_project: str | None = None
    """Project that is logged to"""

    wandb_api_key: str | None = None
    """Key of the account; by default that of the environment"""


@dataclass
class Model:
    name: str = "llama3"
    """Which model to train"""

    flavor: str = "debugmodel"
    """Which model config to train"""

    hf_assets_path: str = "./tests/assets/tokenizer"
    """Path to HF assets folder"""

    tokenizer_path: str | None = None
    """Path of the tokenizer"""

    dim: int = 4096
    """Width of the residual stream"""

    n_layers: int = 32
    """Number of layers"""

    n_heads: int = 32
    """Number of attention heads"""

    n_kv_heads: int | None = None
    """Number of key and value heads; by default that of heads"""

    vocab_size: int = 128256
    """Size of the vocabulary"""

    multiple_of: int = 256
    """The width of the feed-forward layers is a multiple of it"""

    ffn_dim_multiplier: float | None = None
    """Factor on the width of the feed-forward layers"""

    norm_eps: float = 1e-5
    """Epsilon of every norm"""

    rope_theta: float = 500000.0
    """Base of the rotary frequencies"""

    max_seq_len: int = 131072
    """Longest sequence of the rotary positions"""

    depth_init: bool = True
    """Scale the initialisation of each block by its depth"""

    use_flex_attn: bool = False
    """Use flex attention"""

    attn_mask_type: Literal["causal", "block_causal"] = "causal"
    """Mask of the attention"""

    qk_norm: bool = False
    """Norm of queries and keys"""

    eos_id: int = 0
    """Token that ends a document"""

    enable_weight_tying: bool = False
    """Whether the output layer has the weights of the embedding"""


@dataclass
class Optimizer:
    name: Literal["Adam", "AdamW"] = "AdamW"
    """Optimizer to use"""

    lr: float = 8e-4
    """Learning rate to use"""

    beta1: float = 0.9
    """Exponential moving average hyperparameter of the first moment"""

    beta2: float = 0.95
    """Exponential moving average hyperparameter of the second moment"""

    eps: float = 1e-8
    """Epsilon value to use"""

    weight_decay: float = 0.1
    """Weight decay to use"""

    implementation: Literal["for-loop", "foreach", "fused"] = "fused"
    """Which implementation to use"""

    early_step_in_backward: bool = False
    """Whether to apply optimizer in the backward"""


@dataclass
class LRScheduler:
    warmup_steps: int = 200
    """Steps for lr scheduler warmup, normally 1/5 of the training steps"""

    decay_ratio: float | None = None
    """Ratio of the training steps allocated to the decay phase"""

    decay_type: Literal["linear", "sqrt", "cosine"] = "linear"
    """Learning rate decay type"""

    min_lr_factor: float = 0.0
    """Min lr ratio for lr scheduler"""


@dataclass
class DataLoader:
    num_workers: int = 0
    """Processes that read ahead"""

    persistent_workers: bool = False
    """Keep them between epochs"""

    pin_memory: bool = False
    """Copy batches into pinned memory"""

    prefetch_factor: int | None = None
    """Batches that each process reads ahead"""


@dataclass
class Training:
    dataset: str = "c4_test"
    """Dataset to use"""

    dataset_path: str | None = None
    """Path to the dataset in the file system"""

    local_batch_size: int = 8
    """Local batch size (i.e., per-device batch size)"""

    global_batch_size: int = -1
    """Global batch size; by default local batch size times data-parallel degree"""

    seq_len: int = 2048
    """Sequence length"""

    max_norm: float = 1.0
    """Max norm for gradient clipping"""

    steps: int = 10000
    """How many train steps to run"""

    enable_cpu_offload: bool = False
    """Whether to apply CPU offloading of parameters, gradients, and optimizer states"""

    dtype: Literal["bfloat16", "float32"] = "float32"
    """torch dtype for training"""

    mixed_precision_param: Literal["bfloat16", "float32"] = "bfloat16"
    """torch dtype to use for parameters when applying mixed precision via fully_shard"""

    mixed_precision_reduce: Literal["float32"] = "float32"
    """torch dtype to use for reductions when applying mixed precision via fully_shard"""

    gc_freq: int = 50
    """Python garbage control scheduling interval, in steps"""

    gc_debug: bool = False
    """Enable GC debugging mode"""

    seed: int | None = None
    """Choose the base RNG seed used for training"""

    deterministic: bool = False
    """Use deterministic algorithms wherever possible, may be slower"""

    dataloader: DataLoader = field(default_factory=DataLoader)
    """DataLoader configuration"""


@dataclass
class Parallelism:
    data_parallel_replicate_degree: int = 1
    """Degree of data parallelism for weight replication"""

    enable_compiled_autograd: bool = False
    """Enable CompiledAutograd to compile the backward"""

    data_parallel_shard_degree: int = -1
    """Degree of data parallelism for weight sharding; -1 means the leftover ranks"""

    fsdp_reshard_after_forward: Literal["default", "always", "never"] = "default"
    """Policy for applying reshard_after_forward within an FSDP setup"""

    tensor_parallel_degree: int = 1
    """Tensor Parallelism degree; 1 means disabled"""

    disable_loss_parallel: bool = False
    """Whether to apply loss parallel when sequence parallel is enabled"""

    enable_async_tensor_parallel: bool = False
    """Whether to apply async tensor parallel"""

    pipeline_parallel_degree: int = 1
    """Pipeline Parallelism degree; 1 means disabled"""

    module_fqns_per_model_part: list[list[str]] | None = None
    """Modules of each part of the model"""

    pipeline_parallel_first_stage_less_layers: int = 1
    """Layers that the first stage has less"""

    pipeline_parallel_last_stage_less_layers: int = 1
    """Layers that the last stage has less"""

    pipeline_parallel_layers_per_stage: int | None = None
    """Layers of each stage"""

    pipeline_parallel_schedule: str = "1F1B"
    """Pipeline Parallel schedule to use"""

    pipeline_parallel_schedule_csv: str | None = ""
    """Path to the pipeline parallel schedule csv file"""

    pipeline_parallel_microbatch_size: int = 1
    """Size of each pipeline parallel microbatch"""

    context_parallel_degree: int = 1
    """Context parallelism degree; 1 means disabled"""

    context_parallel_rotate_method: Literal["allgather", "alltoall"] = "allgather"
    """Collective to use in context parallel SDPA for kv shards exchange"""

    expert_parallel_degree: int = 1
    """Expert parallelism degree; 1 means disabled"""

    expert_tensor_parallel_degree: Literal[1, 4] = 1
    """Expert tensor parallelism degree; 1 means disabled"""


@dataclass
class Checkpoint:
    enable: bool = False
    """Whether to enable checkpoint"""

    folder: str = "checkpoint"
    """The folder to store the checkpoints"""

    interval: int = 500
    """Checkpointing interval in steps"""

    initial_load_path: str | None = None
    """The path of the checkpoint to start from"""

    initial_load_model_only: bool = True
    """Load only the model of the initial checkpoint"""

    initial_load_in_hf: bool = False
    """Load it in Hugging Face's format"""

    last_save_model_only: bool = True
    """Save only the model at the end of training"""

    last_save_in_hf: bool = False
    """Save it in Hugging Face's format"""

    export_dtype: Literal["float16", "bfloat16", "float32"] = "float32"
    """Precision that is exported at the end of training"""

    async_mode: Literal["disabled", "async", "async_with_pinned_mem"] = "disabled"
    """Which async checkpoint mode to use"""

    keep_latest_k: int = 10
    """Keeps only the latest k checkpoints, and purges older ones; 0 keeps all"""

    load_step: int = -1
    """Load the checkpoint at the specified step; -1 is the latest"""

    exclude_from_loading: list[str] = field(default_factory=list)
    """Keys that are not loaded"""

    enable_first_step_checkpoint: bool = False
    """Save a checkpoint of the first step"""

    create_seed_checkpoint: bool = False
    """Initialise the full model without parallelism, and save it"""


@dataclass
class ActivationCheckpoint:
    mode: Literal["selective", "full", "memory_budget", "none"] = "selective"
    """Type of activation checkpointing to use"""

    selective_ac_option: str = "2"
    """Every so many layers, or op"""

    per_op_sac_force_recompute_mm_shapes_by_fqns: list[str] = field(default_factory=lambda: ["moe.router.gate"])
    """Modules whose matrix products are always computed again"""

    early_stop: bool = False
    """Whether to stop recomputing early"""

    memory_budget: float = 0.5
    """Share of the activations that is kept"""

    visualize_memory_budget_pareto: bool = False
    """Whether to draw the trade-off"""

    preserve_rng_state: bool = False
    """Whether recomputation has the same random numbers"""

    determinism_check: str = "default"
    """How recomputed tensors are compared"""


@dataclass
class Compile:
    enable: bool = False
    """Whether to apply torch.compile"""

    components: list[Literal["model", "loss"]] = field(default_factory=lambda: ["model", "loss"])
    """Which components to compile"""

    backend: str = "inductor"
    """Backend of torch.compile"""


@dataclass
class Float8Linear:
    enable_fsdp_float8_all_gather: bool = False
    """Whether to enable float8 all-gather in FSDP"""

    precompute_float8_dynamic_scale_for_fsdp: bool = False
    """Whether to precompute float8 scales dynamically for FSDP"""

    recipe_name: Literal["tensorwise", "rowwise", "rowwise_with_gw_hp"] | None = None
    """Recipe for the scales"""

    filter_fqns: list[str] = field(default_factory=list)
    """Modules that stay as they are"""

    emulate: bool = False
    """Emulate float8 on other hardware"""


@dataclass
class MXLinear:
    mxfp8_dim1_cast_kernel_choice: Literal["triton", "cuda", "torch"] = "triton"
    """Kernel for the cast"""

    recipe_name: str = "mxfp8_cublas"
    """Recipe for the scales"""

    filter_fqns: list[str] = field(default_factory=lambda: ["output"])
    """Modules that stay as they are"""


@dataclass
class QuantizedLinear:
    float8: Float8Linear = field(default_factory=Float8Linear)
    """FP8 training of nn.Linear layers"""

    mx: MXLinear = field(default_factory=MXLinear)
    """MX training of nn.Linear layers"""


@dataclass
class Quantize:
    linear: QuantizedLinear = field(default_factory=QuantizedLinear)
    """Quantized training of nn.Linear layers"""

    moe_fqns: list[str] = field(default_factory=list)
    """Experts that are quantized"""


@dataclass
class Comm:
    init_timeout_seconds: int = 300
    """Timeout for communication operations, during initialization and first train step"""

    train_timeout_seconds: int = 100
    """Timeout for communication operations after the first train step"""

    trace_buf_size: int = 20000
    """Flight recorder ring buffer size, >0 means recording by default, 0 means disabled"""

    save_traces_folder: str = "comm_traces"
    """Flight recorder trace files location"""

    save_traces_file_prefix: str = "rank_"
    """Flight recorder trace files prefix"""


@dataclass
class MemoryEstimation:
    enable: bool = False
    """Whether to estimate memory usage for FSDP"""

    disable_fake_mode: bool = False
    """Whether to estimate memory under FakeTensorMode"""


@dataclass
class FaultTolerance:
    enable: bool = False
    """Enable TorchFT integration"""

    process_group: str = "gloo"
    """The process group to use for fault tolerance"""

    process_group_timeout_ms: int = 10000
    """The process group will abort if operations don't succeed within this duration"""

    replica_id: int = 0
    """The TorchFT replica ID of this run"""

    group_size: int = 0
    """The number of TorchFT replicate groups"""

    min_replica_size: int = 1
    """The minimum number of replicas for each step"""

    semi_sync_method: str | None = None
    """The algorithm to use for semi-sync training"""

    sync_steps: int = 5
    """Number of training steps before performing synchronization"""

    should_quantize: bool = False
    """Whether to quantize the gradients before allreduce"""

    fragment_sync_delay: int = 0
    """Steps to wait between dispatching and applying the sync of a fragment"""

    fragment_update_alpha: float = 0.0
    """Determines how to mix the local and global optimized parameters"""

    num_fragments: int = 1
    """Number of fragments to split the model into"""


@dataclass
class Experimental:
    custom_import: str = ""
    """Module that is imported by the trainer"""

    custom_args_module: str = ""
    """Module with further settings"""


@dataclass
class Validation:
    enable: bool = False
    """Enable validation to default run validation after each training loop"""

    dataset: str = "c4_validation"
    """Dataset to use for validation"""

    dataset_path: str | None = None
    """Path to dataset to use for validation"""

    local_batch_size: int = 8
    """Batch size for validation"""

    seq_len: int = 2048
    """Sequence length for validation"""

    freq: int = 10
    """Frequency of validation, in steps"""

    steps: int = -1
    """Number of steps to take in the validation set, -1 means consuming all the data"""

    dataloader: DataLoader = field(default_factory=lambda: DataLoader(num_workers=2))
    """DataLoader configuration"""

    def __post_init__(self) -> None:
        if not (self.steps > 0 or self.steps == -1):
            raise ValueError("validation steps must be positive or -1")


@dataclass
class Debug:
    seed: int | None = None
    """Choose the base RNG seed used for training"""

    deterministic: bool = False
    """Use deterministic algorithms wherever possible, may be slower"""

    deterministic_warn_only: bool = False
    """Only warns about ops without deterministic implementations"""

    moe_force_load_balance: bool = False
    """If True, we force each experts to get the same amount of tokens"""


@dataclass
class JobConfig:
    """Default container for training configuration."""

    job: Job = field(default_factory=Job)
    profiling: Profiling = field(default_factory=Profiling)
    metrics: Metrics = field(default_factory=Metrics)
    model: Model = field(default_factory=Model)
    optimizer: Optimizer = field(default_factory=Optimizer)
    lr_scheduler: LRScheduler = field(default_factory=LRScheduler)
    training: Training = field(default_factory=Training)
    parallelism: Parallelism = field(default_factory=Parallelism)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    activation_checkpoint: ActivationCheckpoint = field(default_factory=ActivationCheckpoint)
    compile: Compile = field(default_factory=Compile)
    quantize: Quantize = field(default_factory=Quantize)
    comm: Comm = field(default_factory=Comm)
    memory_estimation: MemoryEstimation = field(default_factory=MemoryEstimation)
    fault_tolerance: FaultTolerance = field(default_factory=FaultTolerance)
    experimental: Experimental = field(default_factory=Experimental)
    validation: Validation = field(default_factory=Validation)
    debug: Debug = field(default_factory=Debug)
