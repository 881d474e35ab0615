"""Version 1: TTT layers in Moshi, and the paper's benchmarks as a free-form mapping."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import boolean, free_form, integer, number, text

NO_TTT = "the trainer had no TTT layers"

migration = Migration(
    version=1,
    date="2025-09-14",
    summary="TTT layers, benchmarks of the paper",
    evidence="docs/implementation/TTT_MOSHI_INTEGRATION_REPORT.md and 30 YAML files of that shape (date inferred)",
    operations=(
        Add("ttt.enable", boolean(False), False, NO_TTT),
        Add("ttt.layers", text("middle"), "none", NO_TTT),
        Add("ttt.base_lr", number(1.0, exclusiveMinimum=0), 1.0, NO_TTT),
        Add("ttt.mini_batch_size", integer(16, minimum=1), 16, NO_TTT),
        Add("ttt.persistent_states", boolean(True), True, NO_TTT),
        Add("paper_metrics", free_form(), {}, "the trainer had no benchmarks"),
    ),
)
