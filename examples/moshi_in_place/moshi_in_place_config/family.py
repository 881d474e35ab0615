"""The family's declaration."""

from moshi_in_place_config.checks import check
from moshi_in_place_config.model_config import derive
from moshi_in_place_config.training_args import TrainArgs
from moshi_in_place_config.weights import InPlaceTensors
from tttcfg import Family, ForeignFormat

FAMILY = Family(
    name="moshi_in_place",
    model=TrainArgs,
    migrations="moshi_in_place_config.migrations",
    schemas="moshi_in_place_config.schemas",
    foreign_formats=(
        ForeignFormat(
            "a configuration of the Moshi TTT trainer",
            ("ttt.enable", "paper_metrics", "evaluation"),
            "its TTT settings share names with this fork's and mean other things",
            families=("ttt_moshi",),
        ),
    ),
    required_to_train=("run_dir", "data.train_data"),
    derive=derive,
    check=check,
    tensors=InPlaceTensors,
)
