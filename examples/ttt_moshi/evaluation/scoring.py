"""Negative log-likelihoods of audio: of a whole sequence, or of a long one in pieces with the state carried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tttcfg import InputError, Place, Problem
from tttcfg.nn import carrying_states

from .streams import Streams

NORMALISATION = "weighted mean per token"


class Losses(NamedTuple):
    """Nats of every token [codebooks, T] (float64), and which positions are valid."""

    nats: Tensor
    mask: Tensor

    def checked(self, what: object) -> Losses:
        """Return these losses, or raise an InputError where a valid one is not finite, or none is valid."""
        bad = (~self.nats.isfinite() & self.mask).any(0).nonzero()
        if len(bad):
            message = f"the model's loss is not finite, at position {int(bad[0])} first"
            raise InputError(Problem("not_finite", message, place=Place(str(what))))
        if not bool(self.mask.any()):
            raise InputError(Problem("empty", "is too short: no token of it can be scored", place=Place(str(what))))
        return self

    def mean(self, weights: Tensor) -> float:
        """Return the mean over all valid tokens, each weighted by its codebook's weight."""
        weight = weights[:, None] * self.mask
        return float(torch.where(self.mask, weights[:, None] * self.nats, 0).sum() / weight.sum())

    def by_position(self, weights: Tensor) -> Tensor:
        """Return the weighted mean over the codebooks at every position at which all of them are valid [T']."""
        whole = self.mask.all(0)
        return (weights[:, None] * self.nats[:, whole]).sum(0) / weights.sum()


def codebook_weights(codebooks: int, first: float) -> Tensor:
    """Return the weight of every codebook (float64): `first_codebook_weight_multiplier` of the first, 1 of the others.

    Raises:
        InputError: All weights are zero.
    """
    weights = torch.ones(codebooks, dtype=torch.float64)
    weights[0] = first
    if not bool(weights.any()):
        message = "is 0, and the audio has one codebook only: nothing would be scored"
        raise InputError(Problem("rejected", message, "first_codebook_weight_multiplier"))
    return weights


def whole(streams: Streams, codes: Tensor) -> Losses:
    """Return the losses of the audio in `codes` [1, n_q + 1, T], all positions at once, from the learned weights."""
    output = streams.model(codes)
    nats = _nats(output.logits[0, streams.scored], codes[0, 1:][streams.scored])
    return Losses(nats, output.mask[0, streams.scored].cpu())


def in_pieces(streams: Streams, codes: Tensor, size: int, after_piece: Callable[[int], None]) -> Losses:
    """Return the losses of one long sequence, `size` positions at a time; attention and inner weights are carried over.

    What goes in at a position is the codes before it, each stream late by its delay, as in moshi's own forward.

    Args:
        after_piece: Called after every piece with the number of positions that are done.
    """
    model, length = streams.model, codes.shape[2]
    delayed = _delayed(streams, codes)
    parts: list[Tensor] = []
    with carrying_states(cast(nn.Module, model)), _streaming(model, size):
        for start in range(0, length, size):
            stop = min(start + size, length)
            hidden, _ = model.forward_text(delayed[:, :, start:stop])
            following = delayed[:, :, start + 1 : stop + 1]
            logits = model.forward_depformer_training(following, hidden)
            parts.append(_nats(logits[0, streams.scored], following[0, 1:][streams.scored]))
            after_piece(stop)
    return _undelayed(torch.cat(parts, dim=1), list(model.delays[1:][streams.scored]))


@contextmanager
def _streaming(model: Any, size: int) -> Iterator[None]:
    """Let the model stream in pieces of `size` positions.

    Moshi's attention keeps keys in a ring as long as its context, and a piece overwrites as many as it has positions:
    its first ones would silently see that much less (moshi 0.2.13: 0.3 nats at pieces of 8 and a context of 64).
    The ring is made when streaming begins, so the context is longer by a piece at that moment, and only then.
    """
    attentions = [getattr(layer, "original_layer", layer).self_attn for layer in model.transformer.layers]
    contexts = [attention.context for attention in attentions]
    try:
        for attention, context in zip(attentions, contexts, strict=True):
            attention.context = context and context + size
        with model.streaming(1):
            for attention, context in zip(attentions, contexts, strict=True):
                attention.context = context
            yield
    finally:
        for attention, context in zip(attentions, contexts, strict=True):
            attention.context = context


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    # A target beyond the card is an initial token, of a position that is dropped when the delays are undone.
    within = targets.clamp(0, logits.shape[-1] - 1)
    nats = cross_entropy(logits.float().flatten(0, 1), within.flatten(), reduction="none")
    return nats.view(targets.shape).cpu().double()


def _delayed(streams: Streams, codes: Tensor) -> Tensor:
    model, length = streams.model, codes.shape[2]
    delayed = codes.new_full((1, codes.shape[1], length + 1), model.initial_token_id)
    delayed[:, 0] = model.text_initial_token_id
    for stream, delay in enumerate(model.delays):
        delayed[:, stream, 1 + delay :] = codes[:, stream, : max(0, length - delay)]
    return delayed


def _undelayed(nats: Tensor, delays: list[int]) -> Losses:
    aligned = torch.zeros_like(nats)
    mask = torch.zeros_like(nats, dtype=torch.bool)
    for codebook, delay in enumerate(delays):
        valid = max(0, nats.shape[1] - delay)
        aligned[codebook, :valid] = nats[codebook, delay:]
        mask[codebook, :valid] = True
    return Losses(aligned, mask)
