"""moshi_in_place: another TTT, which our fields do not describe."""

from __future__ import annotations

import pytest

from tests.evidence.dialects.tensors import Size, evidence_of, in_place, lora, moshi_linears, problems, proved_values

SIZE = Size()


@pytest.mark.parametrize("tensors", [in_place(SIZE, (1, 3)), in_place(SIZE, range(4))], ids=["some", "all"])
def test_its_file_is_recognised_and_its_layers_are_known(tensors: dict[str, list[int]]) -> None:
    evidence = evidence_of(tensors)
    assert evidence.dialect is not None
    assert evidence.dialect.name == "moshi_in_place"
    assert evidence.problems == ()
    assert evidence.dimensions["model_dim"].value == 64
    assert evidence.dimensions["num_layers"].value == 4


def test_nothing_is_claimed_of_our_ttt_fields() -> None:
    """Its TTT replaces the down projection; our fields would mean something else by it."""
    proved = proved_values(evidence_of(in_place(SIZE, (1, 3))))
    assert proved == {"param_dtype": "bfloat16"}


def test_its_tensors_beside_adapters_alone_are_its_own() -> None:
    own = {name: shape for name, shape in in_place(SIZE, (1, 3)).items() if "w_down" in name or "target_gen" in name}
    evidence = evidence_of(own | lora(moshi_linears(SIZE), 8))
    assert evidence.dialect is not None
    assert evidence.dialect.name == "moshi_in_place"
    assert evidence.problems == ()


def test_a_down_projection_that_is_no_matrix_is_a_problem() -> None:
    name = "transformer.layers.1.gating.w_down"
    assert f"{name} is [64], and should be [model_dim, hidden]" in problems(in_place(SIZE, (1,)) | {name: [64]})
