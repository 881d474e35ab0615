"""The text stream of a recording: its words, each from the step at which it is said, as the trainer interleaves them.

A transcript lies beside its recording, `a.json` beside `a.wav`, with times in seconds:

    {"alignments": [["hello", [0.48, 0.91], "SPEAKER_MAIN"], ...]}

Only the main speaker's words are Moshi's own text. A word's tokens follow one another from its first step on; the step
before it, where nothing is said, holds the end of padding (moshi-finetune, finetune/data/interleaver.py).
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tttcfg import InputError, Problem

from .tokenizer import FRAME_RATE

KEY = "moshi_paths.tokenizer_path"
MAIN = "SPEAKER_MAIN"
END_OF_PADDING = 0


class Word(NamedTuple):
    """A word of a transcript, and when it begins, in seconds."""

    text: str
    start: float


class TextTokenizer:
    """A sentencepiece model, as Moshi has one.

    Raises:
        InputError: There is no such file, it is no model, the package is missing, or the model of the text stream is
            too small for it.
    """

    def __init__(self, path: Path, text_card: int) -> None:
        if not path.is_file():
            raise InputError(Problem("not_found", "there is no such file", KEY, str(path)))
        try:
            sentencepiece = import_module("sentencepiece")
        except ImportError:
            message = "needs the sentencepiece package: pip install sentencepiece"
            raise InputError(Problem("missing", message, KEY)) from None
        try:
            self.model: Any = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            message = f"is no sentencepiece model: {' '.join(str(error).split())[:200]}"
            raise InputError(Problem("rejected", message, KEY, str(path))) from None
        if self.model.vocab_size() > text_card:
            message = f"has {self.model.vocab_size()} tokens, and the model's text_card is {text_card}"
            raise InputError(Problem("model_config", message, KEY, str(path)))
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def encode(self, word: str) -> list[int]:
        """Return the tokens of a word."""
        found: list[int] = self.model.encode(word)
        return found

    def describe(self) -> dict[str, Any]:
        """Return, as JSON values, what determines the tokens."""
        return {"name": "sentencepiece", "model": f"sha256:{self.digest}"}


def transcript_of(recording: Path) -> Path:
    """Return where the transcript of a recording would lie."""
    return recording.with_suffix(".json")


def read_transcript(path: Path) -> tuple[Word, ...]:
    """Return the main speaker's words in the order in which they begin.

    Raises:
        ValueError: The file is no transcript.
    """
    try:
        alignments = json.loads(path.read_text("utf-8"))["alignments"]
        words = [Word(str(text), float(start)) for text, (start, _), speaker in alignments if speaker == MAIN]
    except (OSError, ValueError, TypeError, KeyError) as error:
        message = f"{path} is no transcript with alignments of text, [start, end] and speaker: {error!r}"
        raise ValueError(message) from None
    return tuple(sorted(words, key=lambda word: word.start))


def text_stream(words: tuple[Word, ...], tokenizer: TextTokenizer, steps: int, padding: int) -> Tensor:
    """Return the text tokens [steps] of a recording, padding where nothing is said."""
    stream, coming, waiting = torch.full((steps,), padding), deque(words), deque[int]()
    for step in range(steps):
        while coming and coming[0].start * FRAME_RATE < step + 1:
            waiting.extend(tokenizer.encode(coming.popleft().text))
        if waiting:
            if step and stream[step - 1] == padding:
                stream[step - 1] = END_OF_PADDING
            stream[step] = waiting.popleft()
    return stream
