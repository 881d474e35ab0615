"""Which of several settings is nearest to a stationary point, with as few batches as it takes.

A setting takes part as a mapping from dotted names to values. All are measured on the same batches: on a few first, and
on twice as many as long as more than one could be the nearest. One that is far off after a few is left at that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tttcfg.nn.recovery.stationarity import Estimate, Gradients

Values = Mapping[str, Any]
Measure = Callable[[Values, int, int], Gradients]
"""Returns the gradients under a setting, of the batches from one number to another."""
FIRST_BATCHES = 8
FAR = 4.0
"""A setting that is so many standard errors further away than the nearest one takes no further part: more than what an
answer needs, as it is looked at several times."""
_CLIPPED = 2.0
"""Gradients are clipped to so many times the median norm of the setting with the least noise."""


@dataclass(frozen=True)
class Trial:
    """What one setting showed.

    Attributes:
        values: The setting, by dotted name.
        squared_norm: Of its expected gradient, nothing clipped.
        beyond: By how much that is larger than the nearest setting's, on the same batches and clipped likewise.
        loss: Its mean loss on these batches.
        differs: Whether any gradient differs from those of the nearest one.
    """

    values: Values
    squared_norm: Estimate
    beyond: Estimate
    loss: float
    differs: bool


class ExhaustedError(Exception):
    """No more batches may be measured."""


class Contest:
    """Settings that are compared on the same batches.

    Args:
        measure: Measures one of them.
        batches: How many there are.
        most_passes: How many batches may be measured, all settings together.
    """

    def __init__(self, measure: Measure, batches: int, most_passes: int) -> None:
        self.passes, self.left = 0, most_passes
        self._measure, self._batches = measure, batches
        self._known: dict[tuple[tuple[str, Any], ...], Gradients] = {}

    def nearest(self, settings: Sequence[Values]) -> list[Trial]:
        """Return what every setting showed, the nearest to a stationary point first.

        Raises:
            ExhaustedError: There are not as many passes left as the first batches take.
        """
        alive, trials, count = dict(enumerate(settings)), dict[int, Trial](), min(FIRST_BATCHES, self._batches)
        while True:
            found = {number: self._gradients(values, count) for number, values in alive.items()}
            best, trials_now = _compared(alive, found)
            trials |= trials_now
            alive = {n: one for n, one in alive.items() if n == best or trials[n].beyond.errors <= FAR}
            if len(alive) == 1 or count == self._batches or self.left < len(alive) * count:
                others = sorted(trials.keys() - {best}, key=lambda number: trials[number].beyond.errors)
                return [trials[best], *(trials[number] for number in others)]
            count = min(2 * count, self._batches)

    def _gradients(self, values: Values, count: int) -> Gradients:
        key = tuple(sorted(values.items()))
        known = self._known.get(key)
        start = len(known.losses) if known is not None else 0
        if start < count:
            self.count(count - start)
            more = self._measure(values, start, count)
            known = self._known[key] = more if known is None else known + more
        assert known is not None
        return Gradients(known.sketches[:count], known.losses[:count])

    def count(self, passes: int) -> None:
        """Count batches that are going to be measured.

        Raises:
            ExhaustedError: They would be too many.
        """
        if passes > self.left:
            raise ExhaustedError
        self.passes, self.left = self.passes + passes, self.left - passes

    def forget(self) -> None:
        """Forget what was measured: in another metric it is something else."""
        self._known.clear()


def _compared(settings: Mapping[int, Values], found: Mapping[int, Gradients]) -> tuple[int, dict[int, Trial]]:
    """Return the number of the setting that is nearest, and what every one showed."""
    most = _CLIPPED * min(float(one.norms.median()) for one in found.values())
    clipped = {number: one.clipped(most) for number, one in found.items()}
    best = min(settings, key=lambda number: clipped[number].squared_norm.value)
    return best, {
        number: Trial(
            values,
            found[number].squared_norm,
            clipped[number].beyond(clipped[best]),
            float(found[number].losses.mean()),
            not found[number].sketches.equal(found[best].sketches),
        )
        for number, values in settings.items()
    }
