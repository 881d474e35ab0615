"""The loss along long sequences, and the checks that `librilight.streaming` asks for."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ttt_moshi.evaluation import evaluate, long_context
from ttt_moshi.evaluation.audio import write_wav
from ttt_moshi.evaluation.figure import draw
from ttt_moshi.evaluation.long_context import PIECE, piece_of
from ttt_moshi.model import build

from tests.examples_evaluation.conftest import MODEL, Resolve
from tttcfg.ttt_moshi.evaluation import Streaming

Read = Callable[..., dict[str, Any]]
PREFIX = "evaluation.librilight"


@pytest.fixture
def read(model: Any, tokenizer: Any, resolve: Resolve, miniature: Path) -> Read:
    """Read a book of the miniature, with settings under `evaluation.librilight`."""

    def found(settings: dict[str, Any] | None = None, figure_dir: Path | None = None, **others: Any) -> dict[str, Any]:
        given = {f"{PREFIX}.audio_dir": str(miniature / "books"), **others.get("overrides", {})}
        given |= {f"{PREFIX}.{key}": value for key, value in (settings or {}).items()}
        return evaluate(others.get("model", model), tokenizer, resolve(given), figure_dir=figure_dir)["benchmarks"][
            "librilight"
        ]

    return found


def test_a_sequence_that_ends_before_a_position_has_no_loss_there(read: Read) -> None:
    entry = read()
    length = entry["sequences"][0]["positions"]
    assert entry["loss"] == {place: {"status": "too short", "longest": length} for place in ("8k", "16k", "24k")}
    assert entry["slope"]["sequences"] == 1
    assert entry["slope"]["mean"] == entry["sequences"][0]["slope"]
    assert entry["sequences"][0]["curve"][-1][0] <= length


class Coarse:
    """A tokenizer of 8 samples to a position, with which a long sequence takes little memory."""

    sample_rate, codebooks, card = 100, 2, 64

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        return (32 + 31 * samples.view(-1, 8)[:, :2].T).long()

    def describe(self) -> dict[str, Any]:
        return {"name": "coarse"}


def test_a_long_sequence_has_a_loss_where_it_is_long_enough(model: Any, resolve: Resolve, tmp_path: Path) -> None:
    """Ten minutes and 43 seconds of a tone: 8,040 positions."""
    write_wav(tmp_path / "tone.wav", torch.sin(torch.arange(8_040 * 8) / 7), 100)
    settings = {"evaluation.long_context.audio_dir": str(tmp_path), "ttt.mini_batch_size": 4}
    entry = evaluate(model, Coarse(), resolve(settings))["benchmarks"]["long_context"]
    assert entry["loss"]["8k"]["status"] == "done"
    assert entry["loss"]["8k"]["mean"] == pytest.approx(entry["sequences"][0]["curve"][7][1])
    assert entry["loss"]["16k"] == {"status": "too short", "longest": entry["sequences"][0]["positions"]}


def test_sequences_are_cut_as_configured(read: Read) -> None:
    entry = read({"streaming.max_sequence_length": 40})
    assert entry["max_positions"] == 40
    assert entry["sequences"][0]["positions"] == 39  # at the last one the codebook that comes a step late has no loss


def test_all_checks_of_streaming_are_made_and_recorded(
    read: Read, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(long_context, "PIECE", 8)
    names = ("ttt_verification", "verify_loss_computation", "memory_check")
    settings = {f"streaming.{name}": True for name in names}
    entry = read({**settings, "streaming.memory_log_interval": 100, "streaming.cache_clear_interval": 64})
    assert entry["checks"].keys() == {"inner_weights", "loss_computed_twice", "peak_memory_bytes"}
    assert entry["checks"]["inner_weights"] == "change with every piece"
    assert entry["checks"]["loss_computed_twice"] < 1e-4
    assert entry["checks"]["peak_memory_bytes"] > 1_000_000
    assert sum("peak memory" in line for line in caplog.messages) == entry["sequences"][0]["positions"] // 100


def test_inner_weights_that_do_not_go_on_are_reported(read: Read, resolve: Resolve) -> None:
    overrides = {"ttt.persistent_states": "never"}
    model = build(MODEL, resolve(overrides))
    entry = read({"streaming.ttt_verification": True}, model=model, overrides=overrides)
    assert entry["checks"]["inner_weights"] == "start afresh with every piece: ttt.persistent_states is never"


def test_inner_weights_that_stay_as_they_are_are_an_error(read: Read, model: Any) -> None:
    ttt = model.transformer.layers[1].seq_modeling_block.ttt_layer.ttt
    with torch.no_grad():
        ttt.learnable_ttt_lr_bias.fill_(-1e9)
    entry = read({"streaming.ttt_verification": True})
    assert entry["status"] == "error"
    assert "the inner weights stay as they are" in entry["problems"][0]


def test_frame_by_frame_no_position_sees_a_later_one(read: Read) -> None:
    entry = read({"streaming.enabled": True, "streaming.max_sequence_length": 30})
    assert entry["piece"] == 1
    assert entry["causal"] is True


def test_a_piece_is_made_of_whole_mini_batches() -> None:
    assert [piece_of(size, Streaming()) for size in (None, 1, 3, 600)] == [PIECE, PIECE, 510, 600]
    assert piece_of(5, Streaming(enabled=True)) == 1


def test_a_loss_that_is_not_finite_names_the_sequence_and_the_position(read: Read, model: Any) -> None:
    with torch.no_grad():
        model.linears[1].weight.fill_(torch.inf)
    entry = read()
    assert entry["status"] == "error"
    assert "at position 0 first" in entry["problems"][0]


def test_the_result_records_a_missing_matplotlib(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    entry = read(figure_dir=tmp_path)
    assert entry["status"] == "done"
    assert entry["figure"] == "not drawn (matplotlib is not installed)"
    assert read()["figure"] == "not drawn (no folder was given)"


def test_with_matplotlib_the_curves_are_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / "a.png"
    assert draw({"one": [(1_000, 2.0), (9_000, 1.5)], "empty": []}, path) == "a.png"
    assert path.read_bytes().startswith(b"\x89PNG")
