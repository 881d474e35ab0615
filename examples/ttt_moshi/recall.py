"""How well a model predicts the tokens of `voices.py` that need a memory, sequence by sequence.

A recalled token is one of the last codebook that repeats how this speaker says a word: the word's sound occurred with
this code earlier in the same sequence. The weights cannot hold it, and a short attention does not reach that far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tttcfg import InputError, Problem, TrainingArgs
from tttcfg.nn import carrying_states

from .data import Dataset
from .evaluation.summary import Mean, mean_of
from .losses import token_losses, token_weights, weighted_means, weighted_sums
from .model import TinyMoshi
from .voices import SILENCE


class Scores(NamedTuple):
    """Figures of every sequence, in the order of the data; None where a sequence recalls nothing.

    Attributes:
        loss: What training minimises, in nats.
        recall_loss: Mean over the recalled tokens, in nats per token.
        recall_accuracy: Share of the recalled tokens that the model finds likeliest.
    """

    loss: list[float]
    recall_loss: list[float | None]
    recall_accuracy: list[float | None]


def recalled(codes: Tensor, stream: int) -> Tensor:
    """Return which tokens of `stream` in `codes` [B, streams, T] are recalled [B, T]; stream 1 holds the sounds."""
    spoken, sounds = codes[:, stream] > SILENCE, codes[:, 1]
    same = (sounds[:, :, None] == sounds[:, None, :]) & spoken[:, None, :]
    return spoken & same.tril(-1).any(dim=-1)


@torch.no_grad()
def score(model: TinyMoshi, data: Dataset, training: TrainingArgs, piece: int | None = None) -> Scores:
    """Return the figures of a model on data.

    Args:
        piece: Give every sequence in pieces of so many tokens, the inner weights carried on; left out, whole.

    Raises:
        InputError: A loss is not finite.
    """
    model.eval()
    device = next(model.parameters()).device
    found = Scores([], [], [])
    for batch in data.batches(training.batch_size):
        codes = batch.codes.to(device)
        with carrying_states(model):
            parts = [_figures(model, one, training) for one in torch.split(codes, piece or codes.shape[2], dim=2)]
        nats, weights, mask, right = (torch.cat(kind, dim=-1) for kind in zip(*parts, strict=True))
        wanted = recalled(codes, model.dep_q) & mask[:, -1]
        found.loss.extend(weighted_means(weighted_sums(nats, weights)).sum(dim=-1).tolist())
        for row, chosen in enumerate(wanted):
            any_wanted = bool(chosen.any())
            found.recall_loss.append(nats[row, -1, chosen].mean().item() if any_wanted else None)
            found.recall_accuracy.append(right[row, chosen].mean().item() if any_wanted else None)
    if not torch.tensor(found.loss).isfinite().all():
        raise InputError(Problem("not_finite", "the model's loss is not finite"))
    return found


def _figures(model: TinyMoshi, codes: Tensor, training: TrainingArgs) -> tuple[Tensor, ...]:
    """Return nats, weights and mask of all tokens [B, streams, t], and which of the last stream are right [B, t]."""
    output = model(codes)
    losses = token_losses(output, codes)
    weights = token_weights(losses, codes, model, training)
    right = output.logits[:, -1].argmax(dim=-1) == codes[:, model.dep_q]
    return losses.nats.double(), weights.double(), losses.mask, right.double()


def paired(one: Sequence[float | None], other: Sequence[float | None]) -> Mean | None:
    """Return the mean difference of `one` from `other`, sequence by sequence; None where no sequence has both."""
    pairs = zip(one, other, strict=True)
    found = [left - right for left, right in pairs if left is not None and right is not None]
    return mean_of(found) if found else None
