"""Whether gradients speak for or against the configuration that a checkpoint has, without a search."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from tttcfg.api import resolve
from tttcfg.documents.checkpoint import find_checkpoint, read_model_config, weight_names
from tttcfg.documents.effective import Effective
from tttcfg.errors import InputError, Problem, quote
from tttcfg.migration.record import LEGACY
from tttcfg.nn.layers.computation import set_computation
from tttcfg.nn.recovery.answers import is_near
from tttcfg.nn.recovery.batches import checked, require_enough
from tttcfg.nn.recovery.candidates import beside
from tttcfg.nn.recovery.contest import FIRST_BATCHES, Contest, Trial, Values
from tttcfg.nn.recovery.report import estimate_to_dict, value_order, value_text
from tttcfg.nn.recovery.search import Loss, Questions, varied
from tttcfg.nn.recovery.stationarity import AdamMetric, Gradients, gradients_of
from tttcfg.resolving.overrides import Overriding
from tttcfg.schema.fields import Role, plain

Said = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True)
class Evidence:
    """What gradients say about one setting.

    Attributes:
        said: supported: every neighbouring value is further from a stationary point. contradicted: one is nearer.
            undecided: neither, or the model is near none.
        value: What the configuration has.
        better: Values that fit better, by three paired standard errors.
        trials: What every neighbouring value showed, compared with the configuration.
    """

    said: Said
    value: Any
    better: tuple[Any, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class TrainingCheck:
    """What gradients say about a configuration.

    Attributes:
        settings: For each that was looked at.
        given: What the configuration itself showed.
        passes: How many batches were measured on each rank.
    """

    settings: Mapping[str, Evidence]
    given: Trial
    passes: int

    @property
    def is_near(self) -> bool:
        """Whether the model is near a stationary point under its configuration, as a trained one should be."""
        return is_near(self.given)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON holds it; what is infinite is null."""
        return {
            "is_near": self.is_near,
            "squared_norm": estimate_to_dict(self.given.squared_norm),
            "settings": {
                name: {
                    "said": one.said,
                    "value": plain(one.value),
                    "better": [plain(value) for value in one.better],
                    "neighbours": [
                        {"value": plain(trial.values[name]), "beyond": estimate_to_dict(trial.beyond)}
                        for trial in one.trials
                    ],
                }
                for name, one in self.settings.items()
            },
            "passes": self.passes,
        }

    def table(self) -> str:
        """Return it for people: what is said of every setting, and by how many standard errors neighbours are away."""
        width = max(map(len, self.settings), default=0)
        lines = []
        for name, one in self.settings.items():
            errors = "  ".join(f"{value_text(trial.values[name])}: {trial.beyond.errors:.1f}" for trial in one.trials)
            lines.append(f"{name:{width}}  {value_text(one.value)} {one.said}  ({errors})")
        norm = self.given.squared_norm
        near = "near" if self.is_near else "not near"
        lines.append(f"{near} a stationary point: {norm.value:.3g} ± {norm.error:.2g}, by {norm.batches} batches")
        return "\n".join(lines)


