"""ttt-lm-pytorch: language models whose every layer is TTT, with the mini-batch's size in a tensor."""

from __future__ import annotations

from tttcfg.evidence.dialects.dialect import (
    HEAD_DIM,
    INDEX,
    MINI_BATCH_SIZE,
    MODEL_DIM,
    NUM_HEADS,
    Axes,
    Base,
    Dialect,
    Inner,
)

LAYER = rf"(?:model\.)?layers\.{INDEX}\."
BLOCK = LAYER + r"seq_modeling_block\."
LANGUAGE_MODEL = Base(
    layer=LAYER,
    whole=r"(?:model\.)?norm\.weight",
    known=rf"(?:model\.)?(?:embed_tokens|norm)\.|lm_head\.|{LAYER}(?:mlp|conv|(?:seq_|ffn_|conv_)norm)\.",
)
CONVOLUTIONS: dict[str, Axes] = {
    "conv_q.weight": (MODEL_DIM, 1, "conv_kernel"),
    "conv_q.bias": (MODEL_DIM,),
    "conv_k.weight": (MODEL_DIM, 1, "conv_kernel"),
    "conv_k.bias": (MODEL_DIM,),
}
SCAN = (Inner("W{}", "b{}", 1, 1, 2),)

dialect = Dialect(
    name="ttt_lm_pytorch",
    title="ttt-lm-pytorch",
    source="test-time-training/ttt-lm-pytorch, ttt.py; built and compared",
    signature=BLOCK + r"(?:learnable_token_idx|learnable_ttt_lr_weight|[qkvg]_proj\.weight)",
    hint="seq_modeling_block.",
    base=LANGUAGE_MODEL,
    block=BLOCK,
    tensors={
        "learnable_token_idx": (MINI_BATCH_SIZE,),
        "q_proj.weight": (MODEL_DIM, MODEL_DIM),
        "v_proj.weight": (MODEL_DIM, MODEL_DIM),
        "o_proj.weight": (MODEL_DIM, MODEL_DIM),
        "learnable_ttt_lr_weight": (NUM_HEADS, 1, MODEL_DIM),
        "learnable_ttt_lr_bias": (NUM_HEADS, 1),
        "ttt_norm_weight": (NUM_HEADS, HEAD_DIM),
        "ttt_norm_bias": (NUM_HEADS, HEAD_DIM),
        "post_norm.weight": (MODEL_DIM,),
        "post_norm.bias": (MODEL_DIM,),
    },
    either=({"k_proj.weight": (MODEL_DIM, MODEL_DIM)}, CONVOLUTIONS),  # these where queries and keys are one projection
    optional={"g_proj.weight": (MODEL_DIM, MODEL_DIM)},
    inner=SCAN,
)
