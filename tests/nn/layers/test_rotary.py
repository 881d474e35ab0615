"""Rotary positions inside the mini-batch."""

from __future__ import annotations

import math

import pytest
import torch

from tests.nn.models import tokens
from tttcfg.nn.layers.layer import rotate

HEADS = tokens(2, 12, 8).unsqueeze(1)


def test_positions_start_again_in_every_mini_batch() -> None:
    turned = rotate(HEADS, 4, 10000.0, audio=False)
    for start in (4, 8):
        torch.testing.assert_close(
            turned[:, :, start : start + 4], rotate(HEADS[:, :, start : start + 4], 4, 10000.0, audio=False)
        )
    torch.testing.assert_close(turned[:, :, ::4], HEADS[:, :, ::4], rtol=0, atol=0)


@pytest.mark.parametrize("audio", [False, True])
def test_lengths_stay_and_products_depend_on_the_distance_alone(audio: bool) -> None:
    same = HEADS[:, :, :1].expand(2, 1, 12, 8)
    turned = rotate(same, 12, 100.0, audio)
    torch.testing.assert_close(turned.norm(dim=-1), same.norm(dim=-1))
    products = turned @ turned.mT
    torch.testing.assert_close(products.diagonal(3, -2, -1), products[..., :1, 3].expand(2, 1, 9))


def test_neighbouring_channels_turn_together_and_later_pairs_more_slowly() -> None:
    unit = torch.zeros(1, 1, 2, 4)
    unit[..., 0::2] = 1.0
    angles = torch.tensor([1.0, 1.0 / 10.0])
    expected = torch.stack((angles.cos(), angles.sin()), dim=-1).flatten()
    torch.testing.assert_close(rotate(unit, 2, 100.0, audio=False)[0, 0, 1], expected)


def test_for_audio_the_frequencies_are_scaled_each_by_its_own_factor() -> None:
    unit = torch.zeros(1, 1, 2, 4)
    unit[..., 0::2] = 1.0
    angles = torch.tensor([1.0 * (0.5 + 1.5), 1.0 / 10.0 * (0.5 + 1.5 * math.exp(-1 / 4))])
    expected = torch.stack((angles.cos(), angles.sin()), dim=-1).flatten()
    torch.testing.assert_close(rotate(unit, 2, 100.0, audio=True)[0, 0, 1], expected)


def test_tokens_turn_in_float32_and_are_rounded_back() -> None:
    short = HEADS.bfloat16()
    turned = rotate(short, 4, 100.0, audio=True)
    torch.testing.assert_close(turned, rotate(short.float(), 4, 100.0, audio=True).bfloat16(), rtol=0, atol=0)
