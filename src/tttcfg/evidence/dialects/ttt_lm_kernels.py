"""ttt-lm-kernels: the language models of ttt-lm-pytorch as its speed benchmark has them, projections fused."""

from __future__ import annotations

from tttcfg.evidence.dialects.dialect import HEAD_DIM, MINI_BATCH_SIZE, MODEL_DIM, NUM_HEADS, Dialect
from tttcfg.evidence.dialects.ttt_lm_pytorch import BLOCK, CONVOLUTIONS, LANGUAGE_MODEL, SCAN

dialect = Dialect(
    name="ttt_lm_kernels",
    title="ttt-lm-kernels",
    source="test-time-training/ttt-lm-kernels, ttt/modeling_ttt.py; built and compared",
    signature=BLOCK + r"(?:learnable_token_idx_bias|qkv_learnable_ttt_lr_proj\.weight)",
    hint="seq_modeling_block.",
    base=LANGUAGE_MODEL,
    block=BLOCK,
    tensors={
        "learnable_token_idx_bias": (1, 1, MINI_BATCH_SIZE, 1),
        "qkv_learnable_ttt_lr_proj.weight": ("3 model_dim + num_heads", MODEL_DIM),
        "learnable_ttt_lr_bias": (1, 1, NUM_HEADS),
        "o_proj.weight": (MODEL_DIM, MODEL_DIM),
        **CONVOLUTIONS,
        "ttt_norm_weight": (1, NUM_HEADS, 1, HEAD_DIM),
        "ttt_norm_bias": (1, NUM_HEADS, 1, HEAD_DIM),
        "post_norm.weight": (MODEL_DIM,),
        "post_norm.bias": (MODEL_DIM,),
    },
    inner=SCAN,
)
