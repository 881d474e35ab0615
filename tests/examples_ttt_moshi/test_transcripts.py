"""Transcripts beside recordings become the text stream, where a text tokenizer is named."""

from __future__ import annotations

import json
import logging
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from ttt_moshi.data import open_dataset
from ttt_moshi.evaluation.audio import write_wav
from ttt_moshi.transcripts import TextTokenizer, Word, read_transcript, text_stream

import tttcfg
from tttcfg import InputError

from .conftest import MODEL, write_json

needs_sentencepiece = pytest.mark.skipif(find_spec("sentencepiece") is None, reason="needs the sentencepiece package")
ALIGNMENTS = [
    ["two", [0.4, 0.6], "SPEAKER_MAIN"],
    ["no", [0.0, 0.2], "SPEAKER_OTHER"],
    ["one", [0.17, 0.3], "SPEAKER_MAIN"],
]
PADDING = 3


class Letters:
    """Replaces a tokenizer: a token for every letter."""

    def encode(self, word: str) -> list[int]:
        return [ord(letter) - ord("a") + 4 for letter in word]


def stream(*words: Word, steps: int = 8) -> list[int]:
    tokenizer: Any = Letters()
    found: list[int] = text_stream(words, tokenizer, steps, PADDING).tolist()
    return found


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Lines that list one recording of a second, with a transcript beside it."""
    write_wav(tmp_path / "a.wav", torch.zeros(24_000), 24_000)
    write_json(tmp_path / "a.json", {"alignments": ALIGNMENTS})
    return write_json(tmp_path / "data.jsonl", {"path": "a.wav", "duration": 1.0})


def test_a_word_begins_at_its_step_after_the_end_of_padding() -> None:
    assert stream(Word("ab", 0.25)) == [3, 3, 0, 4, 5, 3, 3, 3]
    assert stream(Word("ab", 0.0)) == [4, 5, 3, 3, 3, 3, 3, 3]


def test_words_that_are_spoken_faster_than_their_tokens_follow_one_another() -> None:
    assert stream(Word("abc", 0.08), Word("de", 0.16)) == [0, 4, 5, 6, 7, 8, 3, 3]
    assert stream(Word("abc", 0.08), Word("d", 0.4)) == [0, 4, 5, 6, 0, 7, 3, 3]


def test_what_is_spoken_after_the_end_is_left_out() -> None:
    assert stream(Word("abc", 0.08), Word("z", 9.0), steps=3) == [0, 4, 5]


def test_only_the_main_speakers_words_are_read_in_their_order(listed: Path) -> None:
    assert read_transcript(listed.parent / "a.json") == (Word("one", 0.17), Word("two", 0.4))


@pytest.mark.parametrize("text", ["{", "[]", '{"alignments": [["a", 0.5, "SPEAKER_MAIN"]]}'])
def test_an_invalid_transcript_is_reported_before_anything_is_trained(
    listed: Path, effective: tttcfg.Effective, text: str
) -> None:
    (listed.parent / "a.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"data\.jsonl:1: data\.train_data: .*a\.json is no transcript"):
        open_dataset(str(listed), "data.train_data", MODEL, effective.training)


def test_without_a_tokenizer_the_log_reports_that_transcripts_are_not_read(
    listed: Path, effective: tttcfg.Effective, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = open_dataset(str(listed), "data.train_data", MODEL, effective.training)
    assert "1 transcripts are not read: moshi_paths.tokenizer_path names no tokenizer" in caplog.messages
    assert set(data.batch([0]).codes[0, 0, :12].tolist()) == {PADDING}


@needs_sentencepiece
def test_a_sentencepiece_model_gives_the_text_stream(listed: Path, effective: tttcfg.Effective, tmp_path: Path) -> None:
    sentencepiece = import_module("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("one two\n" * 20, "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "words"), vocab_size=10, minloglevel=2
    )
    paths = effective.training.moshi_paths.model_copy(update={"tokenizer_path": str(tmp_path / "words.model")})
    training = effective.training.model_copy(update={"moshi_paths": paths})
    data = open_dataset(str(listed), "data.train_data", MODEL, training)
    model = TextTokenizer(tmp_path / "words.model", 16).model
    spoken = [token for token in data.batch([0]).codes[0, 0].tolist() if token not in (PADDING, 0, -1)]
    assert model.decode(spoken) == "one two"
    described = json.loads(json.dumps(data.description))
    assert described["text_tokenizer"]["name"] == "sentencepiece"
    write_json(tmp_path / "a.json", {"alignments": ALIGNMENTS[:1]})
    other = open_dataset(str(listed), "data.train_data", MODEL, training)
    assert other.description["recordings"] != described["recordings"]
    with pytest.raises(InputError, match="has 10 tokens, and the model's text_card is 8"):
        TextTokenizer(tmp_path / "words.model", 8)


def test_a_tokenizer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"moshi_paths\.tokenizer_path: there is no"):
        TextTokenizer(tmp_path / "gone.model", 16)


@needs_sentencepiece
def test_a_file_that_is_no_model_is_refused(listed: Path) -> None:
    with pytest.raises(InputError, match="is no sentencepiece model"):
        TextTokenizer(listed, 16)
