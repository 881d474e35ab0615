"""Version 1: the fork begins; MLPs learn in place, which is another TTT than that of the Moshi TTT trainer."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import boolean, integer, number

NO_TTT = "the trainer had no TTT"

migration = Migration(
    version=1,
    date="2025-11-13",
    summary="TTT in the down projections of MLPs",
    evidence="moshi_in_place, args.yaml of ttt_training_run1 and ttt_training_run2 (day inferred)",
    operations=(
        Add("ttt.enabled", boolean(False), False, NO_TTT),
        Add("ttt.layer_frequency", integer(6, minimum=1), 6, NO_TTT),
        Add("ttt.start_layer", integer(5, minimum=0), 5, NO_TTT),
        Add("ttt.chunk_size", integer(256, minimum=1), 256, NO_TTT),
        Add("ttt.learning_rate", number(1e-3, exclusiveMinimum=0), 1e-3, NO_TTT),
        Add("ttt.conv_kernel_size", integer(2, minimum=1), 2, NO_TTT),
        Add("ttt.unfreeze_ttt_layers", boolean(False), False, NO_TTT),
    ),
)
