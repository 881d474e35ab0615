"""Version 3: chunks in milliseconds."""

from typing import Any

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Convert
from tttcfg.schema.fragments import integer


def convert_audio_chunk(value: Any) -> Any:
    """Return what `audio.chunk` of version 2 is in version 3."""
    return max(1, round(value * 1000)) if isinstance(value, (int, float)) else value


migration = Migration(
    version=3,
    date="2026-11-30",
    summary="chunks in milliseconds",
    evidence="flavours 0.3 for speech",
    operations=(Convert("audio.chunk", convert_audio_chunk, "seconds until now", integer(10000, exclusiveMinimum=0)),),
)
