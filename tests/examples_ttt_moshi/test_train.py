"""Training is repeatable, saves what it was configured with, and goes on from a checkpoint as if never stopped."""

from __future__ import annotations

import json
import logging
import math
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from ttt_moshi import train
from ttt_moshi.evaluation import read
from ttt_moshi.make_miniature import make
from ttt_moshi.model import TinyMoshi, build
from ttt_moshi.optimizer import make_optimizer, make_schedule

import tttcfg
from tests.launcher import python
from tttcfg import InputError

from .conftest import CONFIGS, MODEL, Left, TrainRun, write_json

pytestmark = pytest.mark.program

EXAMPLES = CONFIGS.parent.parent
REFUSED = [
    ("ttt.layers=[7]", 1, "layers [7] do not exist"),
    ("optim.lr=fast", 2, "optim.lr"),
    ("frobnicate", 2, "KEY=VALUE"),
]


def weights(run: Path, step: int = 4) -> dict[str, torch.Tensor]:
    (file,) = (run / "checkpoints" / f"checkpoint_{step:06d}" / "consolidated").glob("*[a-d].safetensors")
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def figures(run: Path, kind: str = "train") -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / f"metrics.{kind}.jsonl").read_text("utf-8").splitlines()]


def test_every_checkpoint_carries_its_configuration_and_its_tensors_prove_it(trained: Path) -> None:
    for step in (2, 4):
        checkpoint = trained / "checkpoints" / f"checkpoint_{step:06d}"
        verification = tttcfg.verify(checkpoint)
        verdicts = {verdict.outcome for name, verdict in verification.verdicts.items() if name in verification.proved}
        assert (verification.dialect, verification.binding, verdicts) == ("ttt_moshi", "bound", {"verified"})
        assert tttcfg.resolve(checkpoint).training.ttt.base_lr == 16.0


def test_training_again_gives_the_same_weights_to_the_last_bit(trained: Path, train_run: TrainRun) -> None:
    assert same(weights(trained), weights(train_run("again")))
    assert not same(weights(trained), weights(train_run("seed", "seed=1")))


def test_a_resumed_run_ends_where_it_would_have_ended(trained: Path, train_run: TrainRun) -> None:
    resumed = train_run("resumed", f"resume_from={trained / 'checkpoints' / 'checkpoint_000002'}")
    assert [one["step"] for one in figures(resumed)] == [3, 4]
    assert same(weights(resumed), weights(trained))


def test_resuming_can_start_the_steps_and_the_gates_anew(trained: Path, train_run: TrainRun) -> None:
    options = ("reset_step=true", "reset_optimizer=true", "ttt.override_gating_alpha_on_resume=true", "optim.lr=0")
    run = train_run("anew", f"resume_from={trained}", *options)
    assert [one["step"] for one in figures(run)] == [1, 2, 3, 4]
    assert weights(run)["transformer.layers.0.seq_modeling_block.forward_ssm_gating.gating_alpha"].eq(1.0).all()


def test_a_resumed_run_follows_its_own_learning_rates_and_schedule(trained: Path, train_run: TrainRun) -> None:
    """What the optimiser's state was saved with is not what an override asks for."""
    start = f"resume_from={trained / 'checkpoints' / 'checkpoint_000002'}"
    options = ("max_steps=6", "optim.lr=0.001", "optim.weight_decay=0.2", "do_ckpt=false")
    whole, resumed = train_run("whole_schedule", *options), train_run("resumed_schedule", start, *options)
    rates = {one["step"]: one["lr"] for one in figures(whole)}
    assert {one["step"]: one["lr"] for one in figures(resumed)} == {step: rates[step] for step in (3, 4, 5, 6)}


def test_ranks_that_were_not_launched_are_not_saved(train_run: TrainRun, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run = train_run("typed_ranks", "world_size=8", "max_steps=1")
    assert tttcfg.resolve(run).training.world_size == 1
    assert "🔧 Overridden: world_size: 1 instead of None (default)" in caplog.messages


def test_microbatches_add_up_to_one_batch(train_run: TrainRun) -> None:
    whole, parts = train_run("whole", "batch_size=4"), train_run("parts", "num_microbatches=2")
    losses = [[one["loss"] for one in figures(run)] for run in (whole, parts)]
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=1e-4, atol=1e-4)


def test_recomputing_activations_changes_nothing(trained: Path, train_run: TrainRun) -> None:
    assert same(weights(trained), weights(train_run("kept", "gradient_checkpointing=false")))


