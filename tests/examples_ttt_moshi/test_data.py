"""Lines of audio files and voices become pieces of `duration_sec`; all that cannot be read is reported at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def tone(path: Path, seconds: float, hertz: float = 440) -> Path:
    write_wav(path, 0.1 * torch.sin(torch.arange(round(seconds * 24_000)) * hertz * 2 * torch.pi / 24_000), 24_000)
    return path


def lines(path: Path, *entries: dict[str, Any]) -> str:
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), "utf-8")
    return str(path)


@pytest.mark.parametrize(("seconds", "pieces"), [(5.12, 2), (5.14, 3), (2.56, 1)])
def test_a_recording_that_lacks_less_than_a_token_has_no_piece_without_tokens(
    tmp_path: Path, training: TrainingArgs, seconds: float, pieces: int
) -> None:
    tone(tmp_path / "tone.wav", seconds)
    path = lines(tmp_path / "data.jsonl", {"path": "tone.wav", "duration": seconds + 0.05})
    data = open_dataset(path, "data.train_data", MODEL, training)
    assert len(data) == pieces
    assert all((data.batch([piece]).codes != NO_TOKEN).any() for piece in range(pieces))


def test_every_recording_that_is_broken_or_too_short_is_reported_with_its_line(
    tmp_path: Path, training: TrainingArgs
) -> None:
    tone(tmp_path / "good.wav", 4.0)
    tone(tmp_path / "short.wav", 0.2)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:-10])
    (tmp_path / "mp3.wav").write_bytes(b"ID3 some mp3")
    entries = [{"path": f"{name}.wav", "duration": 4.0} for name in ("cut", "good", "short", "mp3")]
    with pytest.raises(InputError) as caught:
        open_dataset(lines(tmp_path / "data.jsonl", *entries), "data.train_data", MODEL, training)
    where, key = tmp_path / "data.jsonl", "data.train_data"
    cut = "is truncated: its b'data' chunk has 191990 of 192000 bytes"
    assert str(caught.value).splitlines() == [
        f"{where}:1: {key}: {tmp_path / 'cut.wav'}: {cut}",
        f"{where}:3: {key}: has a duration of 4.0 s, and {tmp_path / 'short.wav'} has only 0.20 s",
        f"{where}:4: {key}: {tmp_path / 'mp3.wav'}: is not a WAV file: it does not begin with RIFF and WAVE",
    ]


def test_the_description_differs_when_recordings_are_exchanged(tmp_path: Path, training: TrainingArgs) -> None:
    def described(one: float, other: float) -> Mapping[str, Any]:
        tone(tmp_path / "a.wav", 2.56, one)
        tone(tmp_path / "b.wav", 2.56, other)
        entries = [{"path": f"{name}.wav", "duration": 2.56} for name in "ab"]
        path = lines(tmp_path / "data.jsonl", *entries)
        return open_dataset(path, "data.eval_data", MODEL, training).description

    first = described(440, 880)
    assert first["recordings"].startswith("sha256:")
    assert described(440, 880) == first
    assert described(440, 500) != first != described(880, 440)


def test_a_silent_user_has_no_tokens(training: TrainingArgs) -> None:
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
    ("line", "message"),
    [
        ('{"path": "gone.wav", "duration": 1}', "no such file"),
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
def test_an_invalid_line_is_reported_with_its_place(
    tmp_path: Path, training: TrainingArgs, line: str, message: str
) -> None:
    (tmp_path / "data.jsonl").write_text(f"\n{line}\n", "utf-8")
    with pytest.raises(InputError, match=rf"data\.jsonl:2: data\.train_data: .*{message}"):
        open_dataset(str(tmp_path / "data.jsonl"), "data.train_data", MODEL, training)


@pytest.mark.parametrize("lies_beside", [True, False])
def test_a_path_begins_where_the_program_is_started_and_a_file_beside_the_configuration_is_suggested(
    tmp_path: Path, training: TrainingArgs, monkeypatch: pytest.MonkeyPatch, lies_beside: bool
) -> None:
    started, configs = tmp_path / "started", tmp_path / "configs"
    for folder in (started, configs):
        folder.mkdir()
    config = write_json(configs / "mine.json", {"data": {"eval_data": "mine.jsonl"}})
    voices = {"seed": 1, "sequences": 2, "words": 3, "sounds": 8}
    write_json((configs if lies_beside else started) / "mine.jsonl", {"voices": voices, "duration": 2.56})
    monkeypatch.chdir(started)
    given = tttcfg.resolve(config=config).origins["data.eval_data"]
    if not lies_beside:
        assert len(open_dataset("mine.jsonl", "data.eval_data", MODEL, training, given)) == 2
        return
    with pytest.raises(InputError) as caught:
        open_dataset("mine.jsonl", "data.eval_data", MODEL, training, given)
    assert str(caught.value) == (
        "mine.jsonl: data.eval_data: cannot be read: No such file or directory; paths are relative to the "
        f"working directory, so it was looked for at {started / 'mine.jsonl'} (did you mean {configs / 'mine.jsonl'}?)"
    )


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
