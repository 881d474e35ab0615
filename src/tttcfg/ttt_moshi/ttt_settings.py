"""The TTT section of a training configuration, and what of it the layers read as it stands."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, model_validator
from typing_extensions import Self

from tttcfg.schema.fields import PARTIAL, Follows, Role, Section, Whole, setting
from tttcfg.ttt_moshi.layer_spec import LayerSpec

InnerModel = Literal["linear", "mlp"]
RopeMode = Literal["off", "mini_batch", "legacy"]
RopeScaling = Literal["none", "audio"]
ReadOut = Literal["once", "twice"]
ScanDtype = Literal["float32", "parameters"]
StateDtype = Literal["scan", "parameters"]
Persistence = Literal["never", "first_sequence", "each_sequence"]
Kernel = Literal["auto", "torch", "triton", "thunderkittens"]
Width = Annotated[Whole, Field(ge=1)]
LARGEST_FACTOR = 10_000


class MLPArgs(Section):
    """The shape of the inner MLP."""

    layers: int = setting(
        2,
        role=Role.ARCHITECTURE,
        unit="layers",
        ge=2,
        le=1024,
        description="Layers of the inner MLP; 3 and more select the multi-layer TTT-MLP.",
    )
    hidden_dims: Annotated[tuple[Width, ...], Field(strict=False)] | None = setting(
        None,
        role=Role.ARCHITECTURE,
        unit="channels",
        description="Width of each hidden layer (layers - 1 of them); null takes expansion_factor for all.",
    )
    expansion_factor: float = setting(
        4.0,
        role=Role.ARCHITECTURE,
        unit="1",
        gt=0,
        le=LARGEST_FACTOR,
        description="Hidden width as a multiple of head_dim, rounded down, where hidden_dims is null.",
    )

    @model_validator(mode="after")
    def _one_width_per_hidden_layer(self, info: ValidationInfo) -> Self:
        if info.context == PARTIAL:
            return self
        if self.hidden_dims is not None and len(self.hidden_dims) != self.layers - 1:
            given, needed = len(self.hidden_dims), self.layers - 1
            raise ValueError(f"hidden_dims has {given} widths, but {self.layers} layers have {needed} hidden ones")
        return self


class MLPShape(Section):
    """The section of the inner MLP, before the fields whose defaults follow from it."""

    mlp: MLPArgs = MLPArgs()


def inner_layers(given: Mapping[str, Any]) -> int:
    """Return how many layers the inner model has, by what is known of its section."""
    if "inner_layer_sizes" in given:
        return len(given["inner_layer_sizes"]) - 1
    if given.get("inner_model") == "linear":
        return 1
    mlp: MLPArgs = given.get("mlp", MLPArgs())
    return mlp.layers


class LayerSettings(Section):
    """What the TTT layers read exactly as it was configured."""

    inner_model: InnerModel = setting(
        "mlp",
        role=Role.ARCHITECTURE,
        unit="name",
        description="Inner model that learns at test time: one matrix (TTT-Linear) or an MLP (TTT-MLP).",
    )
    mini_batch_size: Whole = setting(
        16,
        role=Role.COMPUTATION,
        unit="tokens",
        ge=1,
        description="Inner mini-batch: tokens per inner gradient step. The step is not causal inside it.",
    )
    base_lr: float = setting(
        1.0,
        role=Role.COMPUTATION,
        unit="1",
        gt=0,
        description="Inner base learning rate; eta = base_lr * sigmoid(gate) / head_dim / mini_batch_size.",
    )
    reconstruction_eps: float = setting(
        1e-5,
        role=Role.COMPUTATION,
        unit="1",
        gt=0,
        description="Added to the standard deviation that normalises the inner model's reconstruction target.",
    )
    initial_gating_alpha: float = setting(
        0.1,
        role=Role.TRAINING,
        unit="1",
        description="Gating alpha where training starts; a TTT layer's output is scaled by tanh(alpha).",
    )
    inner_norm_eps: float = setting(
        1e-8,
        role=Role.COMPUTATION,
        unit="1",
        gt=0,
        description="Added to the variance in the layer norm at the end of the inner model, and in its gradient.",
    )
    read_out: ReadOut = setting(
        Follows(inner_layers, {1: "once", 3: "twice"}, "inner layers"),
        role=Role.COMPUTATION,
        unit="name",
        description="How often the step of a mini-batch is taken before its tokens are read out; the state that goes "
        "on has taken it once. Twice is what the Moshi TTT trainer does with three and more inner layers.",
    )
    scan_dtype: ScanDtype = setting(
        Follows(inner_layers, {1: "parameters", 2: "float32", 3: "parameters"}, "inner layers"),
        role=Role.COMPUTATION,
        unit="name",
        description="Floating-point type that the inner scan computes in: float32, or that of the parameters.",
    )
    state_dtype: StateDtype = setting(
        "parameters",
        role=Role.COMPUTATION,
        unit="name",
        description="Floating-point type that the inner weights are rounded to after every mini-batch: that of the "
        "parameters, or the scan's, which leaves them as they are.",
    )
    persistent_states: Persistence = setting(
        Follows(inner_layers, {1: "never", 3: "first_sequence"}, "inner layers"),
        role=Role.COMPUTATION,
        unit="name",
        description="Which inner weights go on from one piece of a sequence to the next: none; while evaluating, those "
        "of the batch's first sequence, for all; or those of each sequence.",
    )
    rope_mode: RopeMode = setting(
        "off",
        role=Role.COMPUTATION,
        unit="name",
        description="Rotary positions inside the TTT layers: off, counted inside the mini-batch, or legacy "
        "(a checkpoint from before the setting existed: nobody recorded what the code did).",
    )
    rope_theta: float = setting(
        10000.0, role=Role.COMPUTATION, unit="1", gt=0, description="Base of the rotary frequencies."
    )
    rope_scaling: RopeScaling = setting(
        "audio",
        role=Role.COMPUTATION,
        unit="name",
        description="Scaling of the rotary frequencies: none, or the Moshi TTT trainer's for audio, which multiplies "
        "the i-th by 0.5 + 1.5 * exp(-i / head_dim).",
    )
    scan_checkpoint_group_size: Whole = setting(
        16,
        role=Role.RUN,
        unit="mini-batches",
        ge=0,
        description="Mini-batches per activation checkpoint of the inner scan while training; 0 is off.",
    )
    scan_checkpoint_group_size_eval: Whole = setting(
        0,
        role=Role.RUN,
        unit="mini-batches",
        ge=0,
        description="Mini-batches per activation checkpoint of the inner scan while evaluating; 0 is off.",
    )
    kernel: Kernel = setting(
        "auto",
        role=Role.RUN,
        unit="name",
        description="Implementation of the inner scan; auto takes the first of thunderkittens, triton and torch "
        "whose limits the configuration meets.",
    )
    tensor_parallel_size: Whole = setting(
        1,
        role=Role.RUN,
        unit="ranks",
        ge=1,
        description="Ranks that share the heads of every TTT layer; 1 is none.",
    )


class TTTArgs(LayerSettings, MLPShape):
    """The `ttt` section: where TTT layers go, what they are and how they are trained."""

    enable: bool = setting(
        False, role=Role.ARCHITECTURE, unit="switch", description="Replace attention blocks by TTT hybrids at all."
    )
    layers: LayerSpec = setting(
        "middle",
        role=Role.ARCHITECTURE,
        unit="layers",
        description="Layers that get TTT: all, middle ([n/4, 3n/4)), none, or indices from 0.",
    )
    ttt_layer_context: Whole | None = setting(
        None,
        role=Role.COMPUTATION,
        unit="tokens",
        ge=1,
        description="Attention context of the layers with TTT; null is the base model's own.",
    )
    non_ttt_layer_context: Whole | None = setting(
        None,
        role=Role.COMPUTATION,
        unit="tokens",
        ge=1,
        description="Attention context of the layers without TTT; null is the base model's own.",
    )
    override_gating_alpha_on_resume: bool = setting(
        False,
        role=Role.TRAINING,
        unit="switch",
        description="Set gating alpha back to initial_gating_alpha when a run resumes.",
    )
    reset_on_new_file: bool = setting(
        True,
        role=Role.TRAINING,
        unit="switch",
        description="Reset the inner weights whenever training reads the next audio file.",
    )
    weight_lr_multiplier: float = setting(
        10.0,
        role=Role.TRAINING,
        unit="1",
        ge=0,
        description="Learning rate of the TTT weights, as a multiple of optim.lr.",
    )
    alpha_lr_multiplier: float = setting(
        100.0,
        role=Role.TRAINING,
        unit="1",
        ge=0,
        description="Learning rate of gating alpha, as a multiple of optim.lr.",
    )
    unfrozen_attention_layers: LayerSpec = setting(
        "none",
        role=Role.TRAINING,
        unit="layers",
        description="Layers whose base attention is trained too; written like layers.",
    )
    enable_training_diagnostics: bool = setting(
        False, role=Role.RUN, unit="switch", description="Log gradient and gating diagnostics while training."
    )
    training_diagnostic_frequency: Whole = setting(
        100, role=Role.RUN, unit="steps", ge=1, description="Steps between two diagnostics."
    )
