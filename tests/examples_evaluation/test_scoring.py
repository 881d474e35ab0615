"""What goes into the model, and that its losses are those of the audio, whole or in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ttt_moshi.evaluation.audio import read_audio
from ttt_moshi.evaluation.scoring import codebook_weights, in_pieces, whole
from ttt_moshi.evaluation.streams import streams_of
from ttt_moshi.model import TinyMoshi, build
from ttt_moshi.tokenizer import MelTokenizer

import tttcfg.nn
from tests.examples_evaluation.conftest import MODEL, Resolve
from tttcfg import InputError
from tttcfg.ttt_moshi.evaluation import EvaluationArgs

PADDING, ZERO = 3, -1
DEPFORMER = {
    "dim": 32,
    "dim_feedforward": 64,
    "num_heads": 2,
    "num_layers": 1,
    "multi_linear": True,
    "context": 2,
    "gating": "silu",
    "pos_emb": "none",
    "weights_per_step": True,
}
"""A small depformer for the real moshi's model."""


@pytest.fixture
def recording(miniature: Path) -> Path:
    return min((miniature / "sstory").glob("*.wav"))


def codes(model: Any, tokenizer: Any, recording: Path, **settings: bool) -> torch.Tensor:
    return streams_of(model, tokenizer, EvaluationArgs(**settings)).codes([recording])[0]


def test_audio_goes_to_moshis_own_streams_and_nothing_to_the_others(
    model: Any, tokenizer: Any, recording: Path
) -> None:
    found = codes(model, tokenizer, recording)
    assert (found[0] == PADDING).all()
    assert torch.equal(found[1:3], tokenizer.encode(read_audio(recording, tokenizer.sample_rate)))
    assert (found[3:] == ZERO).all()


def test_silence_is_what_the_tokenizer_makes_of_it(model: Any, tokenizer: Any, recording: Path) -> None:
    found = codes(model, tokenizer, recording, use_silence=True)
    silence = tokenizer.encode(torch.zeros(found.shape[1] * 1920))
    assert torch.equal(found[3:], silence[:, : found.shape[1]])
    assert torch.equal(found[1:3], codes(model, tokenizer, recording)[1:3])


def test_audio_goes_to_the_users_streams_on_request(model: Any, tokenizer: Any, recording: Path) -> None:
    found = codes(model, tokenizer, recording, use_user_stream=True)
    assert torch.equal(found[3:], codes(model, tokenizer, recording)[1:3])
    assert (found[1:3] == ZERO).all()


def test_a_model_of_one_speaker_has_no_other_streams(recording: Path) -> None:
    model = TinyMoshi({**MODEL, "n_q": 2, "dep_q": 2, "delays": [0, 0, 1]})
    streams = streams_of(model, MelTokenizer(2, 64), EvaluationArgs(use_silence=True))
    assert streams.other == "absent"
    assert streams.codes([recording]).shape[1] == 3


@pytest.mark.parametrize(
    ("changes", "codebooks", "use_user_stream", "message"),
    [
        ({"dep_q": 2}, 2, True, "evaluation.use_user_stream: the model predicts 2 of its 4 audio streams"),
        ({"n_q": 2, "dep_q": 2, "delays": [0, 0, 1]}, 2, True, "evaluation.use_user_stream: the model predicts 2 of"),
        ({"dep_q": 1}, 2, False, "the model predicts 1 of its 4 audio streams"),
        ({}, 3, False, "the tokenizer gives 3 codebooks of 64 tokens, and the model has 4 audio streams of 64"),
        (
            {"card": 32},
            2,
            False,
            "the tokenizer gives 2 codebooks of 64 tokens, and the model has 4 audio streams of 32",
        ),
    ],
)
def test_a_tokenizer_and_a_model_that_do_not_fit_are_refused(
    changes: dict[str, Any], codebooks: int, use_user_stream: bool, message: str
) -> None:
    model = TinyMoshi({**MODEL, **changes})
    with pytest.raises(InputError) as raised:
        streams_of(model, MelTokenizer(codebooks, 64), EvaluationArgs(use_user_stream=use_user_stream))
    assert str(raised.value).startswith(message)


