"""The family's declaration."""

from tttcfg.family import Family, Stranger
from video_dit_config.checks import check
from video_dit_config.job_config import JobConfig

FAMILY = Family(
    name="ttt_video_dit",
    model=JobConfig,
    migrations="video_dit_config.migrations",
    schemas="video_dit_config.schemas",
    strangers=(
        Stranger(
            "a configuration of a Moshi trainer", ("moshi_paths", "ttt"), "give --family ttt_moshi, or moshi_in_place"
        ),
    ),
    required_to_train=("training.dataset_path", "training.jsonl_paths"),
    check=check,
    weights="video_dit_config.weights",
    weight_names=(".metadata",),
)
