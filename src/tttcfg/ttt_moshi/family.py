"""The family's declaration: what tttcfg needs to know about the Moshi TTT trainer."""

from __future__ import annotations

from tttcfg.family import Family, Stranger
from tttcfg.ttt_moshi import NAME
from tttcfg.ttt_moshi.checks import check
from tttcfg.ttt_moshi.derive import derive
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig

__all__ = ["TTT_MOSHI", "TTTConfig", "TrainingArgs"]

TTT_MOSHI = Family(
    name=NAME,
    model=TrainingArgs,
    migrations="tttcfg.migrations.ttt_moshi",
    schemas="tttcfg.schemas.ttt_moshi",
    strangers=(
        Stranger(
            "a dashboard's baseline stub, not a trainer's configuration",
            ("baseline",),
            "it names a base model and says nothing of how anything was trained",
        ),
        Stranger(
            "a configuration of the moshi_in_place fork",
            ("ttt.enabled", "yarn"),
            "its TTT settings share names with ours and mean other things; give --family moshi_in_place",
        ),
    ),
    required_to_train=("run_dir", "data.train_data"),
    layers=TTTConfig,
    derive=derive,
    check=check,
    unambiguous=True,
    weights="tttcfg.ttt_moshi.weights",
)
