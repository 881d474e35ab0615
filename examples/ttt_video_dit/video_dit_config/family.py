"""The family's declaration."""

from tttcfg import Family, ForeignFormat
from video_dit_config.checks import check
from video_dit_config.job_config import JobConfig
from video_dit_config.weights import DistributedTensors

FAMILY = Family(
    name="ttt_video_dit",
    model=JobConfig,
    migrations="video_dit_config.migrations",
    schemas="video_dit_config.schemas",
    foreign_formats=(
        ForeignFormat(
            "a configuration of a Moshi trainer",
            ("moshi_paths", "ttt"),
            "it configures a language model",
            families=("ttt_moshi", "moshi_in_place"),
        ),
    ),
    required_to_train=("training.dataset_path", "training.jsonl_paths"),
    check=check,
    tensors=DistributedTensors,
    weight_names=(".metadata",),
)
