"""Rotary positions inside the mini-batch."""

from __future__ import annotations

import torch

from tests.nn.models import tokens
from tttcfg.nn.rotary import rotate

HEADS = tokens(2, 12, 8).unsqueeze(1)


def test_positions_start_again_in_every_mini_batch() -> None:
    turned = rotate(HEADS, 4, 10000.0)
    for start in (4, 8):
        torch.testing.assert_close(turned[:, :, start : start + 4], rotate(HEADS[:, :, start : start + 4], 4, 10000.0))
    torch.testing.assert_close(turned[:, :, ::4], HEADS[:, :, ::4], rtol=0, atol=0)


def test_lengths_stay_and_products_depend_on_the_distance_alone() -> None:
    same = HEADS[:, :, :1].expand(2, 1, 12, 8)
    turned = rotate(same, 12, 100.0)
    torch.testing.assert_close(turned.norm(dim=-1), same.norm(dim=-1))
    products = turned @ turned.mT
    torch.testing.assert_close(products.diagonal(3, -2, -1), products[..., :1, 3].expand(2, 1, 9))


def test_neighbouring_channels_turn_together_and_later_pairs_more_slowly() -> None:
    unit = torch.zeros(1, 1, 2, 4)
    unit[..., 0::2] = 1.0
    angles = torch.tensor([1.0, 1.0 / 10.0])
    expected = torch.stack((angles.cos(), angles.sin()), dim=-1).flatten()
    torch.testing.assert_close(rotate(unit, 2, 100.0)[0, 0, 1], expected)
