"""What tensors prove of the fields, and which other words for it a configuration may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import checkpoint
from tests.evidence.dialects import tensors
from tests.evidence.dialects.tensors import Size, evidence_of, proved_values
from tests.safetensors.files import weights_file
from tttcfg.ttt_moshi.tensors import MoshiTensors

SIZE = Size()
MODEL = {"dim": 64, "num_heads": 4, "num_layers": 4, "context": 3000}
SHOWN = MoshiTensors().proved(evidence_of(tensors.consolidated(SIZE, (1, 2), (64,))))


def without_document(run: Path, hidden: tuple[int, ...] = (64,), layers: tuple[int, ...] = (1, 2)) -> Path:
    folder = checkpoint(run, None, MODEL)
    shapes = tensors.consolidated(SIZE, layers, hidden)
    found = {name: ("F32", shape) for name, shape in shapes.items()}
    weights_file(folder / "consolidated" / "consolidated.safetensors", found)
    return folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ttt.layers": "middle"}, {"ttt.layers"}),
        ({"ttt.layers": "all"}, set()),
        ({"ttt.layers": (1, 2)}, set()),
        ({"ttt.mlp.hidden_dims": (64,)}, {"ttt.mlp.hidden_dims"}),
        ({"ttt.mlp.hidden_dims": (32,)}, set()),
        ({"ttt.mlp.hidden_dims": (64, 64)}, set()),
        ({"ttt.mlp.expansion_factor": 4.03}, {"ttt.mlp.expansion_factor"}),
        ({"ttt.mlp.expansion_factor": 3.9}, set()),
        (
            {"ttt.mlp.hidden_dims": (64,), "ttt.mlp.expansion_factor": 2.0},
            {"ttt.mlp.hidden_dims", "ttt.mlp.expansion_factor"},
        ),
        ({"ttt.mlp.hidden_dims": None, "ttt.mlp.expansion_factor": 2.0}, set()),
        ({}, set()),
    ],
)
def test_other_words_for_what_is_proved_are_distinguished_from_other_values(
    given: dict[str, Any], expected: set[str]
) -> None:
    assert set(MoshiTensors().equivalent(SHOWN, given, MODEL)) == expected


def test_a_word_for_layers_needs_a_depth() -> None:
    """That of the tensors, or else that of config.json, where it is usable."""
    shallow = MoshiTensors().proved(evidence_of(tensors.moshi_ttt(SIZE, (1, 2), (64,))))
    given = {"ttt.layers": "middle"}
    assert set(MoshiTensors().equivalent(shallow, given, MODEL)) == {"ttt.layers"}
    assert set(MoshiTensors().equivalent(shallow, given, None)) == set()
    assert set(MoshiTensors().equivalent(shallow, given, {"num_layers": 10**12})) == set()


def test_a_word_for_trained_attention_is_distinguished_from_another_value() -> None:
    shapes = tensors.moshi_ttt(SIZE, (1, 2), (64,))
    shown = MoshiTensors().proved(evidence_of(shapes | tensors.unfrozen(SIZE, (1, 2), (1, 2))))
    key = "ttt.unfrozen_attention_layers"
    assert set(MoshiTensors().equivalent(shown, {key: "middle"}, MODEL)) == {key}
    assert set(MoshiTensors().equivalent(shown, {key: "none"}, MODEL)) == set()


@pytest.mark.parametrize(
    "mlp",
    [{"hidden_dims": [64]}, {"hidden_dims": [64], "expansion_factor": 2.0}, {"expansion_factor": 4.03}, {}],
)
def test_a_file_that_agrees_with_the_tensors_is_used_silently(tmp_path: Path, mlp: dict[str, Any]) -> None:
    config = {"ttt": {"enable": True, "layers": "middle", "mlp": mlp}, "param_dtype": "float32"}
    effective = tttcfg.resolve(without_document(tmp_path), config)
    assert effective.training.ttt.layers == "middle"
    assert effective.training.ttt.mlp.hidden_dims == (tuple(mlp["hidden_dims"]) if "hidden_dims" in mlp else None)
    assert effective.training.ttt.mlp.expansion_factor == mlp.get("expansion_factor", 4.0)
    assert effective.ttt is not None
    assert effective.ttt.inner_layer_sizes == (16, 64, 16)
    assert [one.source for one in effective.origins["ttt.layers"]] == ["config", "weights", "default"]
    assert not [one for one in effective.findings if one.code in ("restored", "contradiction")]
    assert effective.verification is not None
    assert effective.verification.verdicts["ttt.layers"].outcome == "verified"


@pytest.mark.parametrize(
    "mlp", [{"hidden_dims": [32]}, {"expansion_factor": 2.0}, {"layers": 3, "hidden_dims": [64, 64]}]
)
def test_the_tensors_override_a_file_that_differs(tmp_path: Path, mlp: dict[str, Any]) -> None:
    effective = tttcfg.resolve(without_document(tmp_path), {"ttt": {"layers": [0, 3], "mlp": mlp}})
    assert effective.training.ttt.layers == (1, 2)
    assert effective.ttt is not None
    assert effective.ttt.inner_layer_sizes == (16, 64, 16)
    restored = {one.key for one in effective.findings if one.code == "restored"}
    assert restored == {"ttt.layers", *(f"ttt.mlp.{name}" for name in mlp)}


def test_what_is_adopted_keeps_the_words_of_the_file(tmp_path: Path) -> None:
    config = {"ttt": {"enable": True, "layers": "middle", "mlp": {"hidden_dims": [64]}}, "run_dir": "runs/a"}
    document = tttcfg.load_document(tttcfg.adopt(without_document(tmp_path), config))
    assert document.training.ttt.layers == "middle"
    assert document.training.ttt.mlp.hidden_dims == (64,)


def test_widths_that_no_factor_expresses_are_listed() -> None:
    """A factor has an upper end; the widths of such an inner model are proved all the same."""
    shown = proved_values(evidence_of(tensors.consolidated(Size(heads=4, head_dim=1), (1,), (20_000,))))
    assert shown["ttt.mlp.hidden_dims"] == [20_000]
    assert "ttt.mlp.expansion_factor" not in shown
