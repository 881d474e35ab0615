"""A checkpoint gives the same numbers with any configuration file; what is changed on purpose is reported."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from ttt_moshi import eval_from_checkpoint, standard
from ttt_moshi.data import NO_TOKEN, open_dataset
from ttt_moshi.evaluation import compare
from ttt_moshi.evaluation.audio import write_wav
from ttt_moshi.losses import token_losses
from ttt_moshi.make_miniature import make
from ttt_moshi.model import build

import tttcfg
from tests.launcher import python
from tttcfg import InputError

from .conftest import CONFIGS, MODEL, Left, TrainRun, write_json

FOREIGN = sorted((CONFIGS / "foreign").glob("*.yaml"))
PROGRAM = CONFIGS.parent / "eval_from_checkpoint.py"


def evaluate(
    checkpoint: Path, *overrides: str, config: Path | None = None, eval_type: str = "standard"
) -> dict[str, Any]:
    return eval_from_checkpoint.evaluate(str(checkpoint), [str(config)] if config else [], overrides, eval_type)


@pytest.fixture(scope="session")
def own(trained: Path) -> dict[str, Any]:
    """What the run's own configuration gives."""
    return evaluate(trained)


@pytest.mark.parametrize("config", FOREIGN, ids=lambda path: path.stem)
def test_a_foreign_configuration_gives_the_same_numbers_to_the_last_bit(
    here: Path, trained: Path, own: dict[str, Any], config: Path
) -> None:
    found = evaluate(trained, f"data.eval_data={here / 'eval.jsonl'}", config=config)
    assert found["standard"] == own["standard"]
    assert found["configuration"] == own["configuration"]


def test_any_path_into_a_checkpoint_is_that_checkpoint(trained: Path, own: dict[str, Any]) -> None:
    checkpoint = trained / "checkpoints" / "checkpoint_000004"
    for path in (checkpoint, checkpoint / "consolidated", checkpoint / "consolidated" / "training_config.json"):
        assert evaluate(path)["standard"] == own["standard"]


