"""The standard evaluation: loss and perplexity of every stream, over all of the data."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tttcfg import InputError, Problem, TrainingArgs

from .data import Batch, Dataset
from .evaluation.summary import mean_of
from .losses import token_losses, token_weights, weighted_means, weighted_sums
from .model import TinyMoshi


def evaluate(model: TinyMoshi, data: Dataset, training: TrainingArgs) -> dict[str, Any]:
    """Return the losses of a model on data, as JSON values, in nats.

    `loss` is what training minimises, with its weights; everything else counts every token once. A perplexity is the
    exponential of a mean in nats. `per_sequence` is `loss` of each piece of `duration_sec`, in the order of the data,
    so that two results can be compared piece by piece. `data` has their path, and what determines the pieces.

    Raises:
        InputError: A loss or a perplexity is not finite, or a piece has no token that counts.
    """
    device = next(model.parameters()).device
    sums = _Sums(1 + model.dep_q)
    with _evaluating(model), torch.no_grad():
        for batch in data.batches(training.batch_size):
            codes = batch.codes.to(device)
            losses = token_losses(model(codes), codes)
            weights = token_weights(losses, codes, model, training)
            _require_tokens(weights, batch)
            sums.add(losses.nats, losses.mask, weights)
    found = sums.result()
    _require_finite(found, training)
    return {"data": {"path": training.data.eval_data, **data.description}, **found}


def _require_tokens(weights: Tensor, batch: Batch) -> None:
    for counts, (name, start) in zip(weights.any(dim=-1).any(dim=-1).tolist(), batch.places, strict=True):
        if not counts:
            message = f"no token from {start} on counts in the loss, so there is no result"
            raise InputError(Problem("empty", message, place=name))


def _require_finite(found: dict[str, Any], training: TrainingArgs) -> None:
    losses = found["per_sequence"]
    wrong = sum(not math.isfinite(loss) for loss in losses)
    if wrong:
        message = f"the loss of {wrong} of {len(losses)} sequences is NaN or infinite, so there is no result"
        raise InputError(Problem("not_finite", message, place=training.data.eval_data))
    streams = [found["text"], found["audio"], *found["codebooks"]]
    numbers = [found["loss"], *(one[name] for one in streams if one["tokens"] for name in ("loss", "perplexity"))]
    if not all(map(math.isfinite, numbers)):
        message = "a loss or perplexity over all sequences is NaN or infinite, so there is no result"
        raise InputError(Problem("not_finite", message, place=training.data.eval_data))


@contextmanager
def _evaluating(model: TinyMoshi) -> Iterator[None]:
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


class _Sums:
    """Adds up over the batches in float64, sequence by sequence, so that the batch size changes no rounding here."""

    def __init__(self, streams: int) -> None:
        self.nats = torch.zeros(streams, dtype=torch.float64)
        self.tokens = torch.zeros(streams, dtype=torch.int64)
        self.weighted: list[Tensor] = []  # by sequence, as `weighted_sums` has them

    def add(self, nats: Tensor, mask: Tensor, weights: Tensor) -> None:
        nats, mask, weights = nats.double().cpu(), mask.cpu(), weights.double().cpu()
        for row in range(len(nats)):
            self.nats += nats[row].sum(dim=-1)
            self.tokens += mask[row].sum(dim=-1)
            self.weighted.append(weighted_sums(nats[row, None], weights[row, None])[0])

    def result(self) -> dict[str, Any]:
        weighted = torch.stack(self.weighted)
        losses = weighted_means(weighted).sum(dim=-1)
        codebooks = [_stream(nats, tokens) for nats, tokens in zip(self.nats[1:], self.tokens[1:], strict=True)]
        return {
            "loss": weighted_means(weighted.sum(dim=0)).sum().item(),
            "loss_standard_error": mean_of(losses.tolist()).standard_error,
            "sequences": len(losses),
            "text": _stream(self.nats[0], self.tokens[0]),
            "audio": _stream(self.nats[1:].sum(), self.tokens[1:].sum()),
            "codebooks": codebooks,
            "per_sequence": losses.tolist(),
        }


def _stream(nats: Tensor, tokens: Tensor) -> dict[str, Any]:
    """Return loss and perplexity of so many tokens; null where there are none."""
    if not tokens:
        return {"loss": None, "perplexity": None, "tokens": 0}
    loss = nats.item() / int(tokens)
    perplexity = math.exp(loss) if loss < math.log(sys.float_info.max) else math.inf
    return {"loss": loss, "perplexity": perplexity, "tokens": int(tokens)}
