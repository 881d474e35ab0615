"""`TTTConfig`: exactly what the TTT layers read, derived from the configuration and the model's dimensions."""

from typing import Annotated

from pydantic import Field

from tttcfg.schema.fields import Section, Whole
from tttcfg.ttt_moshi.roles import architecture, computation
from tttcfg.ttt_moshi.training_args import Dtype
from tttcfg.ttt_moshi.ttt_settings import LayerSettings, Width

LayerIndex = Annotated[Whole, Field(ge=0)]


class InnerWidths(Section):
    """The widths of the inner model, before the fields whose defaults follow from them."""

    inner_layer_sizes: Annotated[tuple[Width, ...], Field(strict=False)] = architecture(
        ...,
        "Widths through the inner model, input and output included: (d, d) for TTT-Linear.",
        unit="channels",
        min_length=2,
    )


class TTTConfig(LayerSettings, InnerWidths):
    """What the TTT layers of one model read, and nothing else.

    Unlike `TrainingArgs` it is concrete: layers are indices, widths are channels, contexts are tokens.
    """

    model_dim: Whole = architecture(..., "Width of the model.", unit="channels", ge=1)
    num_heads: Whole = architecture(..., "Heads of each TTT layer.", unit="heads", ge=1)
    head_dim: Whole = architecture(..., "Width of a head: model_dim / num_heads.", unit="channels", ge=1)
    num_layers: Whole = architecture(..., "Transformer layers of the model.", unit="layers", ge=1)
    layer_indices: Annotated[tuple[LayerIndex, ...], Field(strict=False)] = architecture(
        ..., "Layers that have TTT, ascending from 0.", unit="layers", min_length=1
    )
    ttt_layer_context: Whole = computation(..., "Attention context of the layers with TTT.", unit="tokens", ge=1)
    non_ttt_layer_context: Whole = computation(..., "Attention context of the layers without TTT.", unit="tokens", ge=1)
    dtype: Dtype = computation(..., "Floating-point type of the parameters.")
