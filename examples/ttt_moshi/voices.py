"""Synthetic speech-like token streams that reward a memory over the whole sequence.

A sequence is one speaker saying words. All speakers share the words (text) and their sound (the first codebook), but
every speaker has a voice, which the weights cannot hold: one acoustic code that is the same in all words, and for every
further codebook a random table from words to codes. A model that remembers a word from earlier in the sequence can
predict how it is said again: a short attention cannot, TTT can.

Everything unpredictable falls on the last step of a word of `WORD` steps: the text token of the next word, and the
acoustic codes of this one. The inner step of TTT is not causal inside its mini-batch: with mini-batches of `WORD`
tokens or a part of it no prediction can look its answer up in a later token of its own mini-batch. With longer ones it
can.

Shown as the model sees them, after the delays (text 0, first codebook 0, acoustic codebooks 1; WORD 8):

    step             0 ............ 7   8 ........... 15   16 ...
    text             PAD ...... word A  PAD ...... word B  PAD
    codebook 0       silence            sound of A ......  sound of B
    codebooks 1...   silence            silence .. voice A silence .. voice B
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

WORD = 8
"""Steps of a word: 0.64 s."""
TEXT_PADDING = 3
FIRST_WORD = 4
"""Text tokens below it have a meaning of their own, as in Moshi."""
SILENCE = 0


class Voices(NamedTuple):
    """A set of sequences, each generated from the seed and its index alone.

    Attributes:
        words: Different words that a speaker says.
        sounds: Different codes in an acoustic codebook, silence apart.
        steps: Tokens of a sequence.
    """

    seed: int
    sequences: int
    words: int
    sounds: int
    steps: int
    codebooks: int

    def sequence(self, index: int) -> Tensor:
        """Return sequence `index` as codes [1 + codebooks, steps], text first."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        said = -(-self.steps // WORD)
        table = torch.randint(1, 1 + self.sounds, (self.codebooks - 1, self.words), generator=random)
        table[:1] = table[:1, :1]
        words = torch.randint(self.words, (said,), generator=random)
        codes = torch.full((1 + self.codebooks, said * WORD), SILENCE)
        codes[0] = TEXT_PADDING
        codes[0, WORD - 1 :: WORD] = FIRST_WORD + words
        spoken = words[:-1]
        codes[1, WORD:] = (1 + 2 * spoken).repeat_interleave(WORD)
        codes[1, 2 * WORD - 2 :: WORD] += 1
        codes[1, 2 * WORD - 1 :: WORD] += 1
        codes[2:, 2 * WORD - 2 :: WORD] = table[:, spoken]  # one step early: the delay moves it to the last
        return codes[:, : self.steps]

    def least_card(self) -> int:
        """Return how many different audio tokens there are."""
        return 1 + max(2 * self.words, self.sounds)

    def least_text_card(self) -> int:
        """Return how many different text tokens there are."""
        return FIRST_WORD + self.words
