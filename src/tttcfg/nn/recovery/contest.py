"""Which of several settings is nearest to a stationary point, with as few batches as it takes.

A setting takes part as a mapping from dotted names to values. All are measured on the same batches: on a few first, and
on twice as many as long as more than one could be the nearest. One that is far off after a few is left at that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tttcfg.nn.recovery.stationarity import Estimate, Gradients, Products

Values = Mapping[str, Any]
Key = tuple[tuple[str, str], ...]
Measure = Callable[[Values, int, int], Gradients]
"""Returns the gradients under a setting, of the batches from one number to another."""
FIRST_BATCHES = 8
SEPARATED = 3.0
"""An answer leaves out values that are so many standard errors further from a stationary point than the best."""
_MOST_KEPT = 1 << 30
"""The most bytes of sketches that are kept of settings which take part in nothing at the moment."""
_ROUGH = 4, 16
"""The first batches and the most that are measured where the answer is only where to search on."""
_FAR, _FEW = 4.0, 4.0
_SURELY = 2.0
"""The nearest is the setting whose squared norm with so many standard errors added is the smallest: where there is so
much noise that nothing can be seen, nothing is near."""
_CLIPPED = 4.0
"""Gradients that are compared are clipped to so many times the median norm of the setting with the least noise, and to
tell which is nearest each setting's to so many times its own: clipped to that of another, mere noise would be small."""


@dataclass(frozen=True)
class Trial:
    """What one setting showed.

    Attributes:
        values: The setting, by dotted name.
        squared_norm: Of its expected gradient, nothing clipped.
        beyond: By how much that is larger than the setting's with which it is compared, on the same batches and clipped
            likewise. With other weights of the loss gradients are scaled to the same median norm first, as weights
            that make all of them short bring nothing nearer.
        unclipped: The same without clipping, which may turn a comparison round where gradients are skewed.
        rest: What the squared norm of the setting with which it is compared is surely smaller than, clipped likewise. A
            rest of a gradient that no training gets rid of moves the norm of a setting that hardly differs up or down,
            by less than itself, and much more surely than that it is there.
        bound: What the squared norm, scaled and clipped to what is usual under this setting, is surely smaller than.
        loss: Its mean loss on the first batches, which are the same for all.
        differs: Whether any gradient differs from those of the setting with which it is compared.
    """

    values: Values
    squared_norm: Estimate
    beyond: Estimate
    unclipped: Estimate
    rest: float
    bound: float
    loss: float
    differs: bool

    @property
    def is_apart(self) -> bool:
        """Whether it is surely further from a stationary point than what it is compared with."""
        return self.is_beyond(SEPARATED)

    @property
    def is_nearer(self) -> bool:
        """Whether it is surely nearer to a stationary point than what it is compared with."""
        its_rest = self.rest + self.beyond.value
        return self.beyond.errors <= -SEPARATED and -self.beyond.value > its_rest and self.unclipped.errors < 0

    @property
    def least_beyond(self) -> float:
        """By how much more the squared norm is surely larger."""
        return self.beyond.value - _SURELY * self.beyond.error

    def is_beyond(self, errors: float) -> bool:
        """Whether it is further by so many standard errors and by more than a rest, and without clipping, too."""
        return self.beyond.errors >= errors and self.beyond.value > self.rest and self.unclipped.errors > 0


class ExhaustedError(Exception):
    """No more batches may be measured."""


def far(batches: int) -> float:
    """Return how many standard errors behind the nearest setting one takes no further part.

    More than what an answer needs, as it is looked at several times, and the more the fewer the batches are, of which
    standard errors are estimated themselves: 6 for 8 batches, 4.5 for 32.
    """
    return _FAR * (1 + _FEW / batches)


