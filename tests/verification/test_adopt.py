"""A document for a checkpoint that has none: what it rests on, and what is never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import old_document, write_json
from tests.cli.process import run
from tests.evidence.dialects import tensors
from tests.evidence.dialects.tensors import Size
from tests.safetensors.files import weights_file
from tests.verification.bound import MODEL, SIZE, made, sidecar
from tttcfg import ContradictionError, InputError, TrainingArgs
from tttcfg.verification.adopt import ASSERTED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of weights of the layers 1 and 2 of 3, whose configuration is lost."""
    weights = made(tmp_path / "run")
    sidecar(weights).unlink()
    return weights.parent


def test_a_checkpoint_is_adopted_from_what_is_proved_and_asserted(folder: Path, tmp_path: Path) -> None:
    """The document records what is proved and what is asserted; everything else stays doubted."""
    config = write_json(tmp_path / "mine.json", {"ttt": {"mini_batch_size": 8}, "run_dir": "runs/a"})
    written = tttcfg.adopt(folder, config)
    document = tttcfg.load_document(written)
    training: TrainingArgs = document.training
    assert (training.ttt.layers, training.ttt.mini_batch_size) == ((1, 2), 8)
    proved, asserted = document.provenance["adopted"].values()
    assert proved["ttt.layers"] == [1, 2]
    assert asserted == {"ttt.mini_batch_size": 8, "run_dir": "runs/a"}
    doubts = {one.key for one in tttcfg.resolve(folder).findings if one.code == "doubt"}
    assert "ttt.base_lr" in doubts
    assert "ttt.mini_batch_size" not in doubts
    with pytest.raises(InputError, match="nothing to adopt"):
        tttcfg.adopt(folder, config)


def test_null_is_asserted_where_it_is_given(folder: Path, tmp_path: Path) -> None:
    name = "ttt.ttt_layer_context"
    config = write_json(tmp_path / "mine.json", {"ttt": {"ttt_layer_context": None}})
    written = tttcfg.adopt(folder, config)
    assert tttcfg.load_document(written).provenance["adopted"][ASSERTED] == {name: None}
    effective = tttcfg.resolve(folder)
    assert effective.origins[name][0].source == "derived"
    assert "doubt" not in {one.code for one in effective.findings if one.key == name}


def test_nothing_is_adopted_against_the_tensors(folder: Path) -> None:
    write_json(folder / "config.json", {**MODEL, "dim": 32})
    with pytest.raises(ContradictionError):
        tttcfg.adopt(folder)
    assert not (folder / "training_config.json").exists()


def test_a_file_that_the_tensors_refute_is_not_adopted(folder: Path, tmp_path: Path) -> None:
    """Everything that is wrong in it is named at once, with its place and the tensor."""
    wrong = {"ttt": {"layers": "all", "mlp": {"layers": 3}, "base_lr": 0.5}, "lora": {"enable": True, "rank": 8}}
    config = write_json(tmp_path / "wrong.json", wrong)
    with pytest.raises(ContradictionError) as caught:
        tttcfg.adopt(folder, config)
    messages = {problem.key: problem.labelled() for problem in caught.value.problems}
    assert messages.keys() == {"ttt.layers", "ttt.mlp.layers", "lora.enable"}
    assert f"({config}:1:10)" in messages["ttt.layers"]
    assert "transformer.layers.1." in messages["ttt.layers"]
    assert not (folder / "training_config.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        {"enable": True, "layers": [1, 2]},
        {"mlp": {"layers": 2, "hidden_dims": [16], "expansion_factor": 2.0}},
        {"mlp": {"expansion_factor": 4.0}},
    ],
    ids=["the same", "a list for a factor", "a factor"],
)
def test_a_file_that_gives_the_same_layers_in_any_words_is_accepted(folder: Path, words: dict[str, Any]) -> None:
    written = tttcfg.adopt(folder, {"ttt": words})
    assert tttcfg.verify(folder).binding == "unbound"
    assert tttcfg.load_document(written).training.ttt.layers == (1, 2)


