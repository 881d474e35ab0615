"""Saving: everything in one folder, bound both ways, only what is effective, and nothing that contradicts."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tttcfg
from tests.calls import calls
from tests.nn.language import LORA, MODEL, State, Training, build, equal, files, resolved, steps, stirred, values
from tttcfg.documents.save import document_bytes
from tttcfg.errors import ContradictionError, InputError, WriteError
from tttcfg.evidence.evidence import gather
from tttcfg.nn import Checkpointer, adapter_state_dict, merged_state_dict
from tttcfg.nn.checkpoints.folders import STEPS
from tttcfg.safetensors.header import read_header
from tttcfg.ttt_moshi.derive import derive
from tttcfg.verification.verify import verification

SMALL = {
    "config.json",
    "fingerprint.json",
    "manifest.json",
    "training_config.json",
    "training_state.json",
    "training_state.safetensors",
}


def content(folder: Path, name: str) -> Any:
    return json.loads((folder / "consolidated" / name).read_bytes())


def test_a_checkpoint_has_the_trainers_layout(tmp_path: Path) -> None:
    folder = Training(tmp_path, fingerprint=True).save(3)
    assert folder == tmp_path / "checkpoints" / "checkpoint_000003"
    assert files(folder) == {"lora.safetensors"} | SMALL
    assert steps(tmp_path) == [folder.name]


def test_saving_derives_what_the_live_layers_read_and_what_the_saved_ones_do(tmp_path: Path) -> None:
    """Saving changes both the configuration and config.json; nothing else is computed more than once."""
    run = Training(tmp_path, LORA)
    run.save()
    counted = calls(run.checkpointer.save_checkpoint, derive, gather, verification, document_bytes)
    assert counted == {"derive": 2, "gather": 1, "verification": 1, "document_bytes": 1}


def test_weights_and_configuration_are_bound_to_each_other(tmp_path: Path) -> None:
    verification = tttcfg.verify(Training(tmp_path, LORA).save())
    assert verification.binding == "bound"
    contradicted = [name for name, one in verification.verdicts.items() if one.outcome == "contradicted"]
    assert contradicted == []


def test_the_configuration_comes_back_as_it_was(tmp_path: Path) -> None:
    run = Training(tmp_path, {**LORA, "batch_size": 3})
    effective = tttcfg.resolve(checkpoint=run.save())
    assert effective.training == run.effective.training
    assert effective.ttt == run.effective.ttt
    assert effective.digest == run.effective.digest


def test_the_settings_of_an_extension_are_saved_with_the_rest(noise: Any, tmp_path: Path) -> None:
    effective = resolved(tmp_path, LORA)
    settings = noise.Noise(dropout=0.5)
    args = {"run_dir": tmp_path, "config": MODEL, "training_args": effective.training, "extensions": [settings]}
    saved = Checkpointer(build(MODEL, effective), State(), **args).save_checkpoint()
    assert tttcfg.resolve(saved).extension(noise.Noise) == settings


def test_an_adapter_file_holds_what_was_trained(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    saved = load_file(run.save() / "consolidated" / "lora.safetensors")
    assert equal(saved, adapter_state_dict(run.model))


def test_a_whole_file_holds_tensors_of_ttt_layers_under_both_names(tmp_path: Path) -> None:
    run = Training(tmp_path)
    folder = run.save(save_only_lora=False)
    saved = load_file(folder / "consolidated" / "consolidated.safetensors")
    assert equal(saved, values(run.model))
    start = "transformer.layers.1."
    name = "original_layer.self_attn.in_projs.0.weight"
    assert torch.equal(saved[f"{start}{name}"], saved[f"{start}seq_modeling_block.{name}"])


def test_the_files_of_merged_weights_record_that_they_have_no_adapters(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    folder = run.save(save_only_lora=False)
    assert equal(load_file(folder / "consolidated" / "consolidated.safetensors"), merged_state_dict(run.model))
    config, document = content(folder, "config.json"), content(folder, "training_config.json")
    assert (config["lora"], document["lora"]["enable"]) == (False, False)
    assert document["provenance"]["changed_by_saving"] == {"lora.enable": True}
    assert tttcfg.verify(folder).binding == "bound"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "lora.safetensors"),
        ({"save_adapters": False}, "consolidated.safetensors"),
        ({"full_finetuning": True}, "consolidated.safetensors"),
        ({"ttt.enable": False}, "consolidated.safetensors"),
    ],
)
def test_what_is_saved_follows_from_the_configuration(changes: dict[str, Any], name: str, tmp_path: Path) -> None:
    run = Training(tmp_path, {**changes, **({"full_finetuning": True} if "ttt.enable" in changes else {})})
    assert name in files(run.save())


def test_weights_are_saved_in_the_configured_type(tmp_path: Path) -> None:
    run = Training(tmp_path, {"param_dtype": "bfloat16"})
    header = read_header(run.save() / "consolidated" / "lora.safetensors")
    assert {header.dtype(name) for name in header.names} == {"BF16"}


def test_another_type_is_recorded_in_the_checkpoint(tmp_path: Path) -> None:
    run = Training(tmp_path)
    folder = run.save(dtype=torch.bfloat16)
    assert tttcfg.resolve(checkpoint=folder).training.param_dtype == "bfloat16"
    assert content(folder, "training_config.json")["provenance"]["changed_by_saving"] == {"param_dtype": "float32"}
    with pytest.raises(InputError, match="param_dtype"):
        run.save(dtype=torch.float64)


def test_the_models_configuration_gets_the_adapters_and_stays_as_it_was(tmp_path: Path) -> None:
    before = dict(MODEL)
    found = content(Training(tmp_path, LORA).save(), "config.json")
    assert found == {**MODEL, "lora": True, "lora_rank": 4, "lora_scaling": 2.0}
    assert before == MODEL


def test_everything_that_contradicts_is_reported_when_it_is_constructed(tmp_path: Path) -> None:
    """A save must not fail after hours for what could be known before; nothing is written."""
    model = build(MODEL, resolved(tmp_path, {**LORA, "ttt.base_lr": 2.0}))
    wrong = resolved(tmp_path, {**LORA, "lora.rank": 8, "lora.scaling": 4.0, "ttt.mini_batch_size": 16})
    with pytest.raises(ContradictionError) as caught:
        Checkpointer(model, State(), tmp_path / "run", MODEL, training_args=wrong)
    text = str(caught.value)
    assert "lora.rank: is 8" in text
    assert "lora.scaling: is 4.0" in text
    assert "layer 1 of the model has mini_batch_size 8; the configuration makes it 16" in text
    assert "layer 2 of the model has base_lr 2.0; the configuration makes it 16.0" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ttt.layers": [1, 3]}, "ttt.layers"),
        ({"ttt.enable": False}, "ttt.enable"),
        ({"ttt.inner_model": "linear"}, "ttt.inner_model"),
        ({"ttt.mlp.layers": 3}, "ttt.mlp.layers"),
        ({"ttt.ttt_layer_context": 5}, "has the context 24"),
        ({"ttt.persistent_states": "never"}, "persistent_states"),
        ({"ttt.rope_mode": "mini_batch"}, "rope"),
        ({"lora.enable": True}, "lora.enable"),
    ],
)
def test_a_model_of_another_configuration_is_not_saved(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = build(MODEL, resolved(tmp_path))
    with pytest.raises(ContradictionError, match=message):
        Checkpointer(model, State(), tmp_path / "run", MODEL, training_args=resolved(tmp_path, changes))


def test_a_model_that_changes_later_is_not_saved(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.model.transformer.layers[1].seq_modeling_block.ttt_layer.ttt.base_lr = 0.5
    with pytest.raises(ContradictionError, match=r"has base_lr 0\.5"):
        run.save()
    assert os.listdir(tmp_path / STEPS) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"training_args": None}, "a checkpoint without its configuration cannot"),
        ({"state": SimpleNamespace(step=1.5)}, "state.step: must be an integer of at least 0, not 1.5"),
        ({"num_ckpt_keep": 0}, "num_ckpt_keep: must be an integer of at least 1, or None, not 0"),
        ({"num_ckpt_keep": 1.5}, r"num_ckpt_keep: must be an integer of at least 1, or None, not 1\.5"),
        ({"full_finetuning": True}, "full_finetuning: is false in the configuration"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    run = Training(tmp_path)
    given = {"state": run.state, "training_args": run.effective, **options}
    with pytest.raises(tttcfg.TttcfgError, match=message):
        Checkpointer(run.model, run_dir=tmp_path, config=MODEL, **given)


def test_a_config_json_of_other_adapters_is_refused(tmp_path: Path) -> None:
    effective = resolved(tmp_path, LORA)
    config = {**MODEL, "lora": True, "lora_rank": 8, "lora_scaling": 2.0}
    with pytest.raises(ContradictionError, match=r"lora_rank: is 8 in config\.json, but the configuration has 4"):
        Checkpointer(build(MODEL, effective), State(), tmp_path, config, training_args=effective)


@pytest.mark.parametrize("value", [torch.nan, Path("/x"), np.float32(1), {(1, 2): 3}], ids=repr)
def test_a_config_json_that_is_none_is_refused_at_once(value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.extra: is .*, which JSON does not have"):
        Checkpointer(
            build(MODEL, effective := resolved(tmp_path)),
            State(),
            tmp_path,
            {**MODEL, "extra": value},
            training_args=effective,
        )
    assert not (tmp_path / STEPS).exists()


def test_a_number_of_another_library_counts_checkpoints(tmp_path: Path) -> None:
    run = Training(tmp_path, num_ckpt_keep=np.int64(1))
    run.save()
    assert run.save().name == "checkpoint_000002"
    assert steps(tmp_path) == ["checkpoint_000002"]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int32, torch.complex64])
def test_a_type_in_which_no_weights_are_written_is_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    run = Training(tmp_path)
    with pytest.raises(InputError, match=rf"dtype: {dtype} is not a type that weights can be saved in"):
        run.save(dtype=dtype)
    assert os.listdir(tmp_path / STEPS) == []


@pytest.mark.parametrize("kind", ["effective", "document", "training", "dataclass"])
def test_a_configuration_may_be_given_in_every_form(kind: str, tmp_path: Path) -> None:
    effective = resolved(tmp_path)
    plain = effective.training.model_dump(exclude={"wandb": {"key"}})
    forms = {
        "effective": effective,
        "document": tttcfg.load_document(tttcfg.save_document(tmp_path / "a.json", effective)),
        "training": effective.training,
        "dataclass": plain,
    }
    run = Training(tmp_path, training_args=forms[kind])
    assert tttcfg.resolve(checkpoint=run.save()).training == effective.training


def test_a_folder_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(WriteError, match="cannot be written"):
        Training(tmp_path)


def test_constructing_leaves_nothing_behind(tmp_path: Path) -> None:
    Training(tmp_path)
    assert os.listdir(tmp_path / STEPS) == []


@pytest.mark.parametrize("size", [0, 100, 2000, 60_000, 250_000])
def test_a_disk_that_does_not_take_it_leaves_what_was_there(size: int, tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.save()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            run.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert steps(tmp_path) == ["checkpoint_000001"]
    assert run.save().name == "checkpoint_000003"


def test_the_newest_stay_by_step_and_not_by_age(tmp_path: Path) -> None:
    run = Training(tmp_path, num_ckpt_keep=2)
    for _ in range(4):
        folder = run.save()
        os.utime(folder, (1, 1))
    assert steps(tmp_path) == ["checkpoint_000003", "checkpoint_000004"]


@pytest.mark.parametrize("resumes", [False, True])
def test_a_run_that_was_copied_to_another_disk_prunes_what_it_brought(
    resumes: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Training(tmp_path / "first", num_ckpt_keep=2)
    for _ in range(2):
        first.save()
    shutil.copytree(tmp_path / "first", tmp_path / "second", copy_function=shutil.copyfile)  # other inodes and times
    second = Training(tmp_path / "second", num_ckpt_keep=2)
    if resumes:
        assert second.checkpointer.resume(tmp_path / "second").step == 2
    assert second.save(3 - second.state.step).name == "checkpoint_000003"
    assert steps(tmp_path / "second") == ["checkpoint_000002", "checkpoint_000003"]
    assert steps(tmp_path / "first") == ["checkpoint_000001", "checkpoint_000002"]
    assert "not pruned" not in caplog.text


def test_a_checkpoint_that_was_copied_from_another_run_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    copied = shutil.copytree(Training(tmp_path / "first").save(), tmp_path / "second" / STEPS / "checkpoint_000001")
    before = {path.name: path.read_bytes() for path in (copied / "consolidated").iterdir()}
    second = Training(tmp_path / "second", num_ckpt_keep=1)
    warning = "not checkpoints of this run, or changed: checkpoint_000001; they are not pruned, and are renamed where"
    assert warning in caplog.text
    folder = second.save(1)
    saved, leftover = steps(tmp_path / "second")
    assert (folder.name, saved, leftover[:23]) == (saved, "checkpoint_000001", "checkpoint_000001.left-")
    kept = folder.with_name(leftover) / "consolidated"
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


@pytest.mark.parametrize("name", ["config.json", "training_config.json", "lora.safetensors"])
def test_a_checkpoint_with_a_changed_file_stays_as_it_is(name: str, tmp_path: Path) -> None:
    run = Training(tmp_path, num_ckpt_keep=1)
    path = run.save() / "consolidated" / name
    path.write_bytes(path.read_bytes() + b"\n")
    before = files(path.parent.parent)
    run.save()
    run.save()
    assert steps(tmp_path) == ["checkpoint_000001", "checkpoint_000003"]
    assert files(path.parent.parent) == before


@pytest.mark.parametrize("part", ["", "seq_modeling_block.ttt_layer", "lora_A", "text_emb"])
def test_a_model_that_has_rounded_its_parameters_is_not_saved(part: str, tmp_path: Path) -> None:
    effective = resolved(tmp_path, LORA)
    model = build(MODEL, effective)
    for name, parameter in model.named_parameters():
        if part in name:
            parameter.data = parameter.data.bfloat16()
    with pytest.raises(ContradictionError, match=r"param_dtype: is float32, .* bfloat16"):
        Checkpointer(model, State(), tmp_path, MODEL, training_args=effective)


def test_a_model_wider_than_what_is_saved_is_rounded_as_stated(tmp_path: Path) -> None:
    """Trainers of mixed precision keep parameters in float32 whatever `param_dtype` is."""
    effective = resolved(tmp_path, {**LORA, "param_dtype": "bfloat16"})
    model = build(MODEL, effective).float()
    folder = Checkpointer(model, State(), tmp_path, MODEL, training_args=effective).save_checkpoint()
    header = read_header(folder / "consolidated" / "lora.safetensors")
    assert {header.dtype(name) for name in header.names} == {"BF16"}


def test_a_type_that_was_asked_for_is_the_models_own_choice(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.model.bfloat16()
    with pytest.raises(ContradictionError, match="param_dtype: is float32"):
        run.save()
    folder = run.save(dtype=torch.bfloat16)
    assert tttcfg.resolve(checkpoint=folder).training.param_dtype == "bfloat16"


def test_a_model_that_is_no_language_model_is_saved_without_a_fingerprint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    effective = resolved(tmp_path)
    model = stirred(build(MODEL, effective))
    model.forward = lambda *_: None  # type: ignore[method-assign]
    folder = Checkpointer(model, State(), tmp_path, MODEL, training_args=effective).save_checkpoint()
    assert "cannot be run on the probe's input" in content(folder, "fingerprint.json")["unavailable"]
    assert "checkpoints have no fingerprint" in caplog.text


def test_saving_changes_nothing_of_the_run(tmp_path: Path) -> None:
    """Weights, gradients, mode and random numbers are those of a run without a save."""
    run = Training(tmp_path, {**LORA, "param_dtype": "float32"}, fingerprint=True)
    run.train(1)
    run.model.train()
    before, drawn = values(run.model), torch.get_rng_state()
    run.checkpointer.save_checkpoint(dtype=torch.bfloat16)
    assert equal(values(run.model), before)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(module.training for module in run.model.modules())


def test_no_secret_is_saved(tmp_path: Path) -> None:
    folder = Training(tmp_path, {"wandb.key": "hunter2-do-not-print"}).save()
    assert all(b"hunter2" not in path.read_bytes() for path in (folder / "consolidated").iterdir())


@pytest.mark.parametrize("fingerprint", [True, False])
@pytest.mark.parametrize("options", [{}, {"save_only_lora": False}])
def test_a_run_that_diverges_removes_nothing_of_what_it_had(
    fingerprint: bool, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Training(tmp_path, LORA, num_ckpt_keep=2, fingerprint=fingerprint)
    for _ in range(2):
        run.save(**options)
    with torch.no_grad():
        next(one for one in run.model.parameters() if one.requires_grad)[0] = torch.nan
    for _ in range(3):
        run.save(**options)
    assert steps(tmp_path) == [f"checkpoint_00000{step}" for step in (1, 2, 4, 5)]
    assert "had non-finite numbers; num_ckpt_keep counts it apart" in caplog.text


def test_a_fingerprint_records_that_the_model_overflows(tmp_path: Path) -> None:
    run = Training(tmp_path, fingerprint=True)
    with torch.no_grad():
        run.model.text_linear.weight.fill_(1e38)
    assert content(run.checkpointer.save_checkpoint(), "manifest.json")["doubt"].endswith("not finite")


def test_an_optimiser_that_is_not_finite_is_noticed(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.train(1)
    next(iter(run.optimizer.state.values()))["exp_avg_sq"][0] = torch.inf
    assert content(run.checkpointer.save_checkpoint(), "manifest.json")["doubt"].startswith("optimizer.exp_avg_sq.")


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_buffer_may_be_infinite(dtype: torch.dtype | None, tmp_path: Path) -> None:
    """As masks are; rounded, a copy of it is in the training state."""
    effective = resolved(tmp_path, {"full_finetuning": True})
    model = build(MODEL, effective)
    model.register_buffer("mask", torch.full((3,), -torch.inf))
    checkpointer = Checkpointer(model, State(), tmp_path, MODEL, training_args=effective)
    folder = checkpointer.save_checkpoint(False, dtype)
    assert "mask" in load_file(folder / "consolidated" / "consolidated.safetensors")
    assert {"defect", "doubt"}.isdisjoint(content(folder, "manifest.json"))
    assert checkpointer.resume(folder).step == 0
