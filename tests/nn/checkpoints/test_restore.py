"""Restoring in one call: the same numbers with any configuration file, and overrides are reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nn.language import LORA, MODEL, Training, build, equal, values
from tttcfg.errors import ContradictionError, InputError
from tttcfg.nn import restore

ANY = {"ttt": {"enable": True, "layers": "all", "mini_batch_size": 64, "base_lr": 0.001}, "lora": {"enable": False}}


def test_any_configuration_file_gives_the_same_numbers(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA, fingerprint=True)
    restored = restore(run.save(), ANY, build=build)
    assert equal(values(restored.model), values(run.model))
    assert not restored.model.training
    assert (restored.computation.agrees, restored.computation.largest) == (True, 0.0)
    assert restored.effective.training.ttt == run.effective.training.ttt
    assert restored.loaded.deviations == ()


def test_a_run_folder_means_its_newest_checkpoint(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.save()
    newest = run.save()
    assert restore(tmp_path, build=build).loaded.path.startswith(str(newest))


def test_an_override_is_reported_and_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Training(tmp_path, LORA, fingerprint=True).save()
    restored = restore(folder, overrides=["ttt.mini_batch_size=16"], build=build)
    assert restored.computation.agrees is False
    assert restored.effective.ttt is not None
    assert restored.effective.ttt.mini_batch_size == 16
    assert "does not compute" in caplog.text
    assert "changed on purpose: ttt.mini_batch_size" in caplog.text


def test_an_override_that_the_tensors_contradict_is_an_error(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA).save()
    with pytest.raises(ContradictionError, match=r"lora\.rank: is 8"):
        restore(folder, overrides=["lora.rank=8"], build=build)


def test_another_base_model_is_caught(tmp_path: Path) -> None:
    """Adapters load onto every base model of the same shape, and only the fingerprint shows the difference."""
    folder = Training(tmp_path, LORA, fingerprint=True).save()

    def wrong(*given: object) -> torch.nn.Module:
        model = build(*given)  # type: ignore[arg-type]
        with torch.no_grad():
            model.text_emb.weight.add_(0.1)
        return model

    with pytest.raises(ContradictionError, match="does not compute"):
        restore(folder, build=wrong)


def test_a_model_that_was_not_compared_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Training(tmp_path).save()
    restored = restore(folder, build=build)
    assert restored.computation.agrees is None
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert ["no fingerprint" in one for one in warned] == [True]


def test_merged_weights_are_restored_without_adapters(tmp_path: Path) -> None:
    folder = Training(tmp_path, LORA, fingerprint=True).save(save_only_lora=False)
    restored = restore(folder, ANY, build=build)
    assert restored.computation.agrees
    assert not any("lora" in name for name, _ in restored.model.named_parameters())


def test_merged_weights_whose_files_record_adapters_are_restored_as_merged(tmp_path: Path) -> None:
    """As the trainer leaves them: configuration and config.json are those of the run, the weights are merged."""
    folder = Training(tmp_path, {**LORA, "save_adapters": False}).save(save_only_lora=False)
    inside = folder / "consolidated"
    for name, changes in (("training_config.json", {"enable": True}), ("config.json", True)):
        document = json.loads((inside / name).read_bytes())
        document["lora"] = {**document["lora"], **changes} if isinstance(changes, dict) else changes
        document.pop("provenance", None)
        (inside / name).write_text(json.dumps(document))
    (inside / "manifest.json").unlink(missing_ok=True)
    tensors = load_file(inside / "consolidated.safetensors")
    save_file(tensors, inside / "consolidated.safetensors")  # without the binding tag of another configuration
    restored = restore(folder, ANY, build=build)
    assert not any("lora" in name for name, _ in restored.model.named_parameters())
    assert equal(values(restored.model), tensors)
    assert restored.effective.training.lora.enable is False


def test_without_a_config_json_the_model_cannot_be_built(tmp_path: Path) -> None:
    folder = Training(tmp_path, fingerprint=True).save()
    (folder / "consolidated" / "config.json").unlink()
    with pytest.raises(InputError, match="give model_config"):
        restore(folder, build=build)
    assert restore(folder, build=build, model_config=tmp_path / "model.json").computation.agrees
    assert MODEL["dim"] == 64
