"""What is impossible or doubtful about a configuration by itself."""

from collections.abc import Iterator

from moshi_in_place_config.training_args import TrainArgs
from tttcfg.errors import Problem
from tttcfg.family.family import Rule


def check(training: TrainArgs) -> list[Rule]:
    """Return what every rule has to say about `training`."""
    return list(_rules(training))


def _rules(training: TrainArgs) -> Iterator[Rule]:
    if training.full_finetuning and training.lora.enable:
        message = "excludes lora.enable; switch one of them off"
        yield Rule("error", Problem("contradiction", message, "full_finetuning"))
    if training.yarn.enabled and training.yarn.scale == 1.0:
        message = "is 1, so yarn.enabled stretches nothing"
        yield Rule("warning", Problem("training", message, "yarn.scale"))
