"""The Moshi TTT trainer's files: what they are made of is what they prove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.dialects.tensors import (
    HIDDEN,
    SIZES,
    Shapes,
    Size,
    adapters,
    consolidated,
    converted,
    evidence_of,
    frozen,
    lora,
    moshi_linears,
    moshi_others,
    moshi_ttt,
    problems,
    proved_values,
    unfrozen,
)

SIZE = Size()
MLP = (64,)
DIMENSIONS = {"ttt.model_dim": 64, "ttt.num_heads": 4, "ttt.head_dim": 16}


@given(size=SIZES, hidden=HIDDEN, data=st.data())
def test_what_a_consolidated_file_is_made_of_is_what_it_proves(size: Size, hidden: tuple[int, ...], data: Any) -> None:
    layers = data.draw(st.sets(st.integers(0, size.layers - 1), min_size=1))
    evidence = evidence_of(consolidated(size, layers, hidden))
    assert evidence.dialect is not None
    assert evidence.dialect.name == "ttt_moshi"
    assert evidence.problems == ()
    assert {name: proof.value for name, proof in evidence.dimensions.items()} == {
        "model_dim": size.width,
        "num_heads": size.heads,
        "head_dim": size.head_dim,
        "num_layers": size.layers,
    }
    assert evidence.layers.value == tuple(sorted(layers))
    assert evidence.widths is not None
    assert evidence.widths.value == (size.head_dim, *hidden, size.head_dim)
    assert evidence.whole
    assert evidence.rank is None


@given(size=SIZES, hidden=HIDDEN, rank=st.integers(1, 256), data=st.data())
def test_what_an_adapter_file_is_made_of_is_what_it_proves(
    size: Size, hidden: tuple[int, ...], rank: int, data: Any
) -> None:
    layers = data.draw(st.sets(st.integers(0, size.layers - 1), min_size=1))
    evidence = evidence_of(adapters(size, layers, hidden, rank))
    assert evidence.problems == ()
    assert evidence.layers.value == tuple(sorted(layers))
    assert evidence.rank is not None
    assert evidence.rank.value == rank
    assert evidence.dimensions["num_layers"].value == size.layers
    assert not evidence.whole


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        ((), {"ttt.inner_model": "linear", "ttt.inner_layer_sizes": [16, 16]}),
        (MLP, {"ttt.inner_model": "mlp", "ttt.mlp.layers": 2, "ttt.inner_layer_sizes": [16, 64, 16]}),
        ((64,) * 4, {"ttt.inner_model": "mlp", "ttt.mlp.layers": 5, "ttt.inner_layer_sizes": [16, *[64] * 4, 16]}),
        ((48, 32), {"ttt.inner_model": "mlp", "ttt.mlp.layers": 3, "ttt.mlp.hidden_dims": [48, 32]}),
    ],
)
def test_the_inner_model_follows_from_its_tensors(hidden: tuple[int, ...], expected: dict[str, Any]) -> None:
    proved = proved_values(evidence_of(consolidated(SIZE, (1, 2), hidden)))
    assert expected.items() <= proved.items()
    assert DIMENSIONS.items() <= proved.items()
    assert proved["ttt.layers"] == [1, 2]
    assert proved["ttt.enable"] is True


def test_a_consolidated_file_has_no_adapters_and_is_silent_on_what_was_trained() -> None:
    proved = proved_values(evidence_of(consolidated(SIZE, (1, 2), MLP)))
    assert proved["lora.enable"] is False
    assert proved.keys().isdisjoint({"lora.rank", "full_finetuning", "ttt.unfrozen_attention_layers"})


def test_adapters_prove_their_rank_and_that_not_everything_was_trained() -> None:
    proved = proved_values(evidence_of(adapters(SIZE, (1, 2), MLP, 8)))
    expected = {
        "lora.enable": True,
        "lora.rank": 8,
        "lora.ft_embed": False,
        "full_finetuning": False,
        "ttt.num_layers": 4,
    }
    assert expected.items() <= proved.items()
    assert "ttt.unfrozen_attention_layers" not in proved  # beside an adapter, trained attention need not be saved


def test_a_file_of_ttt_alone_proves_that_no_attention_was_trained() -> None:
    assert proved_values(evidence_of(moshi_ttt(SIZE, (1, 2), MLP)))["ttt.unfrozen_attention_layers"] == "none"


def test_a_file_of_ttt_alone_does_not_tell_how_deep_the_model_is() -> None:
    evidence = evidence_of(moshi_ttt(SIZE, (0, 1), MLP))
    assert evidence.problems == ()
    assert "num_layers" not in evidence.dimensions
    assert proved_values(evidence)["lora.enable"] is False


def test_adapters_outside_the_layers_do_not_tell_how_deep_the_model_is() -> None:
    outside = {name: shape for name, shape in moshi_linears(SIZE).items() if not name.startswith("transformer.")}
    evidence = evidence_of(lora(outside, 8) | moshi_ttt(SIZE, (0, 1), MLP))
    assert evidence.problems == ()
    assert "num_layers" not in evidence.dimensions


def test_adapters_of_converted_layers_without_their_ttt_are_a_problem() -> None:
    """Adapters under original_layer show which layers have TTT, and no tensor of it is there."""
    shapes = converted(lora(moshi_linears(SIZE), 8), (1, 2), twice=False)
    evidence = evidence_of(shapes)
    assert evidence.layers.value == (1, 2)
    (problem,) = problems(shapes)
    assert problem.startswith("lacks forward_ssm_gating.gating_alpha, ")
    assert problem.endswith(" more in TTT layers 1, 2")


@pytest.mark.parametrize("named", ["weight", "frozen_W.weight"])
def test_trained_base_attention_is_read_by_layer(named: str) -> None:
    """Beside an adapter the trained weight is called frozen_W; without LoRA it has its plain name."""
    trained = {name.replace("weight", named): shape for name, shape in unfrozen(SIZE, (0, 2), (2,)).items()}
    evidence = evidence_of(trained | adapters(SIZE, (2,), MLP, 8))
    assert evidence.problems == ()
    assert proved_values(evidence)["ttt.unfrozen_attention_layers"] == [0, 2]


def test_a_trained_embedding_lies_beside_the_adapters() -> None:
    embedding = {"text_emb.weight": [51, 64], "emb.0.weight": [33, 64]}
    assert proved_values(evidence_of(embedding | adapters(SIZE, (2,), MLP, 8)))["lora.ft_embed"] is True


def test_doubled_names_without_the_first_still_show_the_converted_layers() -> None:
    """A writer that drops the second name of a shared tensor may keep either."""
    dropped = {k: v for k, v in consolidated(SIZE, (1,), MLP).items() if not k.startswith("transformer.layers.1.orig")}
    evidence = evidence_of(dropped)
    assert evidence.problems == ()
    assert evidence.layers.value == (1,)


def test_a_tensor_that_the_block_never_had_is_named() -> None:
    strange = "transformer.layers.1.seq_modeling_block.ttt_layer.ttt.W7"
    (problem,) = problems(consolidated(SIZE, (1, 2), MLP) | {strange: [4, 16, 16]})
    assert problem == f"has {strange}, which no TTT layer of the Moshi TTT trainer has"


REAL: dict[str, tuple[Shapes, dict[str, Any]]] = {
    "moshi_ttt_mlp2": (consolidated(SIZE, (1, 2), MLP), {"ttt.layers": [1, 2], "ttt.mlp.layers": 2}),
    "moshi_ttt_mlp5": (consolidated(SIZE, (3,), (64,) * 4), {"ttt.layers": [3], "ttt.mlp.layers": 5}),
    "moshi_ttt_lora_mlp2": (
        converted(frozen(moshi_linears(SIZE)) | lora(moshi_linears(SIZE), 8) | moshi_others(SIZE), (1, 2))
        | moshi_ttt(SIZE, (1, 2), MLP),
        {"ttt.layers": [1, 2], "lora.rank": 8, "lora.enable": True},
    ),
}


def real(name: str, shared_data: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared_data / "headers" / f"{name}.json").read_bytes())
    return values


@pytest.mark.parametrize("name", sorted(REAL))
def test_our_builder_makes_the_names_and_shapes_of_a_real_model(name: str, shared_data: Path) -> None:
    found = {tensor: entry["shape"] for tensor, entry in real(name, shared_data).items()}
    assert found == REAL[name][0]


@pytest.mark.parametrize("name", sorted(REAL))
def test_a_real_model_proves_what_it_was_built_with(name: str, shared_data: Path) -> None:
    evidence = evidence_of({tensor: entry["shape"] for tensor, entry in real(name, shared_data).items()}, "F32")
    assert (evidence.problems, evidence.notes) == ((), ())
    expected = {**DIMENSIONS, "ttt.num_layers": 4, "param_dtype": "float32", **REAL[name][1]}
    assert expected.items() <= proved_values(evidence).items()


def test_every_real_header_is_tried(shared_data: Path) -> None:
    assert {path.stem for path in (shared_data / "headers").glob("*.json")} == REAL.keys()
