"""The `model` section: what is built, and what it computes."""

from typing import Literal

from tttcfg import Role, Section, Whole, setting

Length = Literal["3sec", "9sec", "18sec", "30sec", "63sec"]


class ModelConfig(Section):
    """The video model and its TTT layers."""

    name: Literal["cogvideo"] = setting("cogvideo", role=Role.ARCHITECTURE, description="Model that runs.")
    size: Literal["5B", "debug"] = setting(
        "5B", role=Role.ARCHITECTURE, description="Preset of width, heads and layers."
    )
    ssm_layer: Literal["ttt_mlp", "ttt_linear"] = setting(
        "ttt_mlp", role=Role.ARCHITECTURE, description="Inner model that learns at test time."
    )
    video_length: Length = setting(
        "3sec", role=Role.COMPUTATION, description="Length of a video, and with it the rotary positions."
    )
    scale_factor: float = setting(
        1.0,
        role=Role.COMPUTATION,
        unit="dimensionless",
        description="Factor on the latents that the model is trained on.",
    )
    ttt_base_lr: float = setting(
        0.1, role=Role.COMPUTATION, unit="dimensionless", gt=0, description="Base learning rate of the inner model."
    )
    mini_batch_size: Whole = setting(
        64, role=Role.COMPUTATION, unit="tokens", ge=1, description="Inner mini-batch: tokens per inner gradient step."
    )
    rope_theta: float = setting(
        10000.0,
        role=Role.COMPUTATION,
        unit="dimensionless",
        gt=0,
        description="Base of the rotary frequencies of the TTT layers.",
    )
    layer_norm_eps: float = setting(
        1e-6, role=Role.COMPUTATION, unit="dimensionless", gt=0, description="Epsilon of every layer normalisation."
    )
    attn_length: Whole = setting(
        12, role=Role.COMPUTATION, unit="latent frames", ge=1, description="Frames of one piece of local attention."
    )
    prefix_temporal_length: Whole = setting(
        1, role=Role.COMPUTATION, unit="latent frames", ge=0, description="Frames before the first piece."
    )
    gating_alpha_init: float = setting(
        0.1,
        role=Role.TRAINING,
        unit="dimensionless",
        description="Gating alpha where training starts from a model without TTT.",
    )
