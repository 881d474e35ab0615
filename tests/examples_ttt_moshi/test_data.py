"""Lines of audio files and voices become pieces of `duration_sec`; what cannot be read is told, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ttt_moshi.data import NO_TOKEN, open_dataset
from ttt_moshi.evaluation.audio import write_wav

import tttcfg
from tttcfg import InputError, TrainingArgs

from .conftest import MODEL, write_json


@pytest.fixture
def training(effective: tttcfg.Effective) -> TrainingArgs:
    return effective.training


def test_a_recording_is_cut_into_pieces_and_its_end_is_no_token(tmp_path: Path, training: TrainingArgs) -> None:
    write_wav(tmp_path / "tone.wav", torch.sin(torch.arange(24_000 * 4) / 20), 24_000)
    path = write_json(tmp_path / "data.jsonl", {"path": "tone.wav", "duration": 4.0})
    data = open_dataset(str(path), "data.train_data", MODEL, training)
    batch = data.batch([0, 1])
    assert (len(data), batch.codes.shape) == (2, (2, 4, 32))
    assert [start for _, start in batch.places] == [0, 32]
    assert (batch.codes[1, :, 18:] == NO_TOKEN).all()
    assert (batch.codes[1, :, :18] != NO_TOKEN).all()
    assert data.description["tokenizer"]["name"] == "mel-grid"


def test_a_user_who_says_nothing_has_no_tokens(training: TrainingArgs) -> None:
    config = {**MODEL, "n_q": 6, "dep_q": 3, "delays": [0] * 7}
    codes = open_dataset(training.data.eval_data, "data.eval_data", config, training).batch([0]).codes
    assert (codes[:, 4:] == NO_TOKEN).all()
    assert (codes[:, :4] != NO_TOKEN).all()


def test_batches_hold_every_piece_once(training: TrainingArgs) -> None:
    data = open_dataset(training.data.eval_data, "data.eval_data", MODEL, training)
    assert [len(batch.codes) for batch in data.batches(2)] == [2, 2, 1]


def test_training_goes_round_and_round_in_an_order_of_its_own(training: TrainingArgs) -> None:
    data = open_dataset(training.data.eval_data, "data.eval_data", MODEL, training)
    names = [data.training_batch(number, 1, shuffle_seed=3).places[0][0] for number in range(10)]
    assert sorted(names[:5]) == sorted(names[5:]) == [f"voices-2-{index}" for index in range(5)]
    assert names[:5] != names[5:]
    assert names == [data.training_batch(number, 1, shuffle_seed=3).places[0][0] for number in range(10)]


def test_a_batch_knows_what_it_continues(tmp_path: Path, training: TrainingArgs) -> None:
    voices = {"seed": 1, "sequences": 2, "words": 3, "sounds": 8}
    path = write_json(tmp_path / "long.jsonl", {"voices": voices, "duration": 5.12})
    data = open_dataset(str(path), "data.train_data", MODEL, training)
    first, second, third = (data.batch([index]) for index in range(3))
    assert second.continues(first)
    assert not third.continues(second)
    assert not first.continues(None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"path": "gone.wav", "duration": 1}', "there is no such file"),
        ('{"path": "gone.wav"}', "has no duration, in seconds"),
        ('{"duration": 1}', "has to be a mapping with a path or with voices"),
        ("nothing", "is no JSON"),
        ('{"voices": {"seed": 1}, "duration": 1}', "has to be a mapping of seed, sequences, words, sounds"),
        (
            '{"voices": {"seed": 1, "sequences": 1, "words": 9, "sounds": 8}, "duration": 1}',
            "need card 19 and text_card 13",
        ),
    ],
)
def test_a_line_that_is_none_is_told_with_its_place(
    tmp_path: Path, training: TrainingArgs, line: str, said: str
) -> None:
    (tmp_path / "data.jsonl").write_text(f"\n{line}\n", "utf-8")
    with pytest.raises(InputError, match=rf"data\.jsonl:2: data\.train_data: .*{said}"):
        open_dataset(str(tmp_path / "data.jsonl"), "data.train_data", MODEL, training)


def test_missing_and_empty_data_are_errors(tmp_path: Path, training: TrainingArgs) -> None:
    (tmp_path / "empty.jsonl").touch()
    for path, code in (
        ("", "missing"),
        (str(tmp_path / "gone.jsonl"), "not_found"),
        (str(tmp_path / "empty.jsonl"), "empty"),
    ):
        with pytest.raises(InputError) as caught:
            open_dataset(path, "data.eval_data", MODEL, training)
        assert [problem.code for problem in caught.value.problems] == [code]
