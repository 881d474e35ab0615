"""The Moshi TTT trainer: a hybrid block around each converted layer, which it registers twice."""

from __future__ import annotations

from tttcfg.dialects.moshi_finetune import LAYER, MOSHI
from tttcfg.weights.dialect import HEAD_DIM, MODEL_DIM, NUM_HEADS, Axes, Dialect, Inner

TTT = "ttt_layer.ttt."
PROJECTIONS: dict[str, Axes] = {
    f"{TTT}{name}.{part}": (MODEL_DIM,) * axes
    for name in ("wq", "wk", "wv", "wo")
    for part, axes in (("weight", 2), ("bias", 1))
}

dialect = Dialect(
    name="ttt_moshi",
    title="the Moshi TTT trainer",
    source="moshi_ttt/hybrid_layer.py, moshi_ttt/models/ssm/ttt_layer.py",
    mark=LAYER + r"(?:seq_modeling_block\.(?:ttt_layer|(?:for|back)ward_ssm_gating|original_layer)|original_layer)\..+",
    hint="transformer.layers.",
    base=MOSHI,
    block=LAYER + r"seq_modeling_block\.(?!original_layer\.)",
    tensors={
        "forward_ssm_gating.gating_alpha": (MODEL_DIM,),
        "backward_ssm_gating.gating_alpha": (MODEL_DIM,),
        **PROJECTIONS,
        f"{TTT}learnable_ttt_lr_weight": (NUM_HEADS, 1, MODEL_DIM),
        f"{TTT}learnable_ttt_lr_bias": (NUM_HEADS, 1),
        f"{TTT}ttt_norm_weight": (NUM_HEADS, HEAD_DIM),
        f"{TTT}ttt_norm_bias": (NUM_HEADS, HEAD_DIM),
        f"{TTT}post_norm.weight": (MODEL_DIM,),
        f"{TTT}post_norm.bias": (MODEL_DIM,),
    },
    inner=(
        Inner(f"{TTT}W{{}}", f"{TTT}b{{}}", 1),
        Inner(f"{TTT}weights.{{}}", f"{TTT}biases.{{}}", 0),
    ),
    trained_here=True,
)
