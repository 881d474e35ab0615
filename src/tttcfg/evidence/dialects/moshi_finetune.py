"""kyutai's moshi-finetune: Moshi without TTT, in full or as LoRA adapters."""

from __future__ import annotations

from tttcfg.evidence.dialects.dialect import INDEX, Base, Dialect

LAYER = rf"transformer\.layers\.{INDEX}\."
_ORIGINAL = r"(?:seq_modeling_block\.)?original_layer\."
# Old files have one in_proj_weight for all steps. Where an adapter's own weight is trained too, it is called frozen_W.
_STEPS = r"(?:in|out)_projs\.[0-9]{1,5}\.(?:frozen_W\.)?weight"
_ONE = r"in_proj_weight|(?:in|out)_proj\.(?:frozen_W\.)?weight"
_IN_A_LAYER = r"(?:(?:self|cross)_att(?:n|ention)|gating|linear[12]|norm(?:[12]|_cross)|layer_scale_(?:[12]|cross))\."
_AROUND = r"(?:text_|depformer_|depformer_text_)?emb|text_linear|linears|extra_heads|out_norm|condition_provider|fuser"
MOSHI = Base(
    layer=LAYER,
    whole=r"out_norm\.(?:alpha|weight)",
    known=rf"{LAYER}(?:{_ORIGINAL})?{_IN_A_LAYER}|(?:{_AROUND}|depformer(?:_in|_norms)?)\.",
    converted=LAYER + _ORIGINAL,
    attention=rf"{LAYER}(?:{_ORIGINAL})?self_attn\.(?:{_STEPS}|{_ONE})",
    embedding=r"(?:text_emb|emb\.[0-9]{1,5})\.weight",
    wide=rf"{LAYER}(?:{_ORIGINAL})?(?:self_attn\.(?:in|out)_proj(?:s\.[0-9]{{1,5}})?|gating\.linear_in)"
    r"|text_linear|depformer_in\.[0-9]{1,5}",
)

dialect = Dialect(
    name="moshi_finetune",
    title="kyutai's moshi-finetune",
    source="kyutai-labs/moshi-finetune, finetune/checkpointing.py; names from moshi.models.lm, built and compared",
    signature=LAYER + r"(?:self_attn\.(?:in|out)_projs\.[0-9]{1,5}|gating\.linear_(?:in|out))\..+",
    hint="transformer.layers.",
    base=MOSHI,
    yields_to=("ttt_moshi", "moshi_in_place"),
    family="ttt_moshi",
)
