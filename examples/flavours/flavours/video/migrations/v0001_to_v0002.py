"""Version 2: frames in patches."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import choice, integer, number

migration = Migration(
    version=2,
    date="2026-11-30",
    summary="frames in patches",
    evidence="flavours 0.2 for video",
    operations=(
        Add("model.patch", integer(2, minimum=1), 2, "a constant of the model"),
        Add("model.directions", choice("both", "forward", "both"), "forward", "layers read the frames in their order"),
        Add("frames.count", integer(48, minimum=1), 48, "the length of every clip of the data"),
        Add("frames.rate", number(16.0, exclusiveMinimum=0), 16.0, "that of the data"),
    ),
)
