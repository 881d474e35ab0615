"""The small tokenizer distinguishes sounds and describes itself; Mimi is refused where it is not available."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ttt_moshi.tokenizer import MelTokenizer, audio_tokenizer

import tttcfg
from tttcfg import InputError

from .conftest import MODEL


def tone(hertz: float, seconds: float = 1.0) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(int(24_000 * seconds)) / 24_000)


def test_a_second_has_twelve_and_a_half_tokens() -> None:
    codes = MelTokenizer(4, 64).encode(tone(440, 2.0))
    assert codes.shape == (4, 25)
    assert (codes.min() >= 0, codes.max() < 64) == (True, True)


def test_equal_sounds_have_equal_codes_and_others_have_others() -> None:
    tokenizer = MelTokenizer(4, 64)
    low, high, again = (tokenizer.encode(tone(hertz))[:, 3] for hertz in (200, 3000, 200))
    assert low.equal(again)
    assert (low != high).sum() >= 2


def test_speech_uses_many_codes_of_every_codebook() -> None:
    noise = torch.randn(24_000 * 8, generator=torch.Generator().manual_seed(0))
    swell = torch.linspace(0, 0.3, len(noise)) * torch.sin(torch.arange(len(noise)) / 9_000)
    codes = MelTokenizer(2, 64).encode(noise * swell + torch.cat([tone(200 * step) for step in range(1, 9)]))
    assert all(len(line.unique()) > 3 for line in codes)


def test_no_samples_are_one_silent_token() -> None:
    assert MelTokenizer(2, 16).encode(torch.zeros(0)).shape == (2, 1)


def test_mimi_that_is_not_there_is_refused(here: Path) -> None:
    training = tttcfg.resolve(config=here / "config.json", overrides=["moshi_paths.mimi_path=gone"]).training
    with pytest.raises(InputError, match=r"moshi_paths\.mimi_path"):
        audio_tokenizer(MODEL, training)


def test_the_description_names_what_decides_the_codes() -> None:
    described = MelTokenizer(3, 16).describe()
    assert described["name"] == "mel-grid"
    assert (described["codebooks"], described["card"]) == (3, 16)
