"""`tttcfg inspect` as a process: what it reports of each source, whether they agree, and what it writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.builders import write_json
from tests.cli.process import run
from tests.evidence.dialects import tensors
from tests.safetensors.files import weights_file
from tests.verification.bound import MODEL, made, sidecar


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of the table by key, the header's included."""
    cells = [re.split(r" {2,}", line) for line in text.splitlines()[1:-1]]
    return {key: rest for key, *rest in cells}


def test_the_values_of_every_source_and_whether_they_agree(tmp_path: Path) -> None:
    weights = made(tmp_path)
    write_json(weights.parent / "config.json", {**MODEL, "lora": False, "lora_scaling": 3.0})
    result = run("inspect", weights)
    found = rows(result.out)
    assert found["KEY"] == ["TENSORS", "CONFIG.JSON", "DOCUMENT", "AGREE", "SHOWN BY"]
    assert found["ttt.layers"][:4] == ["[1, 2]", "-", "[1, 2]", "yes"]
    assert found["ttt.num_layers"][:4] == ["3", "3", "-", "yes"]
    assert found["ttt.head_dim"][:4] == ["4", "-", "-", "-"]
    assert found["lora.enable"][:4] == ["false", "false", "false", "yes"]
    assert found["lora.scaling"][:4] == ["-", "3.0", "2.0", "no"]
    assert found["lora.rank"] == ["-", "-", "64", "-", "- (LoRA is off)"]


def test_the_same_in_other_words_agrees_and_a_contradiction_does_not(tmp_path: Path) -> None:
    weights = made(tmp_path, {"ttt.layers": "all", "ttt.mlp.hidden_dims": [16], "ttt.mlp.layers": 2})
    found = rows(run("inspect", weights).out)
    assert found["ttt.layers"][:4] == ["[1, 2]", "-", "all", "no"]
    assert found["ttt.mlp.hidden_dims"][:4] == ["null", "-", "[16]", "yes"]


def test_absent_settings_of_a_document_are_not_listed_as_its_own(tmp_path: Path) -> None:
    weights = made(tmp_path)
    write_json(sidecar(weights), {"ttt": {"enable": True, "layers": [1, 2], "mini_batch_size": 8}, "batch_size": 1})
    found = rows(run("inspect", weights).out)
    assert found["ttt.layers"][2] == "[1, 2]"
    assert found["param_dtype"][:4] == ["bfloat16", "-", "-", "-"]


@pytest.mark.parametrize(
    "shapes",
    [
        tensors.lm_pytorch(tensors.Size(), [64]),
        tensors.lm_kernels(tensors.Size(), []),
        tensors.video_dit(tensors.Size(), [64]),
        tensors.in_place(tensors.Size(), [1]),
        tensors.moshi(tensors.Size()),
        tensors.consolidated(tensors.Size(), [1, 2], [64]),
    ],
    ids=["ttt-lm-pytorch", "ttt-lm-kernels", "ttt-video-dit", "moshi_in_place", "moshi-finetune", "Moshi TTT"],
)
def test_healthy_weights_of_any_known_program_are_fine(tmp_path: Path, shapes: tensors.Shapes) -> None:
    file = weights_file(tmp_path / "model.safetensors", {name: ("BF16", shape) for name, shape in shapes.items()})
    result = run("inspect", file, "--output", "json")
    assert result.code == 0
    assert list(result.json) == ["dialect", "proved", "verdicts", "binding", "findings"]
    assert result.json["dialect"]


def test_a_refuted_file_is_not_adopted(tmp_path: Path) -> None:
    weights = made(tmp_path / "run")
    sidecar(weights).unlink()
    wrong = write_json(tmp_path / "wrong.json", {"ttt": {"layers": "all"}, "lora": {"enable": True}})
    result = run("inspect", weights, "--write", "--config", wrong)
    assert (result.code, result.out) == (1, "")
    assert [line.split(": ")[1] for line in result.err.splitlines()] == ["lora.enable", "ttt.layers"]
    assert not sidecar(weights).exists()
    right = write_json(tmp_path / "right.json", {"ttt": {"layers": [1, 2]}})
    result = run("inspect", weights, "--write", "--config", right)
    assert (result.code, sidecar(weights).exists()) == (0, True)
    assert f"wrote {sidecar(weights)}" in result.err
