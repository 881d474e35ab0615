"""The TTT section of a training configuration, and the part of it that the layers read unchanged."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, model_validator
from typing_extensions import Self

from tttcfg.schema.fields import PARTIAL, Follows, Section, Whole
from tttcfg.ttt_moshi.layer_spec import LayerSpec
from tttcfg.ttt_moshi.roles import architecture, computation, run, training

InnerModel = Literal["linear", "mlp"]
RopeMode = Literal["off", "mini_batch", "legacy"]
RopeScaling = Literal["none", "audio"]
ReadOut = Literal["once", "twice"]
ScanDtype = Literal["float32", "parameters"]
StateDtype = Literal["scan", "parameters"]
Persistence = Literal["never", "first_sequence", "each_sequence"]
KernelName = Literal["auto", "torch", "triton", "thunderkittens"]
Width = Annotated[Whole, Field(ge=1)]
LARGEST_FACTOR = 10_000


class MLPArgs(Section):
    """The shape of the inner MLP."""

    layers: int = architecture(
        2, "Layers of the inner MLP; 3 and more select the multi-layer TTT-MLP.", unit="layers", ge=2, le=1024
    )
    hidden_dims: Annotated[tuple[Width, ...], Field(strict=False)] | None = architecture(
        None, "Width of each hidden layer (layers - 1 of them); null takes expansion_factor for all.", unit="channels"
    )
    expansion_factor: float = architecture(
        4.0,
        "Hidden width as a multiple of head_dim, rounded down, where hidden_dims is null.",
        unit="dimensionless",
        gt=0,
        le=LARGEST_FACTOR,
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
    """Return how many layers the inner model has, by the fields that are given of its section."""
    if "inner_layer_sizes" in given:
        return len(given["inner_layer_sizes"]) - 1
    if given.get("inner_model") == "linear":
        return 1
    mlp: MLPArgs = given.get("mlp", MLPArgs())
    return mlp.layers


class LayerSettings(Section):
    """The settings that the TTT layers read unchanged."""

    inner_model: InnerModel = architecture(
        "mlp", "Inner model that learns at test time: one matrix (TTT-Linear) or an MLP (TTT-MLP)."
    )
    mini_batch_size: Whole = computation(
        16, "Inner mini-batch: tokens per inner gradient step. The step is not causal inside it.", unit="tokens", ge=1
    )
    base_lr: float = computation(
        1.0,
        "Inner base learning rate; eta = base_lr * sigmoid(gate) / head_dim / mini_batch_size.",
        unit="dimensionless",
        gt=0,
    )
    reconstruction_eps: float = computation(
        1e-5,
        "Added to the standard deviation that normalises the inner model's reconstruction target.",
        unit="dimensionless",
        gt=0,
    )
    initial_gating_alpha: float = training(
        0.1, "Gating alpha where training starts; a TTT layer's output is scaled by tanh(alpha).", unit="dimensionless"
    )
    inner_norm_eps: float = computation(
        1e-8,
        "Added to the variance in the layer norm at the end of the inner model, and in its gradient.",
        unit="dimensionless",
        gt=0,
    )
    read_out: ReadOut = computation(
        Follows(inner_layers, {1: "once", 3: "twice"}, "inner layers"),
        "How often the gradient step of a mini-batch is applied before its tokens are read out; the next mini-batch "
        "starts from a state that has it once. The Moshi TTT trainer does it twice with three and more inner layers.",
    )
    scan_dtype: ScanDtype = computation(
        Follows(inner_layers, {1: "parameters", 2: "float32", 3: "parameters"}, "inner layers"),
        "Floating-point type that the inner scan computes in: float32, or that of the parameters.",
    )
    state_dtype: StateDtype = computation(
        "parameters",
        "Floating-point type that the inner weights are rounded to after every mini-batch: that of the "
        "parameters, or the scan's, which leaves them as they are.",
    )
    persistent_states: Persistence = computation(
        Follows(inner_layers, {1: "never", 3: "first_sequence"}, "inner layers"),
        "Which inner weights persist from one segment of a sequence to the next: none; while evaluating, those of the "
        "batch's first sequence, for all; or those of each sequence.",
    )
    rope_mode: RopeMode = computation(
        "off",
        "Rotary positions inside the TTT layers: off, counted inside the mini-batch, or legacy "
        "(a checkpoint from before the setting existed: what the code did was not recorded).",
    )
    rope_theta: float = computation(10000.0, "Base of the rotary frequencies.", unit="dimensionless", gt=0)
    rope_scaling: RopeScaling = computation(
        "audio",
        "Scaling of the rotary frequencies: none, or the Moshi TTT trainer's for audio, which multiplies "
        "the i-th by 0.5 + 1.5 * exp(-i / head_dim).",
    )
    scan_checkpoint_group_size: Whole = run(
        16,
        "Mini-batches per activation checkpoint of the inner scan while training; 0 is off.",
        unit="mini-batches",
        ge=0,
    )
    scan_checkpoint_group_size_eval: Whole = run(
        0,
        "Mini-batches per activation checkpoint of the inner scan while evaluating; 0 is off.",
        unit="mini-batches",
        ge=0,
    )
    kernel: KernelName = run(
        "auto",
        "Implementation of the inner scan; auto takes the first of thunderkittens, triton and torch "
        "whose limits the configuration meets.",
    )
    tensor_parallel_size: Whole = run(
        1, "Ranks that share the heads of every TTT layer; 1 is none.", unit="ranks", ge=1
    )


class TTTArgs(LayerSettings, MLPShape):
    """The `ttt` section: where TTT layers go, what they are and how they are trained."""

    enable: bool = architecture(False, "Replace attention blocks by TTT hybrids.")
    layers: LayerSpec = architecture(
        "middle", "Layers that get TTT: all, middle ([n/4, 3n/4)), none, or indices from 0.", unit="layers"
    )
    ttt_layer_context: Whole | None = computation(
        None, "Attention context of the layers with TTT; null is the base model's own.", unit="tokens", ge=1
    )
    non_ttt_layer_context: Whole | None = computation(
        None, "Attention context of the layers without TTT; null is the base model's own.", unit="tokens", ge=1
    )
    override_gating_alpha_on_resume: bool = training(
        False, "Reset gating alpha to initial_gating_alpha when a run resumes."
    )
    reset_on_new_file: bool = training(True, "Reset the inner weights whenever training reads the next audio file.")
    weight_lr_multiplier: float = training(
        10.0, "Learning rate of the TTT weights, as a multiple of optim.lr.", unit="dimensionless", ge=0
    )
    alpha_lr_multiplier: float = training(
        100.0, "Learning rate of gating alpha, as a multiple of optim.lr.", unit="dimensionless", ge=0
    )
    unfrozen_attention_layers: LayerSpec = training(
        "none", "Layers whose base attention is trained too; written like layers.", unit="layers"
    )
    enable_training_diagnostics: bool = run(False, "Log gradient and gating diagnostics while training.")
    training_diagnostic_frequency: Whole = run(100, "Steps between two diagnostics.", unit="steps", ge=1)
