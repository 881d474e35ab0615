"""Rotary positions inside the mini-batch."""

from __future__ import annotations

import torch


def rotate(tokens: torch.Tensor, mini_batch_size: int, theta: float) -> torch.Tensor:
    """Return tokens [B, H, L, d] turned by their position, which starts again in every mini-batch.

    Neighbouring channels are a pair, of which the n-th turns by position * theta ** (-2 n / d), as ttt-video-dit does
    by complex numbers. The Moshi trainer counts positions modulo the mini-batch, as ttt-lm-pytorch does; it is said
    to scale the frequencies further for audio, by constants that nobody recorded, which are left out here.
    """
    length, width = tokens.shape[-2:]
    positions = torch.arange(length, device=tokens.device, dtype=tokens.dtype) % mini_batch_size
    exponents = torch.arange(0, width, 2, device=tokens.device, dtype=tokens.dtype) / width
    angles = torch.outer(positions, theta**-exponents)
    cosine, sine = angles.cos(), angles.sin()
    even, odd = tokens[..., 0::2], tokens[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1).flatten(-2)
