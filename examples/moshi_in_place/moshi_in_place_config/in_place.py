"""The sections that the fork added: TTT in the MLPs' down projections, and YaRN."""

from typing import ClassVar

from tttcfg import Role, Section, Whole, setting


class TTTArgs(Section):
    """TTT in place: the down projection of some MLPs learns while the model runs."""

    SWITCH: ClassVar[str] = "enabled"

    enabled: bool = setting(
        False, role=Role.ARCHITECTURE, description="Let down projections learn while the model runs."
    )
    layer_frequency: Whole = setting(
        6, role=Role.ARCHITECTURE, unit="layers", ge=1, description="Every how many layers one has TTT."
    )
    start_layer: Whole = setting(
        5, role=Role.ARCHITECTURE, unit="layers", ge=0, description="The first layer with TTT, from 0."
    )
    chunk_size: Whole = setting(
        256, role=Role.COMPUTATION, unit="tokens", ge=1, description="Tokens between two updates of a projection."
    )
    learning_rate: float = setting(
        1e-3, role=Role.COMPUTATION, unit="dimensionless", gt=0, description="Size of an update of a projection."
    )
    conv_kernel_size: Whole = setting(
        2, role=Role.ARCHITECTURE, unit="tokens", ge=1, description="Tokens that the target generator looks at."
    )
    delta_clip_fro_norm: float | None = setting(
        1e-5,
        role=Role.COMPUTATION,
        unit="dimensionless",
        gt=0,
        description="Frobenius norm that an update is clipped to; null clips none.",
    )
    unfreeze_ttt_layers: bool = setting(
        False, role=Role.TRAINING, description="Train the rest of the layers with TTT as well."
    )


class YaRNArgs(Section):
    """Rotary positions stretched beyond the length that Moshi was trained on; no tensor shows them."""

    SWITCH: ClassVar[str] = "enabled"

    enabled: bool = setting(False, role=Role.COMPUTATION, description="Stretch rotary positions.")
    scale: float = setting(
        1.0,
        role=Role.COMPUTATION,
        unit="dimensionless",
        gt=0,
        description="Longest sequence over original_max_seq_len.",
    )
    original_max_seq_len: Whole = setting(
        3000, role=Role.COMPUTATION, unit="tokens", ge=1, description="Length that Moshi was trained on."
    )
    beta_fast: float = setting(
        32.0, role=Role.COMPUTATION, unit="turns", gt=0, description="Frequencies with more turns stay as they are."
    )
    beta_slow: float = setting(
        1.0,
        role=Role.COMPUTATION,
        unit="turns",
        gt=0,
        description="Frequencies with fewer are stretched in full.",
    )
    mscale: float = setting(
        1.0, role=Role.COMPUTATION, unit="dimensionless", ge=0, description="Growth of attention with scale."
    )
    mscale_all_dim: float = setting(
        0.0,
        role=Role.COMPUTATION,
        unit="dimensionless",
        ge=0,
        description="The same for all dimensions; divides mscale's.",
    )