def as_file(path: Path, shapes: tensors.Shapes, dtype: str = "BF16") -> Path:
    return weights_file(path, {name: (dtype, shape) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("shapes", "dtype", "message"),
    [
        ({"foo.bar": [3, 3]}, "BF16", "no known program"),
        (tensors.in_place(SIZE, [1, 2]), "BF16", "are of moshi_in_place"),
        (tensors.video_dit(SIZE, [16]), "BF16", "are of ttt-video-dit"),
        (tensors.lm_pytorch(SIZE, [16]), "BF16", "are of ttt-lm-pytorch"),
        (tensors.consolidated(SIZE, [1, 2], [16]), "F64", "is 'bfloat16'.*the weights are stored in float64"),
    ],
    ids=["unknown", "moshi_in_place", "ttt-video-dit", "ttt-lm-pytorch", "float64"],
)
def test_no_document_is_written_that_its_own_weights_would_refuse(
    shapes: tensors.Shapes, dtype: str, message: str, tmp_path: Path
) -> None:
    weights = as_file(tmp_path / "consolidated.safetensors", shapes, dtype)
    with pytest.raises(ContradictionError, match=message):
        tttcfg.adopt(weights)
    assert not sidecar(weights).exists()


def test_one_document_is_not_written_for_weights_of_two_configurations(folder: Path) -> None:
    beside = as_file(folder / "lora.safetensors", tensors.adapters(SIZE, [1, 2], [16], 8))
    with pytest.raises(
        ContradictionError, match=r"of another configuration \(lora\.enable\).* a folder of its own"
    ) as caught:
        tttcfg.adopt(folder)
    assert [problem.place for problem in caught.value.problems] == [str(beside)]
    assert not (folder / "training_config.json").exists()


def test_a_base_model_beside_the_weights_is_none_of_them(folder: Path) -> None:
    base = as_file(folder / "model.safetensors", tensors.moshi(SIZE))
    tttcfg.adopt(folder)
    assert tttcfg.verify(folder).proved["ttt.layers"] == [1, 2]
    assert base.is_file()


UNKNOWN = {"transformer.layers.0.extra.weight": [8]}


@pytest.mark.parametrize(
    ("shapes", "key", "known"),
    [
        (tensors.consolidated(Size(2, 4, layers=4), [1, 2], [16]), "ttt.layers", {"enable": True, "layers": [1, 2]}),
        (tensors.moshi(SIZE), "ttt.enable", {"enable": False}),
    ],
    ids=["some", "none"],
)
def test_layers_that_may_have_ttt_have_to_be_given(
    shapes: tensors.Shapes, key: str, known: dict[str, Any], tmp_path: Path
) -> None:
    """With one unknown tensor, it is no longer proved which layers have TTT."""
    weights = as_file(tmp_path / "consolidated.safetensors", {**shapes, **UNKNOWN})
    with pytest.raises(
        InputError, match=rf"{key}: cannot be determined: some layers have tensors of unknown names; give the run's"
    ):
        tttcfg.adopt(weights)
    assert not sidecar(weights).exists()
    tttcfg.adopt(weights, write_json(tmp_path / "mine.json", {"ttt": known}))
    assert tttcfg.verify(weights).document["ttt.enable"] is known["enable"]


def test_what_is_doubted_for_one_reason_is_one_line(folder: Path) -> None:
    tttcfg.adopt(folder)
    doubts = [line for line in run("verify", folder).err.splitlines() if "[doubt]" in line]
    assert len(doubts) == 1
    assert "ttt.mini_batch_size, ttt.base_lr" in doubts[0]
    override = run("verify", folder, "ttt.base_lr=0.5").err
    assert "[doubt] ttt.base_lr: is 0.5, recorded as 1.0: not determined" in override


def test_an_old_document_that_is_given_means_what_it_meant(folder: Path, tmp_path: Path) -> None:
    """As a configuration file it is filled with what its program did, and what is unknown of it stays doubted."""
    old = old_document(3, {"ttt.enable": True, "ttt.layers": "1,2", "param_dtype": "bfloat16"})
    path = write_json(tmp_path / "saved_version_3.json", old)
    document = tttcfg.load_document(tttcfg.adopt(folder, path))
    ttt = document.training.ttt
    assert (ttt.weight_lr_multiplier, ttt.ttt_layer_context, ttt.rope_mode) == (1.0, 3000, "legacy")
    record = document.record
    assert {"ttt.weight_lr_multiplier", "ttt.ttt_layer_context", "ttt.rope_mode"} <= record.filled.keys()
    assert "ttt.rope_scaling" in record.doubted
    assert "legacy" in {one.code for one in tttcfg.resolve(folder).findings}
