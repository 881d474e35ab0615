"""Loading: verified first, strictly, and all that is wrong at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import tttcfg
from tests.calls import calls
from tests.nn.language import LORA, MODEL, Training, build, equal, files, resolved, stirred, values
from tttcfg.documents.checkpoint import read_model_config
from tttcfg.documents.document import parse_document
from tttcfg.errors import ContradictionError, InputError
from tttcfg.evidence.evidence import gather
from tttcfg.nn import load_checkpoint
from tttcfg.safetensors.header import read_header
from tttcfg.ttt_moshi.derive import derive
from tttcfg.verification.verify import verification


def fresh(effective: Any, model_config: dict[str, Any] = MODEL) -> nn.Module:
    return build(model_config, effective)


def test_adapters_go_onto_the_existing_base_model(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    folder = run.save()
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective)
    loaded = load_checkpoint(model, folder, effective)
    assert equal(values(model), values(run.model))
    assert (loaded.adapters, loaded.dtype, loaded.deviations) == (True, "float32", ())
    assert loaded.groups == {"ttt": 40, "lora": 58}
    assert loaded.tensors + loaded.kept == len(list(model.named_parameters()))
    assert str(loaded).startswith("98 tensors (58 lora, 40 ttt) in float32 from ")
    assert str(loaded).endswith("tensors of the base model stay as they were built")


def test_loading_computes_everything_once(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    folder = run.save()
    counted = calls(
        lambda: load_checkpoint(run.model, folder, run.effective),
        *(parse_document, read_header, read_model_config, gather, derive, verification),
    )
    assert counted == dict.fromkeys(counted, 1)


def test_a_whole_model_is_loaded_strictly(tmp_path: Path) -> None:
    run = Training(tmp_path, {"full_finetuning": True})
    folder = run.save()
    effective = tttcfg.resolve(checkpoint=folder)
    model = stirred(stirred(fresh(effective)))
    loaded = load_checkpoint(model, folder, effective)
    assert equal(values(model), values(run.model))
    assert (loaded.adapters, loaded.kept) == (False, 0)
    assert "base" in loaded.groups


def test_a_model_in_another_type_gets_the_values(tmp_path: Path) -> None:
    run = Training(tmp_path)
    folder = run.save(dtype=torch.bfloat16)
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective).float()
    assert load_checkpoint(model, folder, effective).dtype == "bfloat16"
    wanted = {name: one.bfloat16().float() for name, one in values(run.model).items()}
    assert equal(values(model), wanted)


def test_a_model_that_would_round_the_values_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save()
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective).bfloat16()
    before = values(model)
    with pytest.raises(ContradictionError, match=r"param_dtype: is float32, but (\d+) of the model's \1 parameters"):
        load_checkpoint(model, folder, effective)
    assert equal(values(model), before)
    meant = tttcfg.resolve(checkpoint=folder, overrides={"param_dtype": "bfloat16"})
    assert "param_dtype" in load_checkpoint(model, folder, meant).deviations


def test_a_model_in_which_some_parameters_are_rounded_is_refused(tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective)
    model.text_emb.half()  # type: ignore[operator, union-attr]
    with pytest.raises(ContradictionError, match=r"but 1 of the model's \d+ parameters are float16"):
        load_checkpoint(model, folder, effective)


def test_sharded_weights_are_loaded(tmp_path: Path) -> None:
    run = Training(tmp_path, {"full_finetuning": True})
    folder = run.save() / "consolidated"
    tensors = {name: one.clone() for name, one in load_file(folder / "consolidated.safetensors").items()}
    (folder / "consolidated.safetensors").unlink()
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, folder / file)
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective)
    load_checkpoint(model, folder, effective)
    assert equal(values(model), values(run.model))


def test_a_configuration_that_was_resolved_without_the_checkpoint_is_refused(tmp_path: Path) -> None:
    """What is not determined by the tensors is checked against what the weights were saved with."""
    run = Training(tmp_path, LORA)
    folder = run.save()
    wrong = resolved(tmp_path, {**LORA, "ttt.base_lr": 1.0, "ttt.mini_batch_size": 4}).training
    model = fresh(resolved(tmp_path, {**LORA, "ttt.base_lr": 1.0, "ttt.mini_batch_size": 4}))
    before = values(model)
    with pytest.raises(ContradictionError) as caught:
        load_checkpoint(model, folder, wrong)
    text = str(caught.value)
    assert "ttt.base_lr: is 1.0, but the weights were saved with 16.0" in text
    assert "ttt.mini_batch_size: is 4, but the weights were saved with 8" in text
    assert equal(values(model), before)


def test_a_configuration_of_unknown_origin_is_called_the_one_that_was_given(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save()
    wrong = resolved(tmp_path, {**LORA, "lora.rank": 8})
    with pytest.raises(ContradictionError) as caught:
        load_checkpoint(fresh(wrong), folder, wrong.training)
    found = [(str(one.place), one.message) for one in caught.value.problems if one.key == "lora.rank"]
    place = "the configuration that was given"
    assert any(one[0] == place and one[1].startswith("is 8, but the weights have 4") for one in found)


def test_an_override_on_purpose_is_loaded_and_reported(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save()
    effective = tttcfg.resolve(checkpoint=folder, overrides={"ttt.base_lr": 1.0})
    loaded = load_checkpoint(fresh(effective), folder, effective)
    assert loaded.deviations == ("ttt.base_lr",)
    assert str(loaded).endswith("changed on purpose: ttt.base_lr")


def test_null_is_an_override_on_purpose_where_the_layers_read_something_else_then(tmp_path: Path) -> None:
    name = "ttt.ttt_layer_context"
    folder = Training(tmp_path, {**LORA, name: 4}).save()
    effective = tttcfg.resolve(checkpoint=folder, overrides={name: None})
    assert effective.ttt is not None
    assert effective.ttt.ttt_layer_context == MODEL["context"]
    assert load_checkpoint(fresh(effective), folder, effective).deviations == (name,)


def test_a_model_that_was_not_built_of_the_configuration_is_refused(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save()
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(resolved(tmp_path, {**LORA, "lora.scaling": 4.0, "ttt.base_lr": 1.0}))
    with pytest.raises(ContradictionError) as caught:
        load_checkpoint(model, folder, effective)
    assert "lora.scaling: is 2.0, but the model's adapters have [4.0]" in str(caught.value)
    assert "has base_lr 1.0" in str(caught.value)


def test_tensors_that_do_not_fit_are_all_named_before_one_is_read(tmp_path: Path) -> None:
    folder = Training(tmp_path, {"full_finetuning": True}).save()
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective)
    model.extra = nn.Linear(3, 3)
    del model.depformer_text_emb
    model.text_emb = nn.Embedding(52, 64)
    before = values(model)
    with pytest.raises(ContradictionError) as caught:
        load_checkpoint(model, folder, effective)
    text = str(caught.value)
    assert "the model has tensors that are not in the file: extra.weight, extra.bias" in text
    assert "the file has tensors that are not in the model: depformer_text_emb.weight" in text
    assert "text_emb.weight: has the shape [51, 64] in the file and [52, 64] in the model" in text
    assert equal(values(model), before)


def test_an_adapter_file_must_hold_every_adapter(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save() / "consolidated"
    tensors = load_file(folder / "lora.safetensors")
    del tensors["linears.1.lora_A.weight"], tensors["linears.1.lora_B.weight"]
    (folder / "lora.safetensors").unlink()
    save_file(tensors, folder / "lora.safetensors")
    (folder / "training_config.json").unlink()
    effective = resolved(tmp_path, LORA)
    with pytest.raises(
        ContradictionError, match=r"not in the file: linears\.1\.lora_A\.weight, linears\.1\.lora_B\.weight"
    ):
        load_checkpoint(fresh(effective), folder, effective)


def test_merged_weights_do_not_go_into_a_model_with_adapters(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save(save_only_lora=False)
    with pytest.raises(ContradictionError, match=r"lora\.enable"):
        load_checkpoint(fresh(resolved(tmp_path, LORA)), folder, resolved(tmp_path, LORA))


def test_the_configuration_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    first = Training(tmp_path / "a", LORA).save() / "consolidated" / "training_config.json"
    folder = Training(tmp_path / "b", {**LORA, "ttt.base_lr": 1.0}).save()
    effective = resolved(tmp_path, {**LORA, "ttt.base_lr": 1.0})
    (folder / "consolidated" / "training_config.json").write_bytes(first.read_bytes())
    with pytest.raises(ContradictionError, match="another configuration"):
        load_checkpoint(fresh(effective), folder, effective)


def test_a_config_json_that_was_edited_is_refused_until_it_is_asserted(tmp_path: Path) -> None:
    """No tensor shows the delays, and without a fingerprint nothing else would."""
    folder = Training(tmp_path, LORA).save() / "consolidated"
    path = folder / "config.json"
    config = json.loads(path.read_bytes())
    path.write_text(json.dumps({**config, "delays": [0, 1, 1, 1, 1]}))
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective)
    before = values(model)
    with pytest.raises(ContradictionError, match=r"config\.json: was changed since .* or delete manifest\.json if"):
        load_checkpoint(model, folder, effective)
    assert equal(values(model), before)
    (folder / "manifest.json").unlink()
    load_checkpoint(model, folder, effective)
    assert not equal(values(model), before)


@pytest.mark.parametrize("how", ["truncated", "gone"])
def test_weights_that_cannot_be_read_are_an_input_error(how: str, tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    folder = run.save()
    path = folder / "consolidated" / "lora.safetensors"
    data = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"promises|has no weights"):
        load_checkpoint(run.model, folder, run.effective)


def test_a_model_without_data_is_refused(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save()
    effective = tttcfg.resolve(checkpoint=folder)
    with pytest.raises(ContradictionError, match="the model has tensors without data"):
        load_checkpoint(fresh(effective).to("meta"), folder, effective)


def test_a_compiled_model_is_loaded_as_it_is(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    folder = run.save()
    effective = tttcfg.resolve(checkpoint=folder)
    model = fresh(effective)
    load_checkpoint(torch.compile(model, backend="eager"), folder, effective)
    assert equal(values(model), values(run.model))
    assert "lora.safetensors" in files(folder)


def test_a_checkpoint_that_is_not_finite_is_loaded_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Training(tmp_path)
    name, parameter = next((name, one) for name, one in run.model.named_parameters() if one.requires_grad)
    with torch.no_grad():
        parameter.fill_(torch.nan)
    folder = run.checkpointer.save_checkpoint()
    caplog.clear()
    assert load_checkpoint(run.model, folder, run.effective).tensors
    assert f"lora.safetensors: when it was saved, {name} had non-finite numbers" in caplog.text


def test_a_newer_step_that_holds_nothing_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Training(tmp_path)
    run.save()
    (tmp_path / "checkpoints" / "checkpoint_000009").mkdir()
    load_checkpoint(build(MODEL, run.effective), tmp_path, run.effective)
    assert [one.getMessage() for one in caplog.records if "passed over, and checkpoint_000001" in one.getMessage()]
