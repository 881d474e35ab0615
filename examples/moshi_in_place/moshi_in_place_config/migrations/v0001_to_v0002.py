"""Version 2: YaRN. It was saved from the first day, and inference left it out until 965d167."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import boolean, integer, number

NO_YARN = "positions were those of Moshi"

migration = Migration(
    version=2,
    date="2025-11-14",
    summary="rotary positions stretched by YaRN",
    evidence="moshi_in_place, args.yaml of yarn_ttt_training_run (day inferred; so is the default of scale)",
    operations=(
        Add("yarn.enabled", boolean(False), False, NO_YARN),
        Add("yarn.scale", number(1.0, exclusiveMinimum=0), 1.0, NO_YARN),
        Add("yarn.original_max_seq_len", integer(3000, minimum=1), 3000, NO_YARN),
        Add("yarn.beta_fast", number(32.0, exclusiveMinimum=0), 32.0, NO_YARN),
        Add("yarn.beta_slow", number(1.0, exclusiveMinimum=0), 1.0, NO_YARN),
        Add("yarn.mscale", number(1.0, minimum=0), 1.0, NO_YARN),
        Add("yarn.mscale_all_dim", number(0.0, minimum=0), 0.0, NO_YARN),
    ),
)