def test_states_go_on_inside_a_file_only(here: Path, train_run: TrainRun) -> None:
    """One file of four pieces: the second loss differs where the state of the first piece is continued."""
    voices = {"seed": 1, "sequences": 1, "words": 3, "sounds": 8}
    data = f"data.train_data={write_json(here / 'long.jsonl', {'voices': voices, 'duration': 10.24})}"
    common = (data, "batch_size=1", "do_ckpt=false", "max_steps=2", "optim.lr=0")
    continued, anew = (
        figures(train_run(f"states_{on}", *common, f"ttt.persistent_states={on}")) for on in ("each_sequence", "never")
    )
    assert continued[0]["loss"] == anew[0]["loss"]
    assert continued[1]["loss"] != anew[1]["loss"]
    across = figures(train_run("across", *common, "duration_sec=10.24", "ttt.reset_on_new_file=false"))
    assert across[0]["loss"] != across[1]["loss"]


def test_lora_trains_adapters_and_ttt_on_a_base_model(trained: Path, train_run: TrainRun) -> None:
    base = train_run("base", "ttt.enable=false", "max_steps=2")
    path = base / "checkpoints/checkpoint_000002/consolidated/consolidated.safetensors"
    options = ("full_finetuning=false", "lora.enable=true", "lora.rank=2", f"moshi_paths.moshi_path={path}")
    adapters = weights(train_run("adapters", *options))
    assert any("lora_A" in name for name in adapters)
    assert any("seq_modeling_block.ttt_layer" in name for name in adapters)
    assert not any("frozen_W" in name for name in adapters)
    merged = weights(train_run("merged", *options, "save_adapters=false"))
    assert merged.keys() == weights(trained).keys()
    unfrozen = weights(train_run("unfrozen", *options, "ttt.unfrozen_attention_layers=[1]", "lora.ft_embed=true"))
    assert unfrozen.keys() - adapters.keys() == {
        "text_emb.weight",
        *(f"emb.{index}.weight" for index in range(3)),
        *(f"transformer.layers.1.self_attn.{way}_projs.0.frozen_W.weight" for way in ("in", "out")),
    }


def test_groups_have_their_own_learning_rates_and_betas_stay(here: Path) -> None:
    overrides = ["ttt.weight_lr_multiplier=10", "ttt.alpha_lr_multiplier=100", "optim.betas=[0.8,0.9]"]
    effective = tttcfg.resolve(config=here / "config.json", model_config=here / "model.json", overrides=overrides)
    model = build(MODEL, effective)
    optimiser = make_optimizer(model, effective.training)
    schedule = make_schedule(optimiser, effective.training)
    highest: dict[str, float] = {}
    for _ in range(4):
        for group in optimiser.param_groups:
            highest[group["name"]] = max(highest.get(group["name"], 0.0), group["lr"])
            assert group["betas"] == (0.8, 0.9)
        optimiser.step()
        schedule.step()
    assert {name: round(rate / highest["base"], 6) for name, rate in highest.items()} == {
        "base": 1.0,
        "ttt_weights": 10.0,
        "ttt_alpha": 100.0,
    }


def test_it_evaluates_while_it_trains_and_logs_its_progress(
    train_run: TrainRun, caplog: pytest.LogCaptureFixture
) -> None:
    diagnostics = ("ttt.enable_training_diagnostics=true", "ttt.training_diagnostic_frequency=2")
    with caplog.at_level(logging.INFO):
        run = train_run("talking", "do_eval=true", "eval_freq=2", *diagnostics)
    assert [one["step"] for one in figures(run, "eval")] == [2, 4]
    logged = caplog.messages
    assert "✅ TTT mini_batch_size saved: 8" in logged
    assert "✅ Batch size saved: 2" in logged
    assert "Saved training config to training_config.json" in logged
    assert sum(line.startswith("gradient norms: ") for line in logged) == 2


def test_it_runs_the_benchmarks_while_it_trains(here: Path, tmp_path: Path) -> None:
    miniature = make(tmp_path / "miniature", speech="tones", minutes=0.1)
    overrides = [f"run_dir={tmp_path / 'run'}", "evaluation.enable=true", "evaluation.freq=2", "do_ckpt=false"]
    train.train([str(here / "config.json"), str(miniature)], overrides)
    for step in (2, 4):
        results = read(tmp_path / "run" / f"evaluation_{step:06d}" / "results.json")
        assert results["paper_metrics"]["benchmarks"]["sblimp"]["status"] == "done"


