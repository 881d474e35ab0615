"""`TTTConfig`: exactly what the TTT layers read, derived from the configuration and the model's dimensions."""

from typing import Annotated

from pydantic import Field

from tttcfg.schema.fields import Role, Section, Whole, setting
from tttcfg.ttt_moshi.training_args import Dtype
from tttcfg.ttt_moshi.ttt_settings import LayerSettings, Width

LayerIndex = Annotated[Whole, Field(ge=0)]


class InnerWidths(Section):
    """The widths of the inner model, before the fields whose defaults follow from them."""

    inner_layer_sizes: Annotated[tuple[Width, ...], Field(strict=False)] = setting(
        role=Role.ARCHITECTURE,
        unit="channels",
        min_length=2,
        description="Widths through the inner model, input and output included: (d, d) for TTT-Linear.",
    )


class TTTConfig(LayerSettings, InnerWidths):
    """What the TTT layers of one model read, and nothing else.

    Unlike `TrainingArgs` it is concrete: layers are indices, widths are channels, contexts are tokens.
    """

    model_dim: Whole = setting(role=Role.ARCHITECTURE, unit="channels", ge=1, description="Width of the model.")
    num_heads: Whole = setting(role=Role.ARCHITECTURE, unit="heads", ge=1, description="Heads of each TTT layer.")
    head_dim: Whole = setting(
        role=Role.ARCHITECTURE, unit="channels", ge=1, description="Width of a head: model_dim / num_heads."
    )
    num_layers: Whole = setting(
        role=Role.ARCHITECTURE, unit="layers", ge=1, description="Transformer layers of the model."
    )
    layer_indices: Annotated[tuple[LayerIndex, ...], Field(strict=False)] = setting(
        role=Role.ARCHITECTURE, unit="layers", min_length=1, description="Layers that have TTT, ascending from 0."
    )
    ttt_layer_context: Whole = setting(
        role=Role.COMPUTATION, unit="tokens", ge=1, description="Attention context of the layers with TTT."
    )
    non_ttt_layer_context: Whole = setting(
        role=Role.COMPUTATION, unit="tokens", ge=1, description="Attention context of the layers without TTT."
    )
    dtype: Dtype = setting(role=Role.COMPUTATION, unit="name", description="Floating-point type of the parameters.")
