"""Version 6: attention contexts, unfrozen attention and diagnostics; the trainer's last unnumbered version."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import boolean, integer, nullable, text

MOSHI_CONTEXT = "every layer kept Moshi's context of 3000"
CONTEXT = nullable(integer(None, minimum=1))

migration = Migration(
    version=6,
    date="2025-11-01",
    summary="attention contexts, unfrozen attention layers, diagnostics",
    evidence="3 saved configurations, 1 YAML file; CRITICAL_BUG_CONTEXT_SETTING.md, SELECTIVE_ATTENTION_UNFREEZING.md",
    operations=(
        Add("ttt.ttt_layer_context", CONTEXT, 3000, MOSHI_CONTEXT),
        Add("ttt.non_ttt_layer_context", CONTEXT, 3000, MOSHI_CONTEXT),
        Add("ttt.unfrozen_attention_layers", text("none"), "none", "base attention was frozen"),
        Add("ttt.enable_training_diagnostics", boolean(False), False, "there were no diagnostics"),
        Add("ttt.training_diagnostic_frequency", integer(100, minimum=1), 100, "there were no diagnostics"),
    ),
)
