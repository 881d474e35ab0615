"""The Moshi TTT trainer: a hybrid block around each converted layer, which it registers twice."""

from __future__ import annotations

from tttcfg.evidence.dialects.dialect import MODEL_DIM, Dialect, Inner
from tttcfg.evidence.dialects.moshi_finetune import LAYER, MOSHI
from tttcfg.evidence.dialects.ttt_video_dit import layer_tensors

TTT = "ttt_layer.ttt."
dialect = Dialect(
    name="ttt_moshi",
    title="the Moshi TTT trainer",
    source="moshi_ttt/hybrid_layer.py, moshi_ttt/models/ssm/ttt_layer.py",
    signature=LAYER
    + r"(?:seq_modeling_block\.(?:ttt_layer|(?:for|back)ward_ssm_gating|original_layer)|original_layer)\..+",
    hint="transformer.layers.",
    base=MOSHI,
    block=LAYER + r"seq_modeling_block\.(?!original_layer\.)",
    tensors={
        "forward_ssm_gating.gating_alpha": (MODEL_DIM,),
        "backward_ssm_gating.gating_alpha": (MODEL_DIM,),
        **layer_tensors(TTT),
    },
    inner=(
        Inner(f"{TTT}W{{}}", f"{TTT}b{{}}", 1, 1, 2),
        Inner(f"{TTT}weights.{{}}", f"{TTT}biases.{{}}", 0, 3, 0),
    ),
    family="ttt_moshi",
)
