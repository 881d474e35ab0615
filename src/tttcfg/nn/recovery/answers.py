"""What the gradients say about every setting, and what they do not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tttcfg.nn.recovery.contest import Trial, Values

Outcome = Literal["recovered", "narrowed", "not_determined"]
NEAR = 3.0
"""A squared norm that is no more standard errors above zero is one of a stationary point."""


@dataclass(frozen=True)
class Answer:
    """What the gradients say about one setting.

    Attributes:
        outcome: recovered: no other value that was tried is as near to a stationary point. narrowed: `remaining` are.
            not_determined: nothing is said, for a `reason`.
        value: The best value; None where nothing is said.
        remaining: All values that are not separated from the best, itself among them.
        separation: By how many standard errors the nearest of the others is further away; infinite without others.
        trials: What every value showed, the others at their best.
        lowest_loss: The value with the lowest loss, for comparison: it is often another one. None without any.
    """

    name: str
    outcome: Outcome
    value: Any
    remaining: tuple[Any, ...]
    separation: float
    reason: str
    trials: tuple[Trial, ...]
    lowest_loss: Any


def judged(name: str, candidates: Mapping[str, Sequence[Any]], trials: Sequence[Trial]) -> Answer:
    """Return what can be said of one setting.

    Args:
        candidates: What was tried, by dotted name.
        trials: What every setting showed, compared with the first one.
    """
    best, others = trials[0], [key for key in candidates if key != name]
    left = [one for one in trials if not one.is_apart]
    own = tuple(one for one in trials if all(one.values[key] == best.values[key] for key in others))
    remaining = tuple(value for value in candidates[name] if any(one.values[name] == value for one in left))
    apart = [one.beyond.errors for one in trials if one.values[name] not in remaining]
    finite = [one for one in own if math.isfinite(one.loss)]
    lowest = min(finite, key=lambda one: one.loss).values[name] if finite else None
    separation = min(apart, default=math.inf)

    def not_determined(reason: str, remaining: tuple[Any, ...] = remaining) -> Answer:
        return Answer(name, "not_determined", None, remaining, 0.0, reason, own, lowest)

    if not is_near(best):
        return not_determined(f"{_how_far(best)}, whatever is tried", ())
    if not any(one.differs for one in own if one.values[name] != best.values[name]):
        return not_determined("it changes nothing on these batches")
    if len(remaining) == 1:
        return Answer(name, "recovered", remaining[0], remaining, separation, "", own, lowest)
    if len(remaining) == len(candidates[name]):
        alone = all(one in left for one in own)
        together = "" if alone else "; alone some are, but not with other settings that make up for them"
        return not_determined(f"no value is separated from any other{together}")
    return Answer(name, "narrowed", best.values[name], remaining, separation, "", own, lowest)


def is_near(trial: Trial) -> bool:
    """Whether a squared norm is consistent with a stationary point; without any gradient it is not."""
    found = trial.squared_norm
    return found.errors <= NEAR and math.isfinite(found.value) and (found.value, found.error) != (0, 0)


def compensating(trials: Sequence[Trial]) -> tuple[Values, ...]:
    """Return the combinations of several changes that are as near as the best, where one of these alone is not."""
    best = trials[0].values
    left = [
        {name: value for name, value in one.values.items() if value != best[name]} for one in trials if not one.is_apart
    ]
    single = [one for one in left if len(one) == 1]
    return tuple(
        {**best, **one} for one in left if len(one) > 1 and any({name: one[name]} not in single for name in one)
    )


def unanswered(name: str, reason: str) -> Answer:
    """Return the answer where nothing was measured that could be one."""
    return Answer(name, "not_determined", None, (), 0.0, reason, (), None)


def _how_far(best: Trial) -> str:
    """Return a sentence on how far the best setting is from a stationary point."""
    found = best.squared_norm
    if not math.isfinite(found.value):
        return "the gradients are not finite"
    if (found.value, found.error) == (0, 0):
        return "all gradients are zero: nothing that is trained decides this loss"
    away = f"its expected gradient is {found.errors:.1f} standard errors away from zero"
    return f"the model is not near a stationary point of this loss on these batches: {away}"
