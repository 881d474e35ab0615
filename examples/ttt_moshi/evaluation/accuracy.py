"""The share of pairs whose good recording is likelier than the bad one."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from torch import Tensor

from tttcfg import InputError, Problem

from .identity import digest
from .pairs import Pair, sampled
from .scoring import whole
from .streams import Streams
from .summary import interval_of

CHANCE = 0.5
INTERVAL = "Wilson, 95 %, pairs taken as independent"
_LETTERS = {1.0: "1", 0.0: "0", 0.5: "="}


def accuracy(
    streams: Streams, weights: Tensor, pairs: list[Pair], most: int | None, gold_csv: Path | None
) -> dict[str, Any]:
    """Score pairs and return the figures of their result.

    A pair counts 1 if the good recording has the smaller negative log-likelihood, 0 if it has the larger one, and a
    half if they are equal. The likelihood is the weighted mean per token, so that length does not make a recording less
    likely. Every recording starts from the learned inner weights; the first is scored again at the end, which must give
    the same value.

    Raises:
        InputError: A recording cannot be scored.
    """
    taken = sampled(pairs, most)
    outcomes: list[float] = []
    unequal = 0
    first = 0.0
    by_kind: dict[str, list[float]] = defaultdict(list)
    for pair in taken:
        good, good_length = _score(streams, weights, pair.good)
        bad, bad_length = _score(streams, weights, pair.bad)
        first = first if outcomes else good
        outcomes.append(0.5 if good == bad else float(good < bad))
        by_kind[pair.kind].append(outcomes[-1])
        unequal += good_length != bad_length
    again = _score(streams, weights, taken[0].good)[0]
    if not math.isclose(again, first, rel_tol=1e-6):
        message = f"scored {first} at first and {again} at the end: the model carries state from one item to the next"
        raise InputError(Problem("contradiction", message, place=str(taken[0].good)))
    share = _share(outcomes)
    low, high = interval_of(share, len(outcomes))
    return {
        "accuracy": share,
        "interval": {"low": low, "high": high, "definition": INTERVAL},
        "chance": CHANCE,
        "pairs": len(taken),
        "pairs_available": len(pairs),
        "ties": outcomes.count(0.5),
        "unequal_lengths": unequal,
        "by_type": {kind: _share(values) for kind, values in sorted(by_kind.items()) if kind},
        "outcomes": "".join(_LETTERS[outcome] for outcome in outcomes),
        "data": {
            "audio": digest(path for pair in taken for path in (pair.good, pair.bad)),
            "gold": gold_csv and f"sha256:{hashlib.sha256(gold_csv.read_bytes()).hexdigest()}",
        },
    }


def _share(outcomes: list[float]) -> float:
    return sum(outcomes) / len(outcomes)


def _score(streams: Streams, weights: Tensor, path: Path) -> tuple[float, int]:
    """Return a recording's negative log-likelihood in nats per token, and its length in positions."""
    codes = streams.codes([path])
    return whole(streams, codes).checked(path).mean(weights), codes.shape[2]