def check_training(
    model: nn.Module,
    path: str | os.PathLike[str],
    batches: Iterable[Any],
    loss: Loss | None = None,
    *,
    fields: Iterable[str] | None = None,
    overrides: Overriding = (),
    loss_fields: Collection[str] | None = None,
    metric: AdamMetric | None = None,
    weight_decay: float | Mapping[str, float] = 0.0,
) -> TrainingCheck:
    """Report for each setting that no tensor determines whether a neighbouring value would fit a checkpoint better.

    A model that was trained to the end is near a stationary point of its training loss under the settings of the
    training; see `recover`, which searches where this only looks at neighbours. Choices have all others as neighbours,
    numbers those next to them in the grid that `recover` tries.

    Args:
        model: The checkpoint's, as it is trained: `requires_grad` of what was trained alone. A model in evaluation mode
            is measured in training mode, and is as it was afterwards; its settings are changed (`set_computation`), and
            are the checkpoint's and the overrides' afterwards.
        path: Any path into the checkpoint, whose configuration is checked.
        batches: Disjoint ones, drawn as in training and as large, as many on every rank: eight or more; 32 tell
            neighbours apart.
        loss: Returns the training's loss of a batch under a configuration. By default that is what the model returns
            for a batch, or its attribute `loss`; a batch that is a mapping is given by name.
        fields: Which are looked at; by default all that the tensors do not determine and that have neighbouring values.
        overrides: As in `resolve`, for what the model was built with otherwise.
        metric: From the training state, if there is one; by default it is estimated from the first batches.
        weight_decay: AdamW's, for a metric that is estimated; see `AdamMetric.estimated`.
        loss_fields: The fields that decide nothing but what the loss is; see `recover`.

    Raises:
        InputError: There are fewer than eight batches, not as many on every rank, or one twice; the checkpoint has no
            weights; or the model returns no loss.
        RankError: A rank has ended.
        ContradictionError: Checkpoint and configuration contradict each other, or the model is of another one.
    """
    batches = list(batches)
    checked(batches)
    require_enough(model, batches)
    effective = resolve(path, overrides=overrides)
    config = find_checkpoint(path, weight_names(effective.family)).model_config
    model_config = read_model_config(config) if config is not None else None
    questions = Questions(effective, model_config, loss_fields)
    undetermined = _undetermined(effective, path)
    questions.ask(undetermined if fields is None else fields, {}, demanded=fields is not None)
    _refuse_unknown(questions)
    measured_by = loss if loss is not None else _own_loss
    found: list[AdamMetric | None] = [metric]

    def set_to(values: Values) -> Callable[[nn.Module, Any], torch.Tensor]:
        own = varied(effective, values, model_config)
        set_computation(model, own)
        return lambda one, batch: measured_by(one, batch, own)

    def measured(values: Values, start: int, stop: int) -> Gradients:
        return gradients_of(model, batches[start:stop], set_to(values), found[0])

    training = {module: module.training for module in model.modules()}
    if not model.training:
        model.train()
    try:
        if metric is None:
            found[0] = AdamMetric.estimated(model, batches[:FIRST_BATCHES], set_to(questions.start), weight_decay)
        settings, most = [questions.start], len(batches)
        for name in questions.candidates:
            settings += [{**questions.start, name: one} for one in _neighbours(questions, name)]
        contest = Contest(measured, most, most * len(settings), lambda _: None, questions.loss_fields)
        given, *others = contest.about(settings)
    finally:
        set_computation(model, effective)
        for module, mode in training.items():
            module.training = mode
    said = {name: _evidence(name, given, others) for name in questions.candidates}
    return TrainingCheck(said, given, contest.passes)


def _refuse_unknown(questions: Questions) -> None:
    """Raise where the configuration has no value that a model could have been built with."""
    fields, training = questions.effective.family.fields, questions.effective.training
    unknown = {name: plain(fields[name].get(training)) for name in questions.candidates}
    if unknown := {name: value for name, value in unknown.items() if value == LEGACY}:
        advice = "override it with what the model was built with"
        raise InputError(
            Problem("legacy", f"is {quote(value)}, which is no value", name, advice=advice)
            for name, value in unknown.items()
        )


def _undetermined(effective: Effective, path: str | os.PathLike[str]) -> list[str]:
    """Return the computation fields that the checkpoint's tensors do not determine."""
    if effective.verification is None:
        raise InputError(Problem("not_found", "holds no weights", place=os.fspath(path)))
    fields, verdicts = effective.family.fields, effective.verification.verdicts
    return [
        name
        for name, one in verdicts.items()
        if one.outcome in ("not_determined", "supported") and name in fields and fields[name].role is Role.COMPUTATION
    ]


def _neighbours(questions: Questions, name: str) -> tuple[Any, ...]:
    values, own = questions.candidates[name], questions.start[name]
    numbers = tuple(one for one in values if isinstance(one, (int, float)) and not isinstance(one, bool))
    at = questions.at_null.get(name) if own is None else own
    if not numbers or not isinstance(at, (int, float)) or isinstance(at, bool):
        return tuple(one for one in values if one != own)
    return beside(tuple(sorted({*numbers, at})), at)


def _evidence(name: str, given: Trial, others: Sequence[Trial]) -> Evidence:
    value = given.values[name]
    own = tuple(
        sorted((one for one in others if one.values[name] != value), key=lambda one: value_order(one.values[name]))
    )
    better = tuple(one.values[name] for one in own if one.is_nearer)
    if better:
        return Evidence("contradicted", value, better, own)
    apart = is_near(given) and all(one.is_apart for one in own)
    return Evidence("supported" if apart else "undecided", value, (), own)


def _own_loss(model: nn.Module, batch: Any, _: Effective) -> torch.Tensor:
    """Return the loss that a model returns of a batch itself."""
    output = model(**batch) if isinstance(batch, Mapping) else model(batch)
    found = output if isinstance(output, torch.Tensor) else getattr(output, "loss", None)
    if not isinstance(found, torch.Tensor) or found.numel() != 1:
        message, advice = "returns no loss of a batch", "give the training's: check_training(…, loss=…)"
        raise InputError(Problem("rejected", message, "model", advice=advice))
    return found.reshape(())
