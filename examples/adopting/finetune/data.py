"""Batches of token sequences, drawn from the name of the data set, which stands in for encoded audio."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import torch

FRAME_RATE = 12.5


def build_data_loader(
    name: str, lm_config: dict[str, Any], batch_size: int, duration_sec: float, seed: int
) -> Iterator[torch.Tensor]:
    """Yield codes [B, 1 + n_q, T] of sequences that say one short phrase again and again."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) + seed)
    cards = [lm_config["text_card"], *[lm_config["card"]] * lm_config["n_q"]]
    length = int(duration_sec * FRAME_RATE)
    while True:
        phrases = [torch.randint(card, (batch_size, 1, 5), generator=generator) for card in cards]
        yield torch.cat(phrases, dim=1).repeat(1, 1, length // 5 + 1)[..., :length]
