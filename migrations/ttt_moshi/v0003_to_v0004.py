"""Version 4: separate learning rates for TTT weights and gating alpha."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import number

ONE_RATE = "one learning rate served all parameters"

migration = Migration(
    version=4,
    date="2025-10-26",
    summary="learning-rate multipliers",
    evidence="one saved configuration, 2 YAML files; TTT_LEARNING_RATE_FIX_PLAN.md",
    operations=(
        Add("ttt.weight_lr_multiplier", number(10.0, minimum=0), 1.0, ONE_RATE),
        Add("ttt.alpha_lr_multiplier", number(100.0, minimum=0), 1.0, ONE_RATE),
    ),
)
