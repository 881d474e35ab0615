"""What a family knows of its live models, and of what a save of one holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import nn

from tttcfg.errors import Problem
from tttcfg.family.family import Derived
from tttcfg.nn.checkpoints.tensor_file import dtype_named
from tttcfg.nn.layers.lora import adapter_state_dict

BASE = "base"
"""The group of tensors that a file of what was trained need not hold."""


class TrainingSide:
    """What a family knows of its live models; its declaration gives a class of this kind as `Family.training_side`.

    As it is, it serves a family that declares none: a save holds the whole state dict, in the types of the model;
    nothing is compared but tensors; and resuming restores everything. A class below it has what is otherwise.

    Attributes:
        dtype: The dotted path of the field with the type of the parameters, by torch's name. Weights are saved in it,
            and a model that rounds it is refused. Empty where no field has it, as for those below.
        full_finetuning: That of the field with whether the whole model is trained.
        reset_optimizer: That of the field with whether resuming leaves optimiser and schedule as they are.
        reset_step: That of the field with whether resuming starts at step 0.
    """

    dtype: ClassVar[str] = ""
    full_finetuning: ClassVar[str] = ""
    reset_optimizer: ClassVar[str] = ""
    reset_step: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        known = [name for name in vars(TrainingSide) if not name.startswith("_")]
        unknown = [name for name in vars(cls) if not name.startswith("_") and name not in known]
        if unknown:  # a misspelled name would otherwise compare nothing
            raise TypeError(f"{cls.__name__} has {', '.join(unknown)}; a training side has {', '.join(known)}")

    def setting(self, training: Any, path: str) -> Any:
        """Return the value of one of the fields above; None where its path is empty."""
        return attrgetter(path)(training) if path else None

    def parameters_dtype(self, training: Any) -> torch.dtype | None:
        """Return the type that a configuration gives the parameters; None where it gives none."""
        return dtype_named(self.setting(training, self.dtype))

    def saves_trained_only(self, training: Any) -> bool:
        """Return whether a save holds only what was trained, where `save_only_lora` is None."""
        return False

    def tensors(
        self, model: nn.Module, tensors: Mapping[str, torch.Tensor], trained_only: bool
    ) -> dict[str, torch.Tensor]:
        """Return what a weights file holds of a model.

        Args:
            model: The live model, without wrappers.
            tensors: Its state dict by the names that it has without wrappers: whole tensors, or for planning a save
                tensors without data.
            trained_only: Whether the file holds only what was trained; if so, under names of the state dict.
        """
        return {name: tensors[name] for name in adapter_state_dict(model)} if trained_only else dict(tensors)

    def merged(self, training: Any) -> Mapping[str, Any]:
        """Return the fields, by dotted path, that describe what saving the whole model merges, each as it is then.

        Where there are any, the training state has what was trained, and resuming takes it from there.
        """
        return {}

    def model_config(self, given: Mapping[str, Any], training: Any) -> dict[str, Any]:
        """Return the config.json of saved weights, from the one that was given and the configuration of the weights."""
        return dict(given)

    def config_departures(self, given: Mapping[str, Any], training: Any) -> Iterable[Problem]:
        """Return where the config.json that was given contradicts the configuration."""
        return ()

    def departures(self, model: nn.Module, training: Any, derived: Derived) -> Iterable[Problem]:
        """Return where a live model is not what a configuration builds, as far as its tensors do not show it.

        Args:
            model: The live model, without wrappers.
            training: The configuration.
            derived: What the family derived for the layers.
        """
        return ()

    def group_of(self, name: str) -> str:
        """Return what a tensor belongs to, for reports; a file of what was trained has to hold all but `BASE`."""
        return BASE
