"""ttt-video-dit: CogVideoX with a TTT layer after every attention, gated forwards and backwards.

It saves with torch.distributed.checkpoint, which is no safetensors; these are the names of an export. A whole training
state, flattened, begins with `model.`.
"""

from __future__ import annotations

from tttcfg.weights.dialect import HEAD_DIM, INDEX, MODEL_DIM, NUM_HEADS, Axes, Base, Dialect, Inner

LAYER = rf"(?:model\.)?dit\.layers\.{INDEX}\."
TTT = "ssm.ttt."
_PROJECTIONS: dict[str, Axes] = {
    f"{TTT}{name}.{part}": (MODEL_DIM,) * axes
    for name in ("wq", "wk", "wv", "wo")
    for part, axes in (("weight", 2), ("bias", 1))
}
_GATES: dict[str, Axes] = {
    f"{way}_ssm_gating_{what}.gating_alpha": (MODEL_DIM,)
    for way in ("forward", "backward")
    for what in ("video", "text")
}

dialect = Dialect(
    name="ttt_video_dit",
    title="ttt-video-dit",
    source="test-time-training/ttt-video-dit, models/cogvideo/dit.py, models/ssm/ttt_layer.py; built and compared",
    mark=LAYER + r"seq_modeling_block\.(?:ssm\.ttt\.|(?:for|back)ward_ssm_gating_(?:video|text)\.).+",
    hint="dit.layers.",
    base=Base(layer=LAYER, whole=r"(?:model\.)?dit\.transformer_norm\.weight"),
    block=LAYER + r"seq_modeling_block\.(?!(?:q|k|v|o|q_norm|k_norm)\.)",
    tensors={
        **_GATES,
        **_PROJECTIONS,
        f"{TTT}learnable_ttt_lr_weight": (NUM_HEADS, 1, MODEL_DIM),
        f"{TTT}learnable_ttt_lr_bias": (NUM_HEADS, 1),
        f"{TTT}ttt_norm_weight": (NUM_HEADS, HEAD_DIM),
        f"{TTT}ttt_norm_bias": (NUM_HEADS, HEAD_DIM),
        f"{TTT}post_norm.weight": (MODEL_DIM,),
        f"{TTT}post_norm.bias": (MODEL_DIM,),
    },
    inner=(Inner(f"{TTT}W{{}}", f"{TTT}b{{}}", 1),),
)
