"""What recovery measures is what training did; and `eval_from_checkpoint.py --recover` as a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ttt_moshi import eval_from_checkpoint
from ttt_moshi.recovery import Trained

import tttcfg

from .conftest import Left, TrainRun

pytestmark = pytest.mark.program

PIECES = ("batch_size=1", "num_microbatches=4", "duration_sec=1.28")
"""Recordings in two pieces each, two of them in a step."""


def measured(run: Path, step: int) -> Trained:
    checkpoint = str(run / "checkpoints" / f"checkpoint_{step:06d}")
    return Trained(checkpoint, tttcfg.resolve(checkpoint))


def logged_loss(run: Path, step: int) -> float:
    lines = (json.loads(line) for line in (run / "metrics.train.jsonl").read_text("utf-8").splitlines())
    return next(float(line["loss"]) for line in lines if line["step"] == step)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("whole", ()), ("pieces", PIECES), ("shuffled", ("data.shuffle=true", "text_padding_weight=0.25"))],
)
def test_the_loss_is_that_of_the_training(name: str, overrides: tuple[str, ...], train_run: TrainRun) -> None:
    """The third step was logged before it changed the weights, which the checkpoint after the second one has."""
    run = train_run(f"recovery_{name}", "log_freq=1", *overrides)
    own = measured(run, 2)
    with torch.no_grad():
        found = float(own.loss(own.model, own.batches(3)[2], own.effective))
    assert found == pytest.approx(logged_loss(run, 3), rel=1e-6)


def test_a_stretch_is_a_step_of_whole_recordings(train_run: TrainRun) -> None:
    own = measured(train_run("recovery_stretches", *PIECES), 4)
    (stretch, _) = own.batches(2)
    assert [batch.places[0][1] for batch in stretch] == [0, 16, 0, 16]
    assert [len(batch.places) for batch in stretch] == [1, 1, 1, 1]


def test_a_run_that_was_hardly_trained_gives_no_answer(trained: Path, left: Left, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    plot, output = tmp_path / "found.svg", tmp_path / "found.json"
    words = ["--checkpoint_dir", trained, "--recover", "ttt.rope_mode,ttt.base_lr", "--batches", 8]
    done = left(eval_from_checkpoint.main, *words, "--plot", plot, "--output", output)
    assert done.code == 1
    assert "not determined: the model is not near a stationary point of this loss on these batches" in done.log
    found = json.loads(output.read_text("utf-8"))
    assert {name: one["outcome"] for name, one in found["settings"].items()} == {
        "ttt.rope_mode": "not_determined",
        "ttt.base_lr": "not_determined",
    }
    assert plot.read_text("utf-8").startswith("<?xml")
    done = left(eval_from_checkpoint.main, *words, "--write")
    assert done.code == 2
    assert "ttt.rope_mode: is recorded as" in done.log, "before the search"
    assert not done.out
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--write"], "--write goes with --recover"),
        (["--batches", "8"], "--batches goes with --recover"),
        (["--recover", "--eval_type", "both"], "--eval_type goes without --recover"),
        (["--recover"], "no computation field is in doubt, and none is asked for"),
        (["--recover", "ttt.mini_batch"], "no setting has this name (did you mean ttt.mini_batch_size?)"),
        (["--recover", "ttt.layers"], "is of the role architecture"),
        (["--recover", "ttt.base_lr", "--batches", "0"], "0 are too few"),
        (["--recover", "ttt.base_lr", "data.train_data=none.jsonl"], "none.jsonl"),
        (["--recover", "ttt.base_lr,ttt.rope_mode", "--write"], "ttt.rope_mode: is recorded as"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_what_cannot_be_recovered_is_said(words: list[str], message: str, trained: Path, left: Left) -> None:
    done = left(eval_from_checkpoint.main, "--checkpoint_dir", trained, *words)
    assert done.code == 2
    assert message in done.log
    assert "Traceback" not in done.log
