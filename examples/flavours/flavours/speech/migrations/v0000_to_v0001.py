"""Version 1: audio, and an inner state that is carried."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Redeclare
from tttcfg.schema.fragments import boolean, integer, number

migration = Migration(
    version=1,
    date="2026-11-30",
    summary="audio, and an inner state that is carried",
    evidence="flavours 0.1 for speech",
    operations=(
        Redeclare("inner.mini_batch", integer(64, minimum=1), "audio, and an inner state that is carried"),
        Add("inner.carry", boolean(True), False, "every chunk began with the initial inner weights"),
        Add("audio.sample_rate", integer(24000, minimum=1), 24000, "the codec's, which was the only one"),
        Add("audio.codebooks", integer(8, minimum=1), 8, "all that the codec has"),
        Add("audio.chunk", number(10.0, exclusiveMinimum=0, maximum=3600), 10.0, "a constant of the loader"),
    ),
)
