"""The declaration of the family of the Moshi TTT trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tttcfg.family.family import Family, ForeignFormat
from tttcfg.ttt_moshi import NAME
from tttcfg.ttt_moshi.checks import check
from tttcfg.ttt_moshi.derive import derive
from tttcfg.ttt_moshi.training_args import TrainingArgs
from tttcfg.ttt_moshi.ttt_config import TTTConfig

if TYPE_CHECKING:
    from tttcfg.evidence.knowledge import TensorKnowledge

__all__ = ["TTT_MOSHI", "TTTConfig", "TrainingArgs"]


def _tensors() -> TensorKnowledge:
    from tttcfg.ttt_moshi.tensors import MoshiTensors  # only a checkpoint with weights needs it

    return MoshiTensors()


TTT_MOSHI = Family(
    name=NAME,
    model=TrainingArgs,
    migrations="tttcfg.migrations.ttt_moshi",
    schemas="tttcfg.schemas.ttt_moshi",
    foreign_formats=(
        ForeignFormat(
            "a dashboard's baseline stub, not a trainer's configuration",
            ("baseline",),
            "it names a base model, and has no training settings",
        ),
        ForeignFormat(
            "a configuration of the moshi_in_place fork",
            ("ttt.enabled", "yarn"),
            "its TTT settings have the same names and other meanings",
            families=("moshi_in_place",),
        ),
    ),
    required_to_train=("run_dir", "data.train_data"),
    layers=TTTConfig,
    derive=derive,
    check=check,
    unambiguous=True,
    tensors=_tensors,
)