def test_it_logs_what_it_uses_and_what_was_restored(
    here: Path, trained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        evaluate(trained, f"data.eval_data={here / 'eval.jsonl'}", config=CONFIGS / "foreign" / "inner_loop.yaml")
    logged = caplog.messages
    assert logged.index("📋 Loading training config from checkpoint") < logged.index(
        "🔧 Using TTT configuration from checkpoint..."
    )
    assert {"   TTT mini_batch_size: 8", "   TTT layers: 0", "   TTT base_lr: 16.0"} <= set(logged)
    assert "🔧 Using original training batch_size: 2" in logged
    assert any(
        line.startswith("info [restored] ttt.mini_batch_size: is 8 from the checkpoint, not 32") for line in logged
    )


def test_an_override_is_used_and_reported(trained: Path, own: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = evaluate(trained, "ttt.mini_batch_size=4")
    assert found["standard"]["loss"] != own["standard"]["loss"]
    assert found["configuration"]["digest"] != own["configuration"]["digest"]
    assert "🔧 Overridden: ttt.mini_batch_size: 4 instead of 8 (checkpoint)" in caplog.messages
    assert any(line.startswith("warning [deviation] ttt.mini_batch_size") for line in caplog.messages)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_batch_size_that_is_given_counts_even_where_it_is_one(
    trained: Path, own: dict[str, Any], size: int, left: Left
) -> None:
    done = left(eval_from_checkpoint.main, "--checkpoint_dir", trained, "--batch_size", size)
    assert done.code == 0
    assert f"🔧 Using overridden batch_size: {size}" in done.log
    assert json.loads(done.out)["standard"]["loss"] == pytest.approx(own["standard"]["loss"], rel=1e-5)


def test_the_numbers_follow_their_definitions(here: Path, own: dict[str, Any]) -> None:
    found = own["standard"]
    assert found["sequences"] == len(found["per_sequence"]) == 5
    assert (found["text"]["tokens"], found["audio"]["tokens"]) == (5 * 32, 5 * (32 + 31 + 31))
    for stream in (found["text"], found["audio"], *found["codebooks"]):
        assert stream["perplexity"] == pytest.approx(math.exp(stream["loss"]))
    spread = torch.tensor(found["per_sequence"], dtype=torch.float64).std().item() / math.sqrt(5)
    assert found["loss_standard_error"] == pytest.approx(spread)
    effective = tttcfg.resolve(config=here / "config.json", model_config=here / "model.json")
    data = open_dataset(effective.training.data.eval_data, "data.eval_data", MODEL, effective.training)
    model = build(MODEL, effective).eval()
    (batch,) = data.batches(5)
    losses = token_losses(model(batch.codes), batch.codes)
    result = standard.evaluate(model, data, effective.training)
    assert result["text"]["loss"] == pytest.approx(losses.nats[:, 0].mean().item(), rel=1e-5)
    silent = effective.training.model_copy(update={"text_padding_weight": 0.0, "first_codebook_weight_multiplier": 9.0})
    assert standard.evaluate(model, data, silent)["text"] == result["text"]
    assert standard.evaluate(model, data, silent)["loss"] != result["loss"]


def test_an_old_checkpoint_takes_what_the_configuration_file_gives(
    here: Path, trained: Path, own: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of before tttcfg: weights and config.json alone."""
    old = tmp_path / "checkpoint_000004" / "consolidated"
    old.mkdir(parents=True)
    for name in ("consolidated.safetensors", "config.json"):
        shutil.copy(trained / "checkpoints" / "checkpoint_000004" / "consolidated" / name, old)
    strip_metadata(old / "consolidated.safetensors")
    with caplog.at_level(logging.INFO):
        found = evaluate(old, config=here / "config.json")
    assert "📋 No training config in the checkpoint: using the given configuration" in caplog.messages
    assert "🔧 Using given batch_size: 2" in caplog.messages
    assert found["standard"] == own["standard"]


def strip_metadata(path: Path) -> None:
    """Write a weights file again as the old trainer did: with its tensors and nothing else."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    save_file(tensors, path)


def test_a_loss_that_is_not_finite_is_an_error_and_no_number(here: Path) -> None:
    effective = tttcfg.resolve(config=here / "config.json", model_config=here / "model.json")
    data = open_dataset(effective.training.data.eval_data, "data.eval_data", MODEL, effective.training)
    model = build(MODEL, effective)
    with torch.no_grad():
        next(model.parameters())[:] = math.nan
    with pytest.raises(InputError, match=r"eval\.jsonl: the loss of 5 of 5 sequences is NaN or infinite") as caught:
        standard.evaluate(model, data, effective.training)
    assert caught.value.exit_code == 2


def test_it_records_its_data_and_where_they_were_named(
    here: Path, trained: Path, own: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Path(shutil.copy(here / "eval.jsonl", tmp_path / "other.jsonl"))
    config = write_json(tmp_path / "config.json", {"data": {"eval_data": str(other)}})
    with caplog.at_level(logging.INFO):
        found = evaluate(trained, config=config)
    assert f"Data: {other} ({config}:1:11; the training's was {here / 'eval.jsonl'})" in caplog.messages
    assert found["standard"]["data"] == {**own["standard"]["data"], "path": str(other)}
    assert own["standard"]["data"]["path"] == str(here / "eval.jsonl")
    assert compare(found, own).comparable


def test_other_recordings_behind_the_same_lines_are_not_comparable(trained: Path, tmp_path: Path) -> None:
    data = write_json(tmp_path / "eval.jsonl", {"path": "a.wav", "duration": 2.56})

    def of(hertz: float) -> dict[str, Any]:
        samples = 0.1 * torch.sin(torch.arange(61_440) * hertz * 2 * math.pi / 24_000)
        write_wav(tmp_path / "a.wav", samples, 24_000)
        return evaluate(trained, f"data.eval_data={data}")

    one = of(440)
    assert compare(one, of(440)).comparable
    assert [one.partition(": ")[0] for one in compare(one, of(880)).reasons] == ["standard"]


def test_a_sequence_of_which_no_token_counts_is_refused_and_no_loss_of_0(here: Path) -> None:
    effective = tttcfg.resolve(config=here / "config.json", model_config=here / "model.json")
    training = effective.training
    data = open_dataset(training.data.eval_data, "data.eval_data", MODEL, training)
    empty = data.pieces[1][0]
    data.pieces[1] = (empty._replace(load=lambda: torch.full((4, 0), NO_TOKEN)), 0)
    with pytest.raises(InputError, match=f"^{empty.name}: no token from 0 on counts"):
        standard.evaluate(build(MODEL, effective), data, training)


def test_data_that_is_missing_is_an_error_and_no_number(trained: Path) -> None:
    for value, message in (("", "names no data"), ("gone.jsonl", "cannot be read")):
        with pytest.raises(InputError, match=rf"data\.eval_data: {message}"):
            evaluate(trained, f"data.eval_data={value}")


def test_adapters_need_the_base_model_that_they_are_for(here: Path, train_run: TrainRun) -> None:
    base = train_run("eval_base", "ttt.enable=false", "max_steps=2")
    path = base / "checkpoints/checkpoint_000002/consolidated/consolidated.safetensors"
    options = ("full_finetuning=false", "lora.enable=true", "lora.rank=2", "max_steps=2")
    run = train_run("eval_adapters", *options, f"moshi_paths.moshi_path={path}")
    alone = evaluate(run)
    elsewhere = evaluate(run, f"moshi_paths.moshi_path={shutil.copy(path, here / 'moved.safetensors')}")
    assert alone["standard"] == elsewhere["standard"]
    with pytest.raises(InputError, match=r"moshi_paths\.moshi_path: is not set"):
        evaluate(run, "moshi_paths.moshi_path=null", "moshi_paths.hf_repo_id=kyutai/moshiko-pytorch-bf16")


def test_both_evaluations_in_one_result(trained: Path, own: dict[str, Any], tmp_path: Path) -> None:
    config = make(tmp_path / "miniature", speech="tones", minutes=0.1)
    results = eval_from_checkpoint.evaluate(str(trained), [str(config)], [], "both", tmp_path / "results.json")
    assert results["standard"] == own["standard"]
    assert any(entry["status"] == "done" for entry in results["paper_metrics"]["benchmarks"].values())


def test_benchmarks_without_data_are_no_success(trained: Path) -> None:
    assert "not run" in python(PROGRAM, "--checkpoint_dir", trained, "--eval_type", "paper_metrics", code=1).err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("ttt.layers=[1]",), 1, "TTT in layers [0]"),
        (("--batch_size", "0"), 2, "batch_size: 0 is refused"),
        (("--config", "gone.yaml"), 2, "gone.yaml"),
        (("--eval_typ", "both"), 2, "eval_type"),
        (("--output", CONFIGS), 2, f"{CONFIGS}: cannot be written: "),
        (("--output", PROGRAM / "results.json"), 2, f"{PROGRAM / 'results.json'}: cannot be written: "),
    ],
)
def test_what_is_wrong_is_reported_in_a_sentence_with_an_exit_code(
    trained: Path, words: tuple[str, ...], code: int, message: str, left: Left
) -> None:
    done = left(eval_from_checkpoint.main, "--checkpoint_dir", trained, *words)
    assert (done.code, done.out) == (code, "")
    assert message in done.log
    assert "Loss: " not in done.log  # nothing was evaluated for it