def test_an_evaluation_that_fails_ends_no_training_and_the_exit_code_is_1(
    here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a recording whose header is whole and whose samples are not."""
    recording = tmp_path / "broken.wav"
    kind = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 24_000, 96_000, 4, 32)
    body = kind + struct.pack("<4sI", b"data", 96_000) + struct.pack("<f", math.nan) * 24_000
    recording.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WAVE") + body)
    data = write_json(tmp_path / "eval.jsonl", {"path": "broken.wav", "duration": 1.0})
    overrides = [f"run_dir={tmp_path / 'run'}", f"data.eval_data={data}", "do_eval=true", "eval_freq=2"]
    assert train.train([str(here / "config.json")], overrides) == 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"step {step}: the evaluation failed, and the training continues: {recording}: has non-finite samples"
        for step in (2, 4)
    ]
    assert tttcfg.verify(tmp_path / "run" / "checkpoints" / "checkpoint_000004").binding == "bound"
    assert len(figures(tmp_path / "run")) == 4


def test_a_benchmark_that_fails_ends_no_training_and_the_exit_code_is_1(here: Path, tmp_path: Path) -> None:
    options = ["evaluation.enable=true", "evaluation.freq=2", "evaluation.tstory.audio_dir=gone", "do_ckpt=false"]
    assert train.train([str(here / "config.json")], [f"run_dir={tmp_path / 'run'}", *options]) == 1
    for step in (2, 4):
        results = read(tmp_path / "run" / f"evaluation_{step:06d}" / "results.json")
        assert results["paper_metrics"]["benchmarks"]["tstory"]["status"] == "error"


def test_all_obstacles_are_reported_at_once_before_the_run_has_a_folder(here: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.wav").write_bytes(b"ID3 some mp3")
    entries = [json.dumps({"path": f"{name}.wav", "duration": 1.0}) for name in ("one", "two")]
    (tmp_path / "eval.jsonl").write_text("\n".join(entries), "utf-8")
    options = ["data.train_data=gone.jsonl", f"data.eval_data={tmp_path / 'eval.jsonl'}", "do_eval=true"]
    run = tmp_path / "run"
    with pytest.raises(InputError) as caught:
        train.train([str(here / "config.json")], [f"run_dir={run}", *options, "wandb.project=mine"])
    assert [(problem.key, getattr(problem.place, "line", 0)) for problem in caught.value.problems] == [
        ("wandb.project", 0),
        ("data.train_data", 0),
        ("data.eval_data", 1),
        ("data.eval_data", 2),
    ]
    assert not run.exists()


def test_a_run_folder_is_deleted_only_on_purpose(
    here: Path, train_run: TrainRun, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run = train_run("twice", "do_ckpt=false", "overwrite_run_dir=true")
    assert f"Deleting the earlier run in {run}" not in caplog.messages
    with pytest.raises(InputError, match="run_dir: exists"):
        train_run("twice", "do_ckpt=false")
    train_run("twice", "do_ckpt=false", "overwrite_run_dir=true")
    assert f"Deleting the earlier run in {run}" in caplog.messages
    assert len(figures(run)) == 4
    (here / "precious").mkdir()
    (here / "precious" / "thesis.tex").touch()
    (here / "precious" / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"nothing is deleted.* thesis\.tex"):
        train_run("precious", "overwrite_run_dir=true")
    assert (here / "precious" / "thesis.tex").exists()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    [
        "notes.md",
        "checkpoints/thesis.tex",
        "checkpoints/checkpoint_000002/consolidated/notes.md",
        "checkpoints/best/weights.safetensors",
        "evaluation_000002/notes.md",
    ],
)
def test_what_no_run_wrote_is_never_deleted(train_run: TrainRun, name: str) -> None:
    run = train_run(f"foreign_{name.replace('/', '_')}", "max_steps=2")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).touch()
    before = files(run)
    with pytest.raises(InputError, match="run_dir: holds files that this run cannot"):
        train_run(run.name, "max_steps=2", "overwrite_run_dir=true")
    assert files(run) == before


def test_a_copy_of_a_checkpoint_is_never_deleted(train_run: TrainRun) -> None:
    run = train_run("with_copy", "max_steps=2")
    copy = run / "checkpoints" / "checkpoint_000001"
    shutil.copytree(run / "checkpoints" / "checkpoint_000002", copy)
    with pytest.raises(InputError, match="nothing is deleted: checkpoints/checkpoint_000001;"):
        train_run("with_copy", "max_steps=2", "overwrite_run_dir=true")
    assert tttcfg.resolve(copy).training.ttt.base_lr == 16.0


def test_what_a_run_wrote_is_deleted_for_another(here: Path, tmp_path: Path) -> None:
    miniature = make(tmp_path / "miniature", speech="tones", minutes=0.1)
    configs, run = [str(here / "config.json"), str(miniature)], tmp_path / "run"
    common = [f"run_dir={run}", "overwrite_run_dir=true"]
    train.train(configs, [*common, "evaluation.enable=true", "evaluation.freq=2", "do_eval=true", "eval_freq=2"])
    assert (run / "evaluation_000002" / "results.json").exists()
    (run / "wandb").mkdir()
    (run / "wandb" / "debug.log").touch()
    train.train(configs, [*common, "max_steps=1"])
    assert {path.name for path in run.iterdir()} == {"checkpoints", "metrics.train.jsonl", "wandb"}
    assert [path.name for path in (run / "checkpoints").glob("checkpoint_*")] == ["checkpoint_000001"]
    assert (run / "wandb" / "debug.log").exists()


@pytest.mark.parametrize(
    "override", ["data.train_data=gone.jsonl", "moshi_paths.moshi_path=gone", "wandb.project=mine", "ttt.layers=[7]"]
)
def test_a_run_that_cannot_start_deletes_nothing(train_run: TrainRun, override: str) -> None:
    run = train_run(f"unstarted_{override.partition('=')[0]}", "max_steps=1")
    before = files(run)
    with pytest.raises(tttcfg.TttcfgError):
        train_run(run.name, override, "overwrite_run_dir=true")
    assert files(run) == before


def test_a_run_that_torchrun_restarts_deletes_nothing_of_itself(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 after a complete training, for example, makes a scheduler start the program once more."""
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    run = train_run("restarted", "max_steps=1", "overwrite_run_dir=true")
    before = files(run)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with pytest.raises(InputError, match=r"run_dir: holds what .* before torchrun restarted it.* resume_from"):
        train_run("restarted", "max_steps=1", "overwrite_run_dir=true")
    assert files(run) == before
    train_run("restarted_early", "max_steps=1", "overwrite_run_dir=true")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.train_data=gone.jsonl", r"gone\.jsonl: data\.train_data: cannot be read"),
        ("moshi_paths.config_path=null", "moshi_paths.config_path: is not set"),
        ("moshi_paths.moshi_path=gone", "moshi_paths.moshi_path: cannot be read"),
        ("wandb.project=mine", "wandb.project: names a project"),
        ("resume_from=gone", "no such checkpoint"),
    ],
)
def test_what_is_missing_is_reported_before_training(train_run: TrainRun, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train_run("missing", override, "overwrite_run_dir=true")


def test_nothing_to_train_is_refused(train_run: TrainRun) -> None:
    with pytest.raises(InputError, match="nothing would be trained"):
        train_run("nothing", "full_finetuning=false", "ttt.enable=false")


@pytest.mark.parametrize(("share", "steps"), [(0.25, 1), (1.0, 4)])
def test_a_rise_that_torchs_schedule_cannot_make_is_refused_before_training(
    train_run: TrainRun, share: float, steps: int
) -> None:
    with pytest.raises(InputError, match=rf"optim\.pct_start: makes the learning rate rise over {steps} of 4 steps"):
        train_run("rise", f"optim.pct_start={share}")


def test_two_ranks_agree_with_one(here: Path, train_run: TrainRun) -> None:
    """Two ranks with a sequence each take the steps that one rank takes with both."""
    ranks = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    words = ["--config", here / "config.json", f"run_dir={here / 'ranks'}", "batch_size=1", "max_steps=2"]
    python(*ranks, EXAMPLES / "ttt_moshi" / "train.py", *words)
    alone, together = weights(train_run("alone", "max_steps=2"), 2), weights(here / "ranks", 2)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-3, atol=1e-3)
    assert tttcfg.resolve(here / "ranks").training.world_size == 2


@pytest.mark.parametrize(("word", "code", "message"), REFUSED)
def test_what_is_wrong_is_reported_in_a_sentence_with_an_exit_code(
    here: Path, word: str, code: int, message: str, left: Left
) -> None:
    done = left(train.main, "--config", here / "config.json", f"run_dir={here / 'refused'}", word)
    assert (done.code, done.out) == (code, "")
    assert message in done.log


def test_the_bundled_configuration_is_one_that_trains() -> None:
    effective = tttcfg.resolve(
        config=CONFIGS / "train.yaml", model_config=CONFIGS / "model.json", require_training=True
    )
    assert not [one for one in effective.findings if one.severity != "info"]
    model = TinyMoshi(json.loads((CONFIGS / "model.json").read_text("utf-8")))
    assert sum(parameter.numel() for parameter in model.parameters()) < 200_000
