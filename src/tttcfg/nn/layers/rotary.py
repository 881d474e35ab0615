"""Rotary positions inside the mini-batch."""

from __future__ import annotations

import torch


def rotate(tokens: torch.Tensor, mini_batch_size: int, theta: float, audio: bool) -> torch.Tensor:
    """Return tokens [B, H, L, d] turned by their position, which starts again in every mini-batch.

    Neighbouring channels are a complex number, of which the i-th turns by position * theta ** (-2 i / d), as in
    ttt-video-dit; positions modulo the mini-batch, as in ttt-lm-pytorch. Turned in float32, and rounded to the dtype
    of the tokens.

    Args:
        audio: Whether the i-th frequency is scaled by 0.5 + 1.5 * exp(-i / d), as in the Moshi trainer.
    """
    length, width = tokens.shape[-2:]
    device = tokens.device
    positions = torch.arange(length, device=device, dtype=torch.float32) % mini_batch_size
    pairs = torch.arange(width // 2, device=device, dtype=torch.float32)
    frequencies = theta ** (-2 * pairs / width)
    if audio:
        frequencies = frequencies * (0.5 + 1.5 * torch.exp(-pairs / width))
    angles = torch.outer(positions, frequencies)
    cosine, sine = angles.cos(), angles.sin()
    even, odd = tokens[..., 0::2].float(), tokens[..., 1::2].float()
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(tokens.dtype)
