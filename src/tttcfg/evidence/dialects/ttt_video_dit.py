"""ttt-video-dit: CogVideoX with a TTT layer after every attention, gated forwards and backwards.

It saves with torch.distributed.checkpoint, which is no safetensors; these are the names of an export. A whole training
state, flattened, begins with `model.`.
"""

from __future__ import annotations

from tttcfg.evidence.dialects.dialect import HEAD_DIM, INDEX, MODEL_DIM, NUM_HEADS, Axes, Base, Dialect, Inner

LAYER = rf"(?:model\.)?dit\.layers\.{INDEX}\."
TTT = "ssm.ttt."


def layer_tensors(prefix: str) -> dict[str, Axes]:
    """Return the tensors of a TTT layer beside its inner model: projections, rate gate, norms; Moshi has the same."""
    found: dict[str, Axes] = {}
    for name in ("wq", "wk", "wv", "wo"):
        found |= {f"{name}.weight": (MODEL_DIM, MODEL_DIM), f"{name}.bias": (MODEL_DIM,)}
    found |= {"learnable_ttt_lr_weight": (NUM_HEADS, 1, MODEL_DIM), "learnable_ttt_lr_bias": (NUM_HEADS, 1)}
    found |= {f"ttt_norm_{part}": (NUM_HEADS, HEAD_DIM) for part in ("weight", "bias")}
    found |= {f"post_norm.{part}": (MODEL_DIM,) for part in ("weight", "bias")}
    return {prefix + name: axes for name, axes in found.items()}


_GATES: dict[str, Axes] = {
    f"{way}_ssm_gating_{what}.gating_alpha": (MODEL_DIM,)
    for way in ("forward", "backward")
    for what in ("video", "text")
}

_ATTENTION = r"(?:[qkvo]|[qk]_norm)"

dialect = Dialect(
    name="ttt_video_dit",
    title="ttt-video-dit",
    source="test-time-training/ttt-video-dit, models/cogvideo/dit.py, models/ssm/ttt_layer.py; built and compared",
    signature=LAYER + r"seq_modeling_block\.(?:ssm\.ttt\.|(?:for|back)ward_ssm_gating_(?:video|text)\.).+",
    hint="dit.layers.",
    base=Base(
        layer=LAYER,
        whole=r"(?:model\.)?dit\.transformer_norm\.weight",
        known=rf"(?:model\.)?dit\.(?!layers\.)|{LAYER}(?:mlp\.|pre_(?:seq|mlp)_|seq_modeling_block\.{_ATTENTION}\.)",
    ),
    block=LAYER + rf"seq_modeling_block\.(?!{_ATTENTION}\.)",
    tensors={**_GATES, **layer_tensors(TTT)},
    inner=(Inner(f"{TTT}W{{}}", f"{TTT}b{{}}", 1, 1, 2),),
    family="ttt_video_dit",
)
