"""Version 1: rotary positions, and a name that differs from the optimiser's."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Rename
from tttcfg.schema.fragments import choice

migration = Migration(
    version=1,
    date="2026-11-30",
    summary="rotary positions, and a name that differs from the optimiser's",
    evidence="flavours 0.2",
    operations=(
        Rename("inner.lr", "inner.base_lr", "rotary positions, and a name that differs from the optimiser's"),
        Add(
            "inner.rotary",
            choice("mini_batch", "off", "mini_batch", "sequence"),
            "off",
            "there were no positions in the inner loop",
        ),
    ),
)
