"""Version 2: gating alpha and the inner MLP's shape become settings; checkpoints contain their configuration."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import boolean, integer, nullable, number

TWO_LAYERS = "the inner MLP always had two layers of four times the head width"
LOG_ONLY = "chunk settings did not exist"

migration = Migration(
    version=2,
    date="2025-10-06",
    summary="gating alpha, inner MLP layers, chunk settings; training_config.json starts",
    evidence="docs/config_fix_summary.md, docs/fixes/CHECKPOINT_CONFIG_SOLUTION.md, MULTILAYER_*.md (date inferred)",
    operations=(
        Add("ttt.initial_gating_alpha", number(0.1), 0.05, "gating alpha was hard-coded as 0.05"),
        Add("ttt.optimize_chunk_size", boolean(True), True, LOG_ONLY),
        Add("ttt.chunk_size", nullable(integer(None, minimum=1)), None, LOG_ONLY),
        Add("ttt.max_chunk_size", integer(50, minimum=1), 50, LOG_ONLY),
        Add("ttt.prefer_efficiency", boolean(True), True, LOG_ONLY),
        Add("ttt.ttt_mlp_layers", integer(2, minimum=2, maximum=1024), 2, TWO_LAYERS),
        Add(
            "ttt.ttt_mlp_hidden_dims",
            nullable({"default": None, "type": "array", "items": {"type": "integer", "maximum": 2**53, "minimum": 1}}),
            None,
            TWO_LAYERS,
        ),
        Add("ttt.ttt_mlp_expansion_factor", number(4.0, exclusiveMinimum=0, maximum=10_000), 4.0, TWO_LAYERS),
    ),
)
