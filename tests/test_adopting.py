"""A document for a checkpoint that has none: what it rests on, and what is never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import write_json
from tests.weights.bound import MODEL, made, sidecar
from tttcfg import ContradictionError, InputError, TrainingArgs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of weights of the layers 1 and 2 of 3, whose configuration is lost."""
    weights = made(tmp_path / "run")
    sidecar(weights).unlink()
    return weights.parent


def test_a_checkpoint_is_adopted_from_what_is_proved_and_vouched_for(folder: Path, tmp_path: Path) -> None:
    """The document says what rests on what; what is neither proved nor vouched for stays doubted."""
    config = write_json(tmp_path / "mine.json", {"ttt": {"mini_batch_size": 8}, "run_dir": "runs/a"})
    written = tttcfg.adopt(folder, config)
    document = tttcfg.load_document(written)
    training: TrainingArgs = document.training
    assert (training.ttt.layers, training.ttt.mini_batch_size) == ((1, 2), 8)
    proved, vouched = document.provenance["adopted"].values()
    assert proved["ttt.layers"] == [1, 2]
    assert vouched == {"ttt.mini_batch_size": 8, "run_dir": "runs/a"}
    doubts = {one.key for one in tttcfg.resolve(folder).findings if one.code == "doubt"}
    assert "ttt.base_lr" in doubts
    assert "ttt.mini_batch_size" not in doubts
    with pytest.raises(InputError, match="nothing to adopt"):
        tttcfg.adopt(folder, config)


def test_nothing_is_adopted_against_the_tensors(folder: Path) -> None:
    write_json(folder / "config.json", {**MODEL, "dim": 32})
    with pytest.raises(ContradictionError):
        tttcfg.adopt(folder)
    assert not (folder / "training_config.json").exists()


def test_a_file_that_the_tensors_refute_is_not_vouched_for(folder: Path, tmp_path: Path) -> None:
    """Everything that is wrong in it is named at once, with its place and the tensor."""
    wrong = {"ttt": {"layers": "all", "mlp": {"layers": 3}, "base_lr": 0.5}, "lora": {"enable": True, "rank": 8}}
    config = write_json(tmp_path / "wrong.json", wrong)
    with pytest.raises(ContradictionError) as caught:
        tttcfg.adopt(folder, config)
    told = {problem.key: problem.message for problem in caught.value.problems}
    assert told.keys() == {"ttt.layers", "ttt.mlp.layers", "lora.enable"}
    assert f"({config}:1:10)" in told["ttt.layers"]
    assert "transformer.layers.1." in told["ttt.layers"]
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
def test_a_file_that_says_the_same_in_any_words_is_vouched_for(folder: Path, words: dict[str, Any]) -> None:
    written = tttcfg.adopt(folder, {"ttt": words})
    assert tttcfg.verify(folder).binding == "unbound"
    assert tttcfg.load_document(written).training.ttt.layers == (1, 2)
