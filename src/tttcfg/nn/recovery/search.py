"""Finding the settings that a checkpoint was trained with: the search, and what it may say.

One setting after the other is given the value that is nearest to a stationary point, until none changes. Where what was
found is not near one, or where two settings act together, pairs of them are searched together. In the end, everything
that was not left behind on the way is measured on all batches, and with it the neighbours in every pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from tttcfg.documents.effective import Effective, whole_digest
from tttcfg.errors import InputError, Place, Problem, nearest
from tttcfg.family.family import Family
from tttcfg.nn.recovery.candidates import beside, between, is_rate, plausible
from tttcfg.nn.recovery.contest import FIRST_BATCHES, Contest, ExhaustedError, Trial, Values
from tttcfg.nn.recovery.stationarity import LEAST_BATCHES, AdamMetric, Gradients, batch_gradients
from tttcfg.schema.fields import Role, plain
from tttcfg.schema.paths import set_path, split
from tttcfg.schema.validation import validate

Outcome = Literal["recovered", "narrowed", "not_determined"]
Build = Callable[[Effective], nn.Module]
Loss = Callable[[nn.Module, Any, Effective], torch.Tensor]
SEPARATED = 3.0
"""An answer leaves out values that are so many standard errors further from a stationary point than the best."""
NEAR = 3.0
"""A squared norm that is no more standard errors above zero is one of a stationary point."""
_UNCERTAIN = ("legacy", "doubt", "assumed", "unconfirmed")
_SWEEPS = 4


@dataclass(frozen=True)
class Answer:
    """What the gradients say about one setting.

    Attributes:
        outcome: recovered: no value but this is as near to a stationary point. narrowed: `remaining` are.
            not_determined: nothing is said, for a `reason`.
        value: The best value; None where nothing is said.
        remaining: All values that are not separated from the best, itself among them.
        separation: By how many standard errors the nearest of the others is further away; infinite without others.
        trials: What every value showed, the others at their best.
        lowest_loss: The value with the lowest loss, for comparison: it is often another one.
    """

    name: str
    outcome: Outcome
    value: Any
    remaining: tuple[Any, ...]
    separation: float
    reason: str
    trials: tuple[Trial, ...]
    lowest_loss: Any


@dataclass(frozen=True)
class Recovery:
    """What was found, by dotted name, and what that took.

    Attributes:
        answers: One for each setting that was asked for.
        together: Combinations of several settings that are as near as the best, where single changes are not.
        best: What the best setting showed; None where the passes were used up before that.
        batches: How many there were.
        passes: How many batches were measured, all settings together.
    """

    answers: Mapping[str, Answer]
    together: tuple[Values, ...]
    best: Trial | None
    batches: int
    passes: int


def recover(
    build: Build,
    loss: Loss,
    batches: Sequence[Any],
    effective: Effective,
    candidates: Mapping[str, Iterable[Any]] | None = None,
    *,
    fields: Collection[str] | None = None,
    model_config: Mapping[str, Any] | None = None,
    metric: AdamMetric | None = None,
    most_passes: int = 5000,
) -> Recovery:
    """Find which settings a checkpoint was trained with, from its weights and data of its training.

    Args:
        build: Returns the model of a configuration with the checkpoint's weights in it, as it is trained: in training
            mode, and with `requires_grad` of what was trained alone.
        loss: Returns the training's loss of a batch under a configuration, as it was minimised, with all weights.
        batches: Disjoint ones, drawn as in training and as large; 32 and more tell neighbours apart.
        effective: The configuration as far as it is known.
        candidates: The values to try, by dotted name; by default those that the fields' declarations suggest.
        fields: What is asked for; by default the computation fields that `effective` reports as unknown or doubted.
        model_config: The model's config.json, from which the layers' configuration is derived.
        metric: From the training state, if there is one; by default it is estimated from the first batches.
        most_passes: How many batches may be measured, all settings together.

    Raises:
        InputError: There are fewer than four batches, nothing is asked for, or a field has no candidates.
    """
    if len(batches) < LEAST_BATCHES:
        message = f"{len(batches)} are too few; give {LEAST_BATCHES} or more"
        raise InputError(Problem("rejected", message, "batches"))
    search = _Search(build, loss, batches, effective, model_config, metric, most_passes)
    search.ask(fields if fields is not None else uncertain(effective), candidates or {})
    return search.run()


def uncertain(effective: Effective) -> list[str]:
    """Return the computation fields of a result that it reports as unknown, doubted, missing or unconfirmed."""
    fields = effective.family.fields
    asked = {one.key for one in effective.findings if one.code in _UNCERTAIN}
    return [name for name, field in fields.items() if field.role is Role.COMPUTATION and name in asked]


def varied(effective: Effective, values: Values, model_config: Mapping[str, Any] | None = None) -> Effective:
    """Return a configuration with other values, by dotted name, and what its layers read derived from them.

    Raises:
        InputError: A value is refused.
    """
    family: Family[Any, Any] = effective.family
    body = effective.training.model_dump()
    for name, value in values.items():
        set_path(body, split(name), value)
    training = validate(family.model, body, lambda _: Place("candidate"))
    derived = family.derive(training, model_config, "", {})
    digest = whole_digest(training, family, effective.parts)
    return replace(effective, training=training, ttt=derived.config, digest=digest, verification=None)


class _Search:
    def __init__(
        self,
        build: Build,
        loss: Loss,
        batches: Sequence[Any],
        effective: Effective,
        model_config: Mapping[str, Any] | None,
        metric: AdamMetric | None,
        most_passes: int,
    ) -> None:
        self.build, self.loss, self.batches = build, loss, batches
        self.effective, self.model_config = effective, model_config
        self.given, self.metric = metric, metric
        self.contest = Contest(self.measured, len(batches), most_passes)
        self.candidates: dict[str, tuple[Any, ...]] = {}
        self.current: dict[str, Any] = {}

    def ask(self, names: Iterable[str], candidates: Mapping[str, Iterable[Any]]) -> None:
        """Note what is asked for, with the values to try."""
        fields, problems = self.effective.family.fields, list[Problem]()
        for name in names:
            if name not in fields:
                problems.append(
                    Problem("unknown_key", "no setting has this name", name, suggestion=nearest(name, list(fields)))
                )
                continue
            if fields[name].role is not Role.COMPUTATION:
                message = f"is of the role {fields[name].role.value}; what is computed with given tensors is searched"
                problems.append(Problem("rejected", message, name))
                continue
            value = plain(fields[name].get(self.effective.training))
            found = tuple(candidates.get(name, ()) or plausible(fields[name], value))
            if len(found) < 2:
                advice = f"give candidates={{{name!r}: […]}}"
                problems.append(Problem("rejected", "has fewer than two values to try", name, advice=advice))
                continue
            self.candidates[name] = found
            self.current[name] = value if value in found else found[len(found) // 2]
        if not self.candidates and not problems:
            message = "no computation field is in doubt, and none is asked for"
            problems.append(Problem("rejected", message, "fields", advice="name those that you doubt"))
        if problems:
            raise InputError(problems)

    def measured(self, values: Values, start: int, stop: int) -> Gradients:
        own = varied(self.effective, values, self.model_config)
        model = self.build(own)
        return batch_gradients(
            model, self.batches[start:stop], lambda one, batch: self.loss(one, batch, own), self.metric
        )

    def renew_metric(self) -> None:
        """Estimate the metric under the values that are the best until now, where none is given."""
        if self.given is None:
            own = varied(self.effective, self.current, self.model_config)
            first = self.batches[:FIRST_BATCHES]
            self.contest.count(len(first))
            self.metric = AdamMetric.estimated(self.build(own), first, lambda one, batch: self.loss(one, batch, own))
            self.contest.forget()

    def run(self) -> Recovery:
        try:
            self.renew_metric()
            self.sweep()
            if not self.is_near():
                self.search_pairs()
            self.refine()
            self.renew_metric()
            return self.answered()
        except ExhaustedError:
            reason = f"{self.contest.passes:,} batches were measured, and no more may be; allow more passes"
            answers = {
                name: Answer(name, "not_determined", None, (), 0.0, reason, (), None) for name in self.candidates
            }
            return Recovery(answers, (), None, len(self.batches), self.contest.passes)

    def search_pairs(self) -> None:
        """Search pairs of settings together, until what is found is near a stationary point."""
        for one, other in itertools.combinations(self.candidates, 2):
            if self.step(self.grid(one, other)):
                self.renew_metric()
                self.sweep()
            if self.is_near():
                return

    def sweep(self) -> None:
        """Give one setting after the other its best value, until none changes."""
        for _ in range(_SWEEPS):
            changed = [self.step(self.line(name)) for name in self.candidates]
            if not any(changed):
                return
            self.renew_metric()

    def step(self, settings: Sequence[Values]) -> bool:
        """Take the best of several settings; return whether that is another one."""
        best = self.contest.nearest(settings)[0].values
        changed = best != self.current
        self.current = dict(best)
        return changed

    def is_near(self) -> bool:
        (trial,) = self.contest.nearest([self.current])
        return trial.squared_norm.errors <= NEAR

    def line(self, name: str) -> list[Values]:
        return [{**self.current, name: value} for value in self.candidates[name]]

    def grid(self, one: str, other: str) -> list[Values]:
        pairs = itertools.product(self.candidates[one], self.candidates[other])
        return [{**self.current, one: first, other: second} for first, second in pairs]

    def refine(self) -> None:
        """Add to the candidates of a rate what lies between the best and its neighbours, and search again."""
        fields = self.effective.family.fields
        for name, values in self.candidates.items():
            if is_rate(fields[name]):
                added = {*values, *between(tuple(sorted(values)), self.current[name])}
                self.candidates[name] = tuple(sorted(added))
                self.step(self.line(name))

    def answered(self) -> Recovery:
        """Measure what is left once more, and say what can be said."""
        while True:
            settings: list[Values] = [self.current]
            for name in self.candidates:
                settings += [one for one in self.line(name) if one not in settings]
            settings += [one for one in self.diagonals() if one not in settings]
            trials = self.contest.nearest(settings)
            if trials[0].values == self.current:
                break
            self.current = dict(trials[0].values)
        best = trials[0]
        near = best.squared_norm.errors <= NEAR and best.squared_norm.value < float("inf")
        left = [one for one in trials if one.beyond.errors < SEPARATED]
        answers = {name: self.answer(name, best, trials, left, near) for name in self.candidates}
        single = [one for one in left if sum(one.values[name] != best.values[name] for name in self.candidates) < 2]
        together = tuple(one.values for one in left if one not in single)
        return Recovery(answers, together, best, len(self.batches), self.contest.passes)

    def diagonals(self) -> list[Values]:
        """Return the best setting with two of its values changed to neighbours."""
        found: list[Values] = []
        for one, other in itertools.combinations(self.candidates, 2):
            pairs = itertools.product(
                beside(self.candidates[one], self.current[one]), beside(self.candidates[other], self.current[other])
            )
            found += [{**self.current, one: first, other: second} for first, second in pairs]
        return found

    def answer(self, name: str, best: Trial, trials: Sequence[Trial], left: Sequence[Trial], near: bool) -> Answer:
        """Say what can be said of one setting."""
        others = [key for key in self.candidates if key != name]
        own = tuple(one for one in trials if all(one.values[key] == best.values[key] for key in others))
        remaining = tuple(dict.fromkeys(one.values[name] for one in left))
        apart = [one.beyond.errors for one in trials if one.values[name] not in remaining]
        lowest = min(own, key=lambda one: one.loss).values[name]
        separation = min(apart, default=float("inf"))
        if not near:
            reason = "the model is not near a stationary point of this loss on these batches, whatever is tried"
            return Answer(name, "not_determined", None, (), 0.0, reason, own, lowest)
        if not any(one.differs for one in own if one.values[name] != best.values[name]):
            reason = "it changes nothing on these batches"
            return Answer(name, "not_determined", None, remaining, 0.0, reason, own, lowest)
        if len(remaining) == 1:
            return Answer(name, "recovered", remaining[0], remaining, separation, "", own, lowest)
        if len(remaining) == len(self.candidates[name]):
            reason = "no value is separated from any other"
            return Answer(name, "not_determined", None, remaining, 0.0, reason, own, lowest)
        return Answer(name, "narrowed", best.values[name], remaining, separation, "", own, lowest)
