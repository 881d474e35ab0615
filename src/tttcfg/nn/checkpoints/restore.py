"""From a path to a model that computes what was saved, in one call."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import nn

from tttcfg.documents.checkpoint import find_checkpoint, read_model_config
from tttcfg.documents.effective import Effective
from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.family import Family, family_of
from tttcfg.nn.checkpoints.load import Loaded, load_checkpoint
from tttcfg.nn.fingerprints.fingerprints import Computation, check_computation
from tttcfg.nn.ranks.ranks import log_once, resolve_together, together
from tttcfg.resolving.overrides import Overriding
from tttcfg.resolving.sources import Config

logger = logging.getLogger(__name__)


class Restored(NamedTuple):
    """A restored model in evaluation mode, its configuration, what was loaded, and whether it computes the same."""

    model: nn.Module
    effective: Effective
    loaded: Loaded
    computation: Computation


def restore(
    path: str | os.PathLike[str],
    config: Config | Iterable[Config] = (),
    overrides: Overriding = (),
    *,
    build: Callable[[Mapping[str, Any], Effective], nn.Module],
    model_config: str | os.PathLike[str] | None = None,
    family: Family[Any, Any] | None = None,
) -> Restored:
    """Resolve a checkpoint's configuration, build its model, load it, and see that it computes what was saved.

    Under torchrun every rank calls it; rank 0 resolves, and all ranks agree.

    Args:
        path: Any path into the checkpoint.
        config: Configuration files; for what decides the computation, the checkpoint overrides them.
        overrides: What is changed on purpose. Where that decides the computation, a difference is only reported.
        build: From the model's config.json and the effective configuration to the model, with TTT and adapters in it
            and, for a checkpoint of adapters only, with the weights of the base model.
        model_config: The model's config.json, where the checkpoint has none.
        family: Of the configuration; None takes that of the checkpoint's document.

    Raises:
        InputError: Something that was given cannot be used.
        ContradictionError: Configuration, model and tensors contradict each other, or it computes something else.
    """
    effective = resolve_together(path, config, overrides, model_config=model_config, family=family)
    model = together(lambda: build(_model_config(path, model_config), effective))
    loaded = load_checkpoint(model, path, effective)
    model.eval()
    computation = check_computation(
        model, path, deviations=loaded.deviations, family=family_of(type(effective.training))
    )
    was = "was " if computation.agrees is None else ""
    log_once(logger, logging.INFO if computation.agrees else logging.WARNING, "the model %s%s", was, computation)
    return Restored(model, effective, loaded, computation)


def _model_config(path: str | os.PathLike[str], given: str | os.PathLike[str] | None) -> Mapping[str, Any]:
    name = given or find_checkpoint(path).model_config
    if name is None:
        message = "has no config.json, so the model cannot be built"
        raise InputError(Problem("not_found", message, place=Place(os.fspath(path)), advice="give model_config"))
    return read_model_config(name)
