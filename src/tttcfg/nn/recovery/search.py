"""Finding the settings that a checkpoint was trained with.

One setting after the other is given the value that is nearest to a stationary point, until none changes; settings that
only decide what the loss is stay as they are given, and are compared with others in the end. Where what was
found is not near one, pairs of settings that move the gradient along one line are searched together. In the end, all
values of all settings are measured in a metric of their own, and with them the combinations of two changes that could
make up for each other.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from tttcfg.documents.effective import Effective, deciding, whole_digest
from tttcfg.errors import InputError, Place, Problem, nearest, quote
from tttcfg.family.family import Family
from tttcfg.files.storage import identity
from tttcfg.migration.record import LEGACY
from tttcfg.nn.ranks.ranks import gather_rows
from tttcfg.nn.recovery.answers import Answer, compensating, is_near, judged, unanswered
from tttcfg.nn.recovery.batches import checked, require_enough
from tttcfg.nn.recovery.candidates import beside, between, in_order, is_rate, plausible
from tttcfg.nn.recovery.contest import FIRST_BATCHES, Contest, ExhaustedError, Key, Trial, Values, key_of
from tttcfg.nn.recovery.report import Recovery
from tttcfg.nn.recovery.stationarity import AdamMetric, Gradients, gradients_of, require_scalar
from tttcfg.schema.fields import ConfigField, Role, plain
from tttcfg.schema.paths import set_path, split
from tttcfg.schema.validation import validate

Build = Callable[[Effective], nn.Module]
Loss = Callable[[nn.Module, Any, Effective], torch.Tensor]
UNCERTAIN = ("legacy", "doubt", "assumed", "unconfirmed")
"""Codes of findings that say that it is not known with which value of a field the weights were trained."""
_SWEEPS, _ROUNDS = 4, 3
_BATCHES_OF_LOSS, _MOST_AROUND = 4, 4
_MOST_FOR_LOSS = 0.25
"""Descents of the loss begin until they have taken so much of the passes."""
_INTERPLAY = 0.5
"""Two settings are searched together where the cosine of what they do to the gradient is larger."""
_HALF_AS_FAR = 0.25
"""The ratio of the squared norms of two moves, from which one may make up for the other."""
_BY_CHANCE = 1.0
"""A setting is left for another one where it is more standard errors further away: noise would lead in circles."""
_SEEN = 1.5
"""A field is searched together with others where its neighbouring values are more standard errors further away."""


def recover(
    build: Build,
    loss: Loss,
    batches: Iterable[Any],
    effective: Effective,
    candidates: Mapping[str, Iterable[Any]] | None = None,
    *,
    fields: Iterable[str] | None = None,
    loss_fields: Collection[str] | None = None,
    model_config: Mapping[str, Any] | None = None,
    metric: AdamMetric | None = None,
    weight_decay: float | Mapping[str, float] = 0.0,
    most_passes: int = 10_000,
    progress: Callable[[int], None] | None = None,
) -> Recovery:
    """Find which settings a checkpoint was trained with, from its weights and data of its training.

    On several ranks, each gives as many batches, of its own; all get the same result.

    Args:
        build: Returns the model of a configuration with the checkpoint's weights in it, as it is trained: in training
            mode, and with `requires_grad` of what was trained alone. It is called before every measurement; it may
            return the same model each time, with other settings (`tttcfg.nn.set_computation`), which are afterwards
            those that were measured last.
        loss: Returns the training's loss of a batch under a configuration, as it was minimised, with all weights.
        batches: Disjoint ones, drawn as in training and as large: eight or more; 32 tell neighbours apart.
        effective: The configuration as far as it is known.
        candidates: The values to try, by dotted name; by default those that the fields' declarations suggest.
        fields: What is asked for; by default the computation fields that `effective` reports as unknown or doubted.
        loss_fields: The fields that decide nothing but what the loss is. They stay as they are given, and are compared
            with others in the end. By default those that no layer's configuration depends on.
        model_config: The model's config.json, from which the layers' configuration is derived.
        metric: From the training state, if there is one; by default it is estimated from the first batches.
        weight_decay: AdamW's, for a metric that is estimated; see `AdamMetric.estimated`.
        most_passes: How many batches may be measured on each rank, all settings together.
        progress: Called with a number of batches before so many are measured, for a bar.

    Raises:
        InputError: There are fewer than eight batches, not as many on every rank, or one twice; nothing is asked for;
            a field has no candidates, or one that its declaration refuses; or it is not known which fields only
            decide what the loss is, as there is no configuration of layers.
        RankError: A rank has ended.
    """
    batches, weights = list(batches), weight_files(effective)
    if most_passes < 1:
        raise InputError(Problem("rejected", f"{most_passes} are none; give a number of batches", "most_passes"))
    count, data = checked(batches)
    questions = Questions(effective, model_config, loss_fields)
    questions.ask(uncertain(effective) if fields is None else fields, candidates or {}, demanded=fields is not None)

    def built(own: Effective) -> nn.Module:
        model = build(own)
        require_enough(model, batches)
        return model

    def measured(values: Values, start: int, stop: int, metric: AdamMetric | None) -> Gradients:
        own = varied(effective, values, model_config)
        return gradients_of(built(own), batches[start:stop], lambda model, batch: loss(model, batch, own), metric)

    def estimated(values: Values) -> AdamMetric:
        own = varied(effective, values, model_config)
        first = batches[:FIRST_BATCHES]
        return AdamMetric.estimated(built(own), first, lambda model, batch: loss(model, batch, own), weight_decay)

    def mean_loss(values: Values, count: int) -> float:
        own = varied(effective, values, model_config)
        model, found = built(own), list[float]()
        with torch.no_grad():
            for batch in batches[:count]:
                require_scalar(value := loss(model, batch, own), trained=False)
                found.append(float(value))
        mean = float(gather_rows(torch.tensor(found, dtype=torch.float64)[:, None]).mean())
        return mean if math.isfinite(mean) else math.inf

    search = _Search(
        questions, measured, estimated, mean_loss, metric, (len(batches), most_passes, progress or (lambda _: None))
    )
    trials = search.run()
    passes = search.contest.passes
    answers = _answers(questions, trials, search.unfinished, passes)
    best = trials[0] if trials else None
    together = compensating(trials) if best is not None and is_near(best) else ()
    settled = search.settled({name: one.value for name, one in answers.items() if one.outcome == "recovered"})
    passes = search.contest.passes
    return Recovery(effective, answers, together, best, settled, data, count, passes, search.forward, weights)


def _answers(
    questions: Questions, trials: Sequence[Trial], unfinished: Collection[str], passes: int
) -> dict[str, Answer]:
    """Return what is said of every setting, from what all showed; from nothing, that the passes were used up."""
    answers = {name: unanswered(name, reason) for name, reason in questions.without.items()}
    if not trials:
        reason = f"{passes:,} batches were measured, and no more may be; allow more passes"
        return answers | {name: unanswered(name, reason) for name in questions.candidates}
    answers |= {name: judged(name, questions.candidates, trials) for name in questions.candidates}
    reason = "more combinations are as near as the best than were looked at; allow more passes, or give more batches"
    return answers | {name: unanswered(name, reason) for name in unfinished}


def uncertain(effective: Effective) -> list[str]:
    """Return the computation fields of a result that it reports as unknown, doubted, missing or unconfirmed.

    What a configuration file gives for a checkpoint without a document is what its user asserts, and is left out.
    """
    fields = effective.family.fields
    asked = {
        one.key
        for one in effective.findings
        if one.code in UNCERTAIN
        and (one.code != "unconfirmed" or deciding(effective.origins[one.key]).source != "config")
    }
    return [name for name, field in fields.items() if field.role is Role.COMPUTATION and name in asked]


def weight_files(effective: Effective) -> dict[str, tuple[int, ...]]:
    """Return what identifies the files of a result's weights, as they are now, by path."""
    if effective.verification is None:
        return {}
    header = effective.verification.weights.header
    names = [one.name for one in header.parts or (header,)]
    return {name: identity(os.stat(name)) for name in names if os.path.exists(name)}


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


