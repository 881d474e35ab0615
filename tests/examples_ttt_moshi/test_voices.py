"""The synthetic speech is repeatable, and what is unpredictable in it falls on the last step of a word."""

from __future__ import annotations

import torch
from ttt_moshi.voices import FIRST_WORD, SILENCE, TEXT_PADDING, WORD, Voices

VOICES = Voices(seed=1, sequences=10, words=3, sounds=8, steps=320, codebooks=3)


def test_a_sequence_depends_on_seed_and_index_alone() -> None:
    assert VOICES.sequence(3).equal(VOICES._replace(sequences=99).sequence(3))
    assert not VOICES.sequence(3).equal(VOICES.sequence(4))
    assert not VOICES.sequence(3).equal(VOICES._replace(seed=2).sequence(3))


def test_a_speaker_says_a_word_in_the_same_way_every_time() -> None:
    codes = VOICES.sequence(0)
    spoken = codes[0, WORD - 1 :: WORD][:-1] - FIRST_WORD
    answers = codes[2:, 2 * WORD - 2 :: WORD]
    for word in range(VOICES.words):
        assert len(torch.unique(answers[:, spoken == word], dim=1)[0]) == 1
    assert len(answers[0].unique()) == 1
    assert len(answers[1].unique()) > 1


def test_speakers_differ() -> None:
    answers = {
        tuple(VOICES.sequence(index)[2:, 2 * WORD - 2 :: WORD].unique(dim=1).flatten().tolist()) for index in range(10)
    }
    assert len(answers) == 10


def test_all_else_is_padding_and_silence() -> None:
    codes = VOICES.sequence(0)
    steps = torch.arange(VOICES.steps)
    assert (codes[0, steps % WORD != WORD - 1] == TEXT_PADDING).all()
    assert (codes[2:, steps % WORD != WORD - 2] == SILENCE).all()
    assert codes[1:].max() < VOICES.least_card()
    assert codes[0].max() < VOICES.least_text_card()
