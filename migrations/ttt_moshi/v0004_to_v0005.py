"""Version 5: rotary positions inside the TTT layers become a setting.

What the layers did before is not recorded: according to ROPE_POSITION_MODULO_FIX.md and BFLOAT16_ROPE_FIX.md the
layer in use applied audio rotary positions unconditionally, so a plain "off" would be a guess.
"""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.migration.record import LEGACY
from tttcfg.schema.fragments import boolean, either, number

UNRECORDED = "the layers may have applied rotary positions without the setting; it was not recorded"

migration = Migration(
    version=5,
    date="2025-10-26",
    summary="rotary positions in TTT layers, inner weights reset on each new file",
    evidence="3 saved configurations, 7 YAML files; ROPE_*.md",
    operations=(
        Add(
            "ttt.use_rope",
            either(False, {"type": "boolean"}, {"type": "string", "enum": [LEGACY]}),
            LEGACY,
            UNRECORDED,
        ),
        Add("ttt.rope_theta", number(10000.0, exclusiveMinimum=0), 10000.0, "the base of the frequencies was fixed"),
        Add("rope_continuous", boolean(False), False, "positions started anew with each sequence"),
        Add("rope_reset_on_new_file", boolean(True), False, "nothing reset the inner weights on a new file"),
    ),
)