def test_long_recordings_are_joined_and_cut(model: Any, tokenizer: Any, recording: Path) -> None:
    streams = streams_of(model, tokenizer, EvaluationArgs())
    one = streams.codes([recording])
    length = one.shape[2]
    assert torch.equal(streams.codes([recording] * 3), torch.cat([one] * 3, dim=2))
    assert torch.equal(streams.codes([recording] * 3, length + 2), torch.cat([one] * 2, dim=2)[:, :, : length + 2])


@torch.no_grad()
def test_the_loss_is_the_models_own_weighted_by_codebook(model: Any, tokenizer: Any, recording: Path) -> None:
    streams = streams_of(model, tokenizer, EvaluationArgs())
    given = streams.codes([recording])
    output = model(given)
    likely = output.logits[0, :2].double().log_softmax(-1)
    first = -likely[0].gather(-1, given[0, 1, :, None]).sum()
    second = -likely[1, :-1].gather(-1, given[0, 2, :-1, None]).sum()
    length = given.shape[2]
    mean = whole(streams, given).mean(codebook_weights(2, 3.0))
    assert mean == pytest.approx(float(3 * first + second) / (3 * length + length - 1), rel=1e-5)


@pytest.mark.parametrize("size", [4, 8, 20, 1_000])
@pytest.mark.parametrize("use_user_stream", [False, True])
@torch.no_grad()
def test_pieces_of_whole_mini_batches_give_the_losses_of_the_whole(
    model: Any, tokenizer: Any, recording: Path, size: int, use_user_stream: bool
) -> None:
    streams = streams_of(model, tokenizer, EvaluationArgs(use_user_stream=use_user_stream))
    given = streams.codes([recording] * 3)
    assert given.shape[2] > MODEL["context"]
    done: list[int] = []
    pieces, at_once = in_pieces(streams, given, size, done.append), whole(streams, given)
    assert torch.equal(pieces.mask, at_once.mask)
    assert torch.allclose(pieces.nats[pieces.mask], at_once.nats[at_once.mask], atol=1e-4)
    assert done == [*range(size, given.shape[2], size), given.shape[2]]


@torch.no_grad()
def test_pieces_without_persistent_states_differ_from_the_whole(
    resolve: Resolve, tokenizer: Any, recording: Path
) -> None:
    settings = {"ttt.persistent_states": "never", "ttt.initial_gating_alpha": 1.0}
    streams = streams_of(build(MODEL, resolve(settings)), tokenizer, EvaluationArgs())
    given = streams.codes([recording])
    pieces, at_once = in_pieces(streams, given, 8, lambda _: None), whole(streams, given)
    difference = (pieces.nats - at_once.nats)[at_once.mask].abs()
    assert difference[:8].max() < 1e-4
    assert difference.max() > 1e-3


def test_weights_of_nothing_are_refused() -> None:
    assert codebook_weights(2, 0.0).tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="nothing would be scored"):
        codebook_weights(1, 0.0)


@torch.no_grad()
def test_the_real_moshi_is_scored_in_pieces_as_it_is_as_a_whole(
    resolve: Resolve, tokenizer: Any, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beyond its context, where moshi's own ring of keys would let a piece's first positions see less."""
    monkeypatch.setenv("NO_TORCH_COMPILE", "1")
    lm = pytest.importorskip("moshi.models.lm", exc_type=ImportError)
    small = {f"depformer_{name}": value for name, value in DEPFORMER.items()}
    names = {"gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope"}
    model = lm.LMModel(**{**MODEL, "dep_q": 2}, **small, **names, causal=True, max_period=10_000).eval()
    effective = resolve({"ttt.initial_gating_alpha": 1.0})
    tttcfg.nn.add_ttt(model.transformer.layers, effective.ttt)
    streams = streams_of(model, tokenizer, EvaluationArgs())
    given = streams.codes([recording] * 4)
    assert given.shape[2] > 2 * MODEL["context"]
    at_once = whole(streams, given).checked(recording)
    for size in (8, MODEL["context"] + 4):
        pieces = in_pieces(streams, given, size, lambda _: None)
        assert torch.equal(pieces.mask, at_once.mask)
        assert torch.allclose(pieces.nats[pieces.mask], at_once.nats[at_once.mask], atol=1e-4)
