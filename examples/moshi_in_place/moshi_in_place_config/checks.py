"""What is impossible or doubtful about a configuration alone."""

from collections.abc import Iterator

from moshi_in_place_config.training_args import TrainArgs
from tttcfg import Problem


def check(training: TrainArgs) -> list[Problem]:
    """Return the problems that the rules find in `training`."""
    return list(_rules(training))


def _rules(training: TrainArgs) -> Iterator[Problem]:
    if training.full_finetuning and training.lora.enable:
        message = "excludes lora.enable; switch one of them off"
        yield Problem("contradiction", message, "full_finetuning")
    if training.yarn.enabled and training.yarn.scale == 1.0:
        message = "is 1, so yarn.enabled stretches nothing"
        yield Problem("training", message, "yarn.scale", severity="warning")
