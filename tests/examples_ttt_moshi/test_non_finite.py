"""A run that computes NaN or infinity stops, saves nothing of it, and reports where to continue from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ttt_moshi.non_finite import NonFiniteGuard

from tests.launcher import python
from tttcfg import InputError

from .conftest import CONFIGS, TrainRun

LOSSES = torch.tensor([1.0, 2.0])
BROKEN = ("optim.lr=1e30", "ckpt_freq=1")


def checkpoints(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").glob("checkpoint_*"))


def test_a_loss_that_is_not_finite_stops_the_run_with_a_sentence_and_exit_code_2(here: Path) -> None:
    run = here / "broken"
    words = ("--config", here / "config.json", f"run_dir={run}", *BROKEN)
    error = python(CONFIGS.parent / "train.py", *words, code=2).err
    assert f"error: {run}: step 2: the loss is nan (text nan, audio nan); the run stops here" in error
    held = run / "checkpoints" / "checkpoint_000001"
    assert f"there is no good checkpoint; {held} holds the weights that this came of" in error
    assert "Traceback" not in error
    assert checkpoints(run) == ["checkpoint_000001"]


def test_a_run_that_was_good_so_far_names_the_checkpoint_to_go_on_from(trained: Path, train_run: TrainRun) -> None:
    """The learning rate gets too high after the checkpoint that is resumed."""
    good = trained / "checkpoints" / "checkpoint_000002"
    with pytest.raises(InputError, match=f"step 4: .* good checkpoint is {good}; .*_000003 "):
        train_run("broken_later", f"resume_from={good}", *BROKEN)
    assert checkpoints(good.parent.parent.parent / "broken_later") == ["checkpoint_000003"]


def test_weights_that_are_not_finite_are_not_saved(train_run: TrainRun, here: Path) -> None:
    with pytest.raises(InputError, match=r"step 1: it left NaN or infinity in .* more; the run stops here"):
        train_run("overflowing", "optim.weight_decay=1e50", "max_steps=1")
    assert not list((here / "overflowing").rglob("*.safetensors"))


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite_stop_a_run_of_a_finite_loss(tmp_path: Path, norm: float) -> None:
    with pytest.raises(InputError, match=f"step 7: the loss is 3.0000, and the norm of its gradients is {norm};"):
        NonFiniteGuard(tmp_path).check_step(7, LOSSES, norm)


def test_a_checkpoint_is_good_once_its_weights_had_a_finite_loss(tmp_path: Path) -> None:
    watch, first, second = NonFiniteGuard(tmp_path), tmp_path / "first", tmp_path / "second"
    first.mkdir()
    watch.saved(first)
    watch.check_step(2, LOSSES, 1.0)
    watch.saved(second)
    broken = torch.tensor([1.0, float("inf")])
    with pytest.raises(InputError, match=f"is inf .* the last good checkpoint is {first}; {second} holds the weights"):
        watch.check_step(3, broken, 1.0)
    first.rmdir()  # as pruning does
    with pytest.raises(InputError, match="no good checkpoint"):
        watch.check_step(3, broken, 1.0)


def test_an_evaluation_that_is_not_finite_is_reported_and_the_next_step_stops_the_run(
    train_run: TrainRun, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError, match="step 2: the loss"):
        train_run("unevaluated", *BROKEN, "do_eval=true", "eval_freq=1")
    (logged,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert logged.startswith("step 1: the evaluation failed")
    assert logged.endswith("there is no result")
    assert checkpoints(here / "unevaluated") == ["checkpoint_000001"]