class Contest:
    """Settings that are compared on the same batches.

    Args:
        measure: Measures one of them.
        batches: How many there are, on this rank.
        most_passes: How many batches may be measured, all settings together.
        counted: Called with the number of batches whenever some are going to be measured.
        loss_fields: Those that decide nothing but what the loss is.
    """

    def __init__(
        self,
        measure: Measure,
        batches: int,
        most_passes: int,
        counted: Callable[[int], None],
        loss_fields: Collection[str] = (),
    ) -> None:
        self.passes, self.left, self._loss_fields = 0, most_passes, loss_fields
        self.batches, self._measure, self._counted, self._ranks = batches, measure, counted, 1
        self._known: dict[Key, Gradients] = {}

    def nearest(self, settings: Sequence[Values], *, rough: bool = False) -> list[Trial]:
        """Return what every setting showed compared with the nearest to a stationary point, which comes first.

        Args:
            rough: Measure fewer batches: of several that are close, any may come first.

        Raises:
            ExhaustedError: There are not as many passes left as the first batches take.
        """
        return self._measured(settings, rough=rough, about=None)

    def about(self, settings: Sequence[Values], *, rough: bool = False) -> list[Trial]:
        """Return what every setting showed compared with the first one, which comes first, and may not be the nearest.

        Args:
            rough: Measure fewer batches.

        Raises:
            ExhaustedError: There are not as many passes left as the first batches take.
        """
        return self._measured(settings, rough=rough, about=0)

    def _measured(self, settings: Sequence[Values], *, rough: bool, about: int | None) -> list[Trial]:
        """Measure settings until one is left, or all batches were measured.

        Args:
            about: The number of the setting with which all are compared; by default the nearest.
        """
        first, most = _ROUGH if rough else (FIRST_BATCHES, self.batches)
        count, most = min(first, self.batches), min(most, self.batches)
        alive, trials = dict(enumerate(settings)), dict[int, Trial]()
        while True:
            self._tidy(alive.values())
            found = {number: self.gradients(values, count) for number, values in alive.items()}
            best, trials_now = self._compared(alive, found, about)
            trials |= trials_now
            limit = far(len(found[best].losses))
            alive = {n: one for n, one in alive.items() if n == best or not trials[n].is_beyond(limit)}
            decided = len(alive) == 1 and (rough or about is None)  # with which all are compared is measured in full
            if decided or count == most or self.left < len(alive) * count:
                others = sorted(trials.keys() - {best}, key=lambda number: trials[number].beyond.errors)
                return [trials[best], *(trials[number] for number in others)]
            count = min(2 * count, most)

    def _compared(
        self, settings: Mapping[int, Values], found: Mapping[int, Gradients], about: int | None
    ) -> tuple[int, dict[int, Trial]]:
        """Return the number of the setting that is surely nearest, or of the one given, and what every one showed."""
        first = next(iter(settings))
        own = {number: [values.get(name) for name in self._loss_fields] for number, values in settings.items()}
        scaled: dict[int, Products] = {
            number: one if own[number] == own[first] else one.scaled_to(found[first]) for number, one in found.items()
        }
        most = _limit(scaled.values())
        clipped = {number: one.clipped(most) for number, one in scaled.items()}
        bounds = {
            number: one.clipped(_limit([one])).squared_norm.surely(_SURELY) if one.median_norm else math.inf
            for number, one in scaled.items()
        }
        best = min(bounds, key=bounds.__getitem__) if about is None else about
        rest = clipped[best].squared_norm.surely(_SURELY)
        return best, {
            number: Trial(
                values,
                found[number].squared_norm,
                _beyond(clipped[number], clipped[best]),
                _beyond(scaled[number], scaled[best]),
                rest,
                bounds[number],
                float(found[number].losses[: FIRST_BATCHES * self._ranks].mean()),
                not found[number].sketches.equal(found[best].sketches),
            )
            for number, values in settings.items()
        }

    def gradients(self, values: Values, count: int) -> Gradients:
        """Return the gradients of a setting, of so many batches; measured are those that were not before.

        Raises:
            ExhaustedError: They would be too many.
        """
        known = self._known.get(key_of(values))
        start = self._count(known)
        if start < count:
            self.count(count - start)
            more = _by_batch(self._measure(values, start, count), count - start)
            self._ranks = len(more.losses) // (count - start)
            known = self._known[key_of(values)] = more if known is None else known + more
        assert known is not None  # as what is asked for is a batch or more
        if self._count(known) == count:
            return known  # with the inner products that it has
        return Gradients(known.sketches[: count * self._ranks], known.losses[: count * self._ranks])

    def _tidy(self, needed: Collection[Values]) -> None:
        """Forget what was measured longest ago and is not needed, where that takes too much memory."""
        keys = {key_of(values) for values in needed}
        for key in keys & self._known.keys():
            self._known[key] = self._known.pop(key)  # as the last
        kept = sum(found.sketches.nbytes for found in self._known.values())
        for key in [key for key in self._known if key not in keys]:
            if kept <= _MOST_KEPT:
                return
            kept -= self._known.pop(key).sketches.nbytes

    def _count(self, known: Gradients | None) -> int:
        """Return of how many batches on this rank gradients are known."""
        return 0 if known is None else len(known.losses) // self._ranks

    def count(self, passes: int) -> None:
        """Count batches that are going to be measured.

        Raises:
            ExhaustedError: They would be too many.
        """
        if passes > self.left:
            raise ExhaustedError
        self.passes, self.left = self.passes + passes, self.left - passes
        self._counted(passes)

    def forget(self) -> None:
        """Forget what was measured: in another metric it is something else."""
        self._known.clear()

    def interplay(self, here: Values, one: Values, other: Values) -> float:
        """Return how far two changes of a setting move the expected gradient along one line, 0 to 1.

        Where they do, one may make up for the other, and the two have to be changed together.
        """
        base, *moved = (found.sketches.double() for found in self._shared(here, one, other))
        moves = [sketches - base for sketches in moved]
        squares = [_mean_product(move, move) for move in moves]
        if not all(square > 0 for square in squares):
            return 0.0
        return min(1.0, abs(_mean_product(*moves)) / math.sqrt(squares[0] * squares[1]))

    def most_moved(self, here: Values, other: Values) -> float:
        """Return what the squared norm of the move of the expected gradient to another setting is surely smaller than.

        The move is clipped to what is usual for gradients here.
        """
        base, moved = self._shared(here, other)
        move = Gradients(moved.sketches - base.sketches, moved.losses)
        return move.clipped(_limit([base])).squared_norm.surely(_SURELY)

    def _shared(self, *settings: Values) -> list[Gradients]:
        """Return the gradients of settings, of the batches that all have; of one that was forgotten, again."""
        counts = [self._count(self._known.get(key_of(values))) for values in settings]
        least = min([one for one in counts if one], default=min(_ROUGH[0], self.batches))
        return [self.gradients(values, least) for values in settings]


def _by_batch(found: Gradients, batches: int) -> Gradients:
    """Return gradients that are ordered by rank and then by batch, by batch and then by rank."""
    order = torch.arange(len(found.losses)).view(-1, batches).T.reshape(-1)
    return Gradients(found.sketches[order], found.losses[order])


def _beyond(one: Products, other: Products) -> Estimate:
    """Return by how much one squared norm is larger; infinitely where nothing that is trained decides the loss."""
    if one.median_norm == 0 < other.median_norm:
        return Estimate(math.inf, math.inf, len(one.norms))
    return one.beyond(other)


def key_of(values: Values) -> Key:
    """Return what is equal for equal settings, whatever the order of their fields."""
    return tuple(sorted((name, repr(value)) for name, value in values.items()))


def _limit(found: Collection[Products]) -> float:
    """Return the norm that gradients are clipped to."""
    medians = (one.median_norm for one in found)
    return _CLIPPED * min((one for one in medians if 0 < one < math.inf), default=math.inf)


def _mean_product(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the inner product of two expected gradients, from disjoint batches."""
    products = one @ other.T
    count = len(products)
    return float((products.sum() - products.diagonal().sum()) / (count * (count - 1)))
