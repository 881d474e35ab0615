"""Training and evaluation data: a file of JSON lines, as the trainer has it, cut into pieces of `duration_sec`.

A line is an audio file, with the path as seen from the file of lines, or a set of synthetic sequences (`voices.py`).
Durations are in seconds.

    {"path": "a.wav", "duration": 12.3}        (and a.json beside it, its transcript: transcripts.py)
    {"voices": {"seed": 1, "sequences": 1000, "words": 4, "sounds": 8}, "duration": 25.6}
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tttcfg import InputError, Origin, Place, Problem, TrainingArgs

from .evaluation.audio import length_of, read_audio
from .evaluation.identity import digest_in_order
from .evaluation.streams import Tokenizer
from .given_paths import not_found
from .tokenizer import FRAME_RATE, audio_tokenizer
from .transcripts import TextTokenizer, Word, read_transcript, text_stream, transcript_of
from .voices import TEXT_PADDING, Voices

logger = logging.getLogger("ttt_moshi")

SETTINGS = ("seed", "sequences", "words", "sounds")
"""What a set of voices is described by."""
NO_TOKEN = -1
"""Moshi's zero token: nothing goes in, and no loss is counted."""


class Source(NamedTuple):
    """One recording: its name, its length in tokens, and what loads its codes [streams, at most `tokens`]."""

    name: str
    tokens: int
    load: Callable[[], Tensor]


class Batch(NamedTuple):
    """Codes [B, streams, T], and for each of them the recording and the token at which it begins."""

    codes: Tensor
    places: tuple[tuple[str, int], ...]

    def continues(self, before: Batch | None) -> bool:
        """Whether every sequence continues where the one in the same row of the previous batch ended."""
        length = self.codes.shape[2]
        return before is not None and self.places == tuple((name, start + length) for name, start in before.places)