class Questions:
    """What is asked for, with the values to try.

    Attributes:
        candidates: By dotted name, in their order where they have one.
        start: The values to start from: those of the configuration where they are among the candidates.
        given: Those of the configuration; of what is unknown there, those to start from.
        at_null: What null means, of fields that take it, where that is known.
        loss_fields: Those that decide nothing but what the loss is: what is given, or what the layers do not read.
        without: Fields that are in doubt and have no values to try, with the reason.
    """

    def __init__(
        self, effective: Effective, model_config: Mapping[str, Any] | None, loss_fields: Collection[str] | None = None
    ) -> None:
        self.effective, self.model_config, self._given = effective, model_config, loss_fields
        self.candidates: dict[str, tuple[Any, ...]] = {}
        self.start: dict[str, Any] = {}
        self.given: dict[str, Any] = {}
        self.loss_fields: set[str] = set()
        self.at_null: dict[str, Any] = {}
        self.without: dict[str, str] = {}
        self._problems: list[Problem] = []

    def ask(self, fields: Iterable[str], given: Mapping[str, Iterable[Any]], *, demanded: bool) -> None:
        """Note what is asked for, with the values that are given, or that the fields' declarations suggest.

        Args:
            demanded: A field without values to try is an error; else it is left out, with the reason in `without`.

        Raises:
            InputError: A field is none that can be searched, or has no values to try, or nothing is asked for.
        """
        known, names = self.effective.family.fields, list([fields] if isinstance(fields, str) else fields)
        if not isinstance(given, Mapping) or not all(isinstance(one, str) for one in names):
            message = "fields is a list of dotted names, and candidates a mapping from these to lists of values"
            raise InputError(Problem("rejected", message, "recover"))
        for name in names:
            if name not in known:
                suggestion = nearest(name, list(known))
                self._problems.append(Problem("unknown_key", "no setting has this name", name, suggestion=suggestion))
            elif known[name].role is not Role.COMPUTATION:
                message = f"is of the role {known[name].role.value}; what is computed with given tensors is searched"
                self._problems.append(Problem("rejected", message, name))
            elif not isinstance(values := given.get(name, ()), Iterable) or isinstance(values, (str, bytes)):
                self._problems.append(Problem("rejected", "has candidates that are no list of values", name))
            else:
                self._ask(known[name], tuple(map(_as_plain, values)), demanded=demanded)
        for name in given.keys() - set(names):
            message = "has candidates, and is not asked for"
            self._problems.append(Problem("rejected", message, name, advice="name it in fields as well"))
        if not self.candidates and not self._problems:
            message = "no computation field is in doubt, and none is asked for"
            self._problems.append(Problem("rejected", message, "fields", advice="name those that you doubt"))
        if self._problems:
            raise InputError(self._problems)

    def _ask(self, field: ConfigField, given: tuple[Any, ...], *, demanded: bool) -> None:
        name, value = field.name, plain(field.get(self.effective.training))
        at_null = self._at_null(field)
        tried = _ordered(given) or plausible(field, value, at_null)
        found = tuple(one for one in tried if given or not self._refused(name, one))
        self._problems += [problem for one in given for problem in self._refused(name, one)]
        if len(found) < 2:
            if demanded or given:
                advice = f"give candidates={{{name!r}: […]}}"
                self._problems.append(Problem("rejected", "has fewer than two values to try", name, advice=advice))
            else:
                self.without[name] = "it has no values to try; give candidates"
            return
        self.given[name] = value
        value = None if field.nullable and value == at_null and value not in found else value
        self.candidates[name], self.at_null[name] = found, at_null
        self.start[name] = value if value in found else found[len(found) // 2]
        self.given[name] = self.start[name] if self.given[name] == LEGACY else self.given[name]
        if self._decides_the_loss_alone(field, found):
            self.loss_fields.add(name)

    def _decides_the_loss_alone(self, field: ConfigField, values: Sequence[Any]) -> bool:
        if self._given is not None or any(self._refused(field.name, one) for one in values):
            return field.name in (self._given or ())
        layers = [varied(self.effective, {**self.start, field.name: one}, self.model_config).ttt for one in values]
        if layers[0] is None and self.effective.family.layers is not None:
            message = "may be what layers read or what the loss is; without a configuration of layers that is not known"
            advice = "give model_config, or loss_fields=[…] with the weights of the loss, if there are any"
            self._problems.append(Problem("rejected", message, field.name, advice=advice))
        return layers[0] is not None and all(one == layers[0] for one in layers)

    def _refused(self, name: str, value: Any) -> Sequence[Problem]:
        if value == LEGACY:
            return [Problem("legacy", f"{quote(value)} is no value that a model could have had", name)]
        try:
            varied(self.effective, {name: value}, self.model_config)
        except InputError as error:
            return error.problems
        return ()

    def _at_null(self, field: ConfigField) -> Any:
        """Return what the layers read where the field is null; None where that is not known."""
        if not field.nullable or self._refused(field.name, None):
            return None
        layers = varied(self.effective, {field.name: None}, self.model_config).ttt
        return getattr(layers, field.path[-1], None)


def _as_plain(value: Any) -> Any:
    """Return a value as JSON would hold it, also one of numpy or a tensor."""
    return plain(value.item() if callable(getattr(value, "item", None)) and getattr(value, "ndim", 1) == 0 else value)


def _ordered(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return values each once, numbers in their order and null last."""
    if all(isinstance(one, (int, float, type(None))) and not isinstance(one, bool) for one in values):
        return in_order(set(values))
    return tuple(one for number, one in enumerate(values) if one not in values[:number])


class _Search:
    """Walks through settings, each by dotted name, towards a stationary point."""

    def __init__(
        self,
        questions: Questions,
        measured: Callable[[Values, int, int, AdamMetric | None], Gradients],
        estimated: Callable[[Values], AdamMetric],
        mean_loss: Callable[[Values, int], float],
        metric: AdamMetric | None,
        limits: tuple[int, int, Callable[[int], None]],
    ) -> None:
        self.fields = questions.effective.family.fields
        self.candidates, self.current = questions.candidates, cast("Values", questions.start)
        self.given = questions.given
        self.estimated, self.metric, self.is_given = estimated, metric, metric is not None
        self.loss_fields = questions.loss_fields
        self.moved = [name for name in self.candidates if name not in self.loss_fields]
        self.mean_loss, self.losses = mean_loss, dict[Key, float]()
        self.of_metric: Values = {}
        self.unfinished: set[str] = set()
        self.forward = 0
        self.contest = Contest(
            lambda values, start, stop: measured(values, start, stop, self.metric), *limits, self.loss_fields
        )

    def run(self) -> Sequence[Trial]:
        """Return what every setting showed in the end, the nearest first; nothing where the passes were used up."""
        with contextlib.suppress(ExhaustedError):
            self.start_from_loss()
            self.renew_metric()
            if self.sweep():
                self.renew_metric()
                for _ in range(_SWEEPS):
                    if not self.sweep():
                        break
            if not self.is_near():
                self.search_together()
            if self.refine():
                self.sweep()
            self.renew_metric()
            return self.last()
        return ()

    def renew_metric(self) -> None:
        """Estimate the metric under the values that are the best until now, where none is given.

        Where no gradient under them is finite, it stays what it is: without one, the plain inner product.
        """
        if not self.is_given and self.of_metric != self.current:
            self.contest.count(min(FIRST_BATCHES, self.contest.batches))
            self.of_metric = self.current
            with contextlib.suppress(InputError):
                self.metric = self.estimated(self.current)
                self.contest.forget()

    def start_from_loss(self) -> None:
        """Start where the loss is lowest unless what is given is nearer: it misleads less about what is far away.

        One setting after the other gets the value with the lowest loss until none changes, from the given configuration
        and from all that differ from it in one field: such descents end in different places, and share most of what
        is measured. Rates are refined around the lowest: twice the rate can be too noisy for any gradient to be seen.
        """
        starts = [self.current, *itertools.chain(*(self.line(name)[1:] for name in self.moved))]
        most, given = self.contest.left * _MOST_FOR_LOSS, self.current
        ends = (self.descended(one) for one in starts if self.forward <= most)
        self.current = min(ends, key=self.loss)
        self.refine()
        self.current = self.descended(self.current)
        self.renew_metric()
        self.step([self.current, given])

    def descended(self, here: Values) -> Values:
        """Return where giving one field after the other the value with the lowest loss ends."""
        for _ in range(_SWEEPS):
            before = here
            for name in self.moved:
                here = min(({**here, name: value} for value in self.candidates[name]), key=self.loss)
            if here == before:
                break
        return here

    def loss(self, values: Values) -> float:
        """Return the mean loss of a few batches; what is not finite is infinite."""
        key = key_of(values)
        if key not in self.losses:
            count = min(_BATCHES_OF_LOSS, self.contest.batches)
            self.contest.count(count)
            self.forward += count
            self.losses[key] = self.mean_loss(values, count)
        return self.losses[key]

    def sweep(self) -> bool:
        """Give one setting of the layers after the other its best value; return whether any changed.

        What the loss is stays as it is given: there are always weights under which what is not learnt yet counts so
        little that no gradient is seen.
        """
        before = self.current
        for name in self.moved:
            self.step(self.line(name))
        return self.current != before

    def step(self, settings: Sequence[Values]) -> bool:
        """Take the best of several settings, the current one among them, if that is further away than by chance."""
        best, *others = self.contest.nearest(settings, rough=True)
        behind = next((one.beyond.errors for one in others if one.values == self.current), 0.0)
        if behind <= _BY_CHANCE:
            return False
        self.current = best.values
        return True

    def is_near(self) -> bool:
        return is_near(self.contest.about([self.current])[0])

    def line(self, name: str) -> list[Values]:
        """Return the current setting, and with every other value of one of its fields."""
        others = (value for value in self.candidates[name] if value != self.current[name])
        return [self.current, *({**self.current, name: value} for value in others)]

    def search_together(self) -> None:
        """Search pairs of settings that move the gradient along one line, the most so first, until one is near."""
        for one, other in self.pairs():
            if {one, other} & self.loss_fields:
                continue
            if self.step([self.current, *self.grids([(one, other)])]):
                self.renew_metric()
                self.sweep()
            if self.is_near():
                return

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of fields whose neighbouring values move the gradient along one line, the most so first.

        Only of fields whose neighbouring values are further away than chance would have it: what can hardly be seen
        makes up for nothing.
        """
        lines = list(itertools.chain(*(self.line(name)[1:] for name in self.candidates)))
        trials = self.contest.about([self.current, *lines], rough=True)
        beyond = {key_of(one.values): one.beyond.errors for one in trials}
        seen = [
            name
            for name in self.candidates
            if all(beyond[key_of(one)] > _SEEN for one in self.beside(self.current, name))
        ]
        found = []
        for one, other in itertools.combinations(seen, 2):
            neighbours = itertools.product(self.beside(self.current, one), self.beside(self.current, other))
            most = max((self.contest.interplay(self.current, *each) for each in neighbours), default=0.0)
            found += [(most, one, other)] if most > _INTERPLAY else []
        return [(one, other) for _, one, other in sorted(found, reverse=True)]

    def beside(self, here: Values, name: str) -> list[Values]:
        """Return a setting with one field changed to its neighbouring values."""
        return [{**here, name: value} for value in beside(self.candidates[name], here[name])]

    def grids(self, pairs: Sequence[tuple[str, str]]) -> Iterator[Values]:
        """Yield the current setting with all combinations of the values of the two fields of every pair."""
        for one, other in pairs:
            for first, second in itertools.product(self.candidates[one], self.candidates[other]):
                yield {**self.current, one: first, other: second}

    def around(self, here: Values, pairs: Sequence[tuple[str, str]]) -> list[Values]:
        """Return a setting with one or both fields of every pair changed to neighbouring values."""
        found = [one for name in dict.fromkeys(itertools.chain(*pairs)) for one in self.beside(here, name)]
        for one, other in pairs:
            for first, second in itertools.product(self.beside(here, one), self.beside(here, other)):
                found.append({**first, other: second[other]})
        return found

    def refine(self) -> bool:
        """Add to the candidates of rates what lies between the best and its neighbours; return whether any did."""
        before = dict(self.candidates)
        for name, values in before.items():
            if is_rate(self.fields[name]) and name in self.moved:
                self.candidates[name] = in_order({*values, *between(values, self.current[name])})
        return self.candidates != before

    def last(self) -> Sequence[Trial]:
        """Return what the settings around one showed, that one first: the nearest, or one of several that are as near.

        Measured are all that differ from it in one field, and in two that may make up for each other, as far as noise
        shows; and neighbours around every combination that turns out to be as near, until there is no new one. Where
        there are too many, `unfinished` has the fields of which more values could be as near.
        """
        for _ in range(_ROUNDS):
            if not self.step([one for one in self.neighbourhood(self.pairs()) if self.is_same_loss(one)]):
                break
        pairs, seen = self.pairs(), list[Values]()
        settings = self.neighbourhood(pairs)
        trials = self.contest.about(settings)
        hidden = self.hidden(trials) if is_near(trials[0]) else {}
        new = list(itertools.chain(*hidden.values()))
        settings = _distinct([*settings, *new])
        with contextlib.suppress(ExhaustedError):
            for _ in range(_ROUNDS):
                trials = self.contest.about(settings)
                new = [one for one in compensating(trials) if one not in seen]
                if not new:
                    return trials
                seen += new[:_MOST_AROUND]
                for one in new[:_MOST_AROUND]:
                    own = [pair for pair in hidden if set(pair) <= self.changed(one)]
                    settings = _distinct([*settings, *self.around(one, [*pairs, *own])])
            trials = self.contest.about(settings)
            new = [one for one in compensating(trials) if one not in seen]
        self.unfinished = set(itertools.chain(*pairs, *map(self.changed, new))) if new else set()
        return trials

    def settled(self, recovered: Values) -> Trial | None:
        """Return what the given configuration showed with what was recovered, compared with the best."""
        values = {name: recovered.get(name, given) for name, given in self.given.items()}
        with contextlib.suppress(ExhaustedError):
            return self.contest.about([self.current, values])[-1] if recovered else None
        return None

    def hidden(self, trials: Sequence[Trial]) -> dict[tuple[str, str], list[Values]]:
        """Return every value that is separated beside every other change that is not, by the two fields.

        Noise may hide that the change moves the gradient as far as the value does, and may make up for it; left out are
        those that surely move it less than half as far.
        """
        found: dict[tuple[str, str], list[Values]] = {}
        alone: list[tuple[str, Trial]] = []
        for trial in trials:
            names = self.changed(trial.values)
            alone += [(name, trial) for name in names if len(names) == 1]
        for name, trial in alone:
            if trial.is_apart or not trial.differs or name in self.loss_fields:
                continue
            most = self.contest.most_moved(self.current, trial.values)
            for other, apart in alone:
                if apart.is_apart and other != name and most >= _HALF_AS_FAR * apart.least_beyond:
                    found.setdefault((name, other), []).append({**apart.values, name: trial.values[name]})
        return found

    def changed(self, values: Values) -> set[str]:
        """Return the fields in which a setting differs from the current one."""
        return {name for name in self.candidates if values[name] != self.current[name]}

    def is_same_loss(self, other: Values) -> bool:
        return all(other[name] == self.current[name] for name in self.loss_fields)

    def neighbourhood(self, pairs: Sequence[tuple[str, str]]) -> list[Values]:
        """Return the current setting, all that differ from it in one field, and all that do in the two of a pair."""
        settings = [self.current, *itertools.chain(*(self.line(name)[1:] for name in self.candidates))]
        return _distinct([*settings, *self.grids(pairs)])


def _distinct(settings: Iterable[Values]) -> list[Values]:
    """Return settings in their order, each once."""
    return list({key_of(one): one for one in settings}.values())
