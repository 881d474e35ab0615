"""Version 3: updates are clipped. A run from before clipped nothing, which today's default of 1e-5 would."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import nullable, number

migration = Migration(
    version=3,
    date="2025-11-14",
    summary="updates of a projection are clipped",
    evidence="moshi_in_place, TTTArgs; none of its three args.yaml has it (day inferred)",
    operations=(
        Add("ttt.delta_clip_fro_norm", nullable(number(1e-5, exclusiveMinimum=0)), None, "updates were not clipped"),
    ),
)