class Dataset:
    """All pieces of all recordings, in order. What is missing at the end of a recording is `NO_TOKEN`.

    Attributes:
        tokens: Length of every piece.
    """

    def __init__(self, sources: list[Source], tokens: int, settings: Mapping[str, Any], files: Sequence[Path]) -> None:
        self.tokens, self._settings, self._files = tokens, settings, files
        self.pieces = [(source, start) for source in sources for start in range(0, source.tokens, tokens)]

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """What determines the pieces, for comparing results; every recording is read for its digest."""
        return {**self._settings, **({"recordings": digest_in_order(self._files)} if self._files else {})}

    def __len__(self) -> int:
        return len(self.pieces)

    def batch(self, indices: list[int]) -> Batch:
        """Return the pieces of those indices."""
        rows = [self._codes(*self.pieces[index]) for index in indices]
        places = tuple((source.name, start) for source, start in (self.pieces[index] for index in indices))
        return Batch(torch.stack(rows), places)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield every piece once; the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield self.batch(list(range(start, min(start + size, len(self)))))

    def training_batch(self, number: int, size: int, shuffle_seed: int | None) -> Batch:
        """Return batch `number` of endless rounds through the pieces, each round in an order of its own if shuffled."""
        wanted = range(number * size, (number + 1) * size)
        return self.batch([_order(len(self), at // len(self), shuffle_seed)[at % len(self)] for at in wanted])

    def _codes(self, source: Source, start: int) -> Tensor:
        codes = source.load()[:, start : start + self.tokens]
        return torch.nn.functional.pad(codes, (0, self.tokens - codes.shape[1]), value=NO_TOKEN)


@lru_cache(maxsize=2)
def _order(count: int, epoch: int, shuffle_seed: int | None) -> list[int]:
    if shuffle_seed is None:
        return list(range(count))
    random = torch.Generator().manual_seed(shuffle_seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=random).tolist()


def open_dataset(
    path: str, key: str, model_config: Mapping[str, Any], training: TrainingArgs, given: Sequence[Origin] = ()
) -> Dataset:
    """Return the data that `path` lists.

    Args:
        key: The setting that names it, for messages.
        given: Who gave the path, the one that counts first, for messages.

    Raises:
        InputError: The file or a recording is missing, a line is none, or nothing is in it; all problems at once.
    """
    if not path:
        raise InputError(Problem("missing", "names no data; give a file of JSON lines", key))
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise InputError(not_found(path, key, error.strerror or str(error), given)) from None
    except UnicodeDecodeError as error:
        raise InputError(Problem("encoding", f"is not UTF-8: {error}", key, Place(path))) from None
    text_tokenizer = None
    if training.moshi_paths.tokenizer_path is not None:
        text_tokenizer = TextTokenizer(Path(training.moshi_paths.tokenizer_path), model_config["text_card"])
    read = _Reader(Path(path).parent, model_config, audio_tokenizer(model_config, training), text_tokenizer)
    lines = [(number, read.sources(line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if wrong := [(number, found) for number, found in lines if isinstance(found, str)]:
        raise InputError(Problem("rejected", message, key, Place(path, number)) for number, message in wrong)
    sources = [source for _, found in lines if not isinstance(found, str) for source in found]
    if not sources:
        raise InputError(Problem("empty", "lists no recording", key, Place(path)))
    described: dict[str, Any] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    described["duration_sec"] = training.duration_sec
    if read.files:
        described["tokenizer"] = read.tokenizer.describe()
    if read.transcripts and text_tokenizer is None:
        logger.warning("%d transcripts are not read: moshi_paths.tokenizer_path names no tokenizer", read.transcripts)
    elif read.transcripts and text_tokenizer is not None:
        described["text_tokenizer"] = text_tokenizer.describe()
    return Dataset(sources, tokens_of(training.duration_sec), described, read.files)


def tokens_of(seconds: float) -> int:
    """Return how many tokens so many seconds are, rounded up as the trainer does."""
    return math.ceil(seconds * FRAME_RATE)


class _Reader:
    """Turns lines into sources, and keeps the files they are read from and the number of transcripts."""

    def __init__(
        self, folder: Path, model_config: Mapping[str, Any], tokenizer: Tokenizer, text: TextTokenizer | None
    ) -> None:
        self.folder, self.tokenizer, self.text = folder, tokenizer, text
        self.files: list[Path] = []
        self.transcripts = 0
        self.streams, self.padding = 1 + model_config["n_q"], model_config.get("existing_text_padding_id", TEXT_PADDING)
        self.text_card = model_config["text_card"]

    def sources(self, line: str) -> list[Source] | str:
        """Return what a line lists, or what is wrong with it."""
        try:
            return self.listed(_object(line))
        except ValueError as error:
            return str(error)

    def listed(self, entry: dict[str, Any]) -> list[Source]:
        tokens = tokens_of(entry["duration"])
        if "path" not in entry:
            return self.voices(entry["voices"], tokens)
        path = self.folder / str(entry["path"])
        if not path.is_file():
            raise ValueError(f"there is no such file: {path}")
        samples, rate = length_of(path)
        if samples / rate < entry["duration"] - 1 / FRAME_RATE:
            raise ValueError(f"has a duration of {entry['duration']} s, and {path} has only {samples / rate:.2f} s")
        tokens = min(tokens, math.ceil(samples * FRAME_RATE / rate))
        self.files.append(path)
        words: tuple[Word, ...] = ()
        if transcript_of(path).is_file():
            self.transcripts += 1
            words = read_transcript(transcript_of(path))
            self.files += [transcript_of(path)] if self.text is not None else []
        return [Source(str(path), tokens, lru_cache(maxsize=1)(partial(self.recording, path, tokens, words)))]

    def recording(self, path: Path, tokens: int, words: tuple[Word, ...]) -> Tensor:
        audio = self.tokenizer.encode(read_audio(path, self.tokenizer.sample_rate))[:, :tokens]
        text = torch.full((1, audio.shape[1]), self.padding)
        if self.text is not None:
            text[0] = text_stream(words, self.text, audio.shape[1], self.padding)
        return self.filled(torch.cat([text, audio]))

    def voices(self, settings: Any, tokens: int) -> list[Source]:
        if not isinstance(settings, dict) or settings.keys() != set(SETTINGS):
            raise ValueError(f"voices has to be a mapping of {', '.join(SETTINGS)}")
        if any(type(value) is not int or value < 1 for value in settings.values()):
            raise ValueError(f"{', '.join(SETTINGS)} of voices have to be whole numbers from 1")
        voices = Voices(**settings, steps=tokens, codebooks=self.tokenizer.codebooks)
        if voices.least_card() > self.tokenizer.card or voices.least_text_card() > self.text_card:
            needed = f"card {voices.least_card()} and text_card {voices.least_text_card()}"
            raise ValueError(f"these voices need {needed}; the model's are smaller")
        name = f"voices-{voices.seed}-"
        return [
            Source(f"{name}{index}", tokens, partial(self.voice, voices, index)) for index in range(voices.sequences)
        ]

    def voice(self, voices: Voices, index: int) -> Tensor:
        return self.filled(voices.sequence(index))

    def filled(self, codes: Tensor) -> Tensor:
        """Return codes with the streams of a user who says nothing, where the model has any."""
        return torch.nn.functional.pad(codes, (0, 0, 0, self.streams - codes.shape[0]), value=NO_TOKEN)


def _object(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from None
    if not isinstance(entry, dict) or ("path" in entry) == ("voices" in entry):
        raise ValueError("has to be a mapping with a path or with voices")
    duration = entry.get("duration")
    if isinstance(duration, bool) or not isinstance(duration, (int, float)) or not 0 < duration < math.inf:
        raise ValueError("has no duration, in seconds")
    return entry
