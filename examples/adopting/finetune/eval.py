"""The loss of a batch, and of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch.nn import functional

from finetune.model import LMModel


def compute_loss(model: LMModel, codes: torch.Tensor) -> torch.Tensor:
    output = model(codes)
    text = functional.cross_entropy(output.text_logits.flatten(0, 2).float(), codes[:, :1].flatten())
    audio = functional.cross_entropy(output.logits.flatten(0, 2).float(), codes[:, 1:].flatten())
    return text + audio


def evaluate(model: LMModel, batches: Iterator[torch.Tensor], count: int = 4) -> float:
    model.eval()
    with torch.no_grad():
        return sum(compute_loss(model, codes).item() for codes in islice(batches, count)) / count
