"""Cross-entropy of every token in nats, and the weights that moshi-finetune gives to tokens (finetune/loss.py)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tttcfg import TrainingArgs

from .model import LMOutput, TinyMoshi


class Losses(NamedTuple):
    """Per token and stream, text first [B, 1 + dep_q, T]: nats, and whether the token counts at all."""

    nats: Tensor
    mask: Tensor


def token_losses(output: LMOutput, codes: Tensor) -> Losses:
    """Return the loss of every token of `codes` [B, streams, T]; 0 where it is masked."""
    text = _nats(output.text_logits, codes[:, :1], output.text_mask)
    audio = _nats(output.logits, codes[:, 1 : 1 + output.mask.shape[1]], output.mask)
    return Losses(torch.cat([text, audio], dim=1), torch.cat([output.text_mask, output.mask], dim=1))


def _nats(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    logits = torch.where(mask[..., None], logits.float(), torch.zeros((), device=logits.device))
    targets = torch.where(mask, targets, torch.zeros_like(targets))
    return cross_entropy(logits.flatten(0, 2), targets.flatten(), reduction="none").view(mask.shape) * mask


def token_weights(losses: Losses, codes: Tensor, model: TinyMoshi, training: TrainingArgs) -> Tensor:
    """Return what every token counts in the training loss [B, 1 + dep_q, T]."""
    weights = losses.mask.float()
    padding = torch.tensor([model.text_padding_token_id, model.end_of_text_padding_id], device=codes.device)
    weights[:, 0] *= torch.where(torch.isin(codes[:, 0], padding), training.text_padding_weight, 1.0)
    weights[:, 1] *= training.first_codebook_weight_multiplier
    return weights


def training_loss(losses: Losses, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted means of the text's and of the audio's loss; they are added to train."""
    text, audio = weighted_means(weighted_sums(losses.nats, weights).sum(dim=0))
    return text, audio


def weighted_sums(nats: Tensor, weights: Tensor) -> Tensor:
    """Return sums over the tokens of every sequence [B, 2 (text, audio), 2 (weighted nats, weights)]."""
    sums = torch.stack([(nats * weights).sum(dim=-1), weights.sum(dim=-1)], dim=-1)
    return torch.stack([sums[:, 0], sums[:, 1:].sum(dim=1)], dim=1)


def weighted_means(sums: Tensor) -> Tensor:
    """Return the losses of text and of audio [..., 2] of such sums; 0 where nothing counts."""
    nats, weights = sums.unbind(dim=-1)
    return nats / weights.clamp(min=1e-9)
