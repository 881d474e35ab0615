"""kyutai's moshi-finetune: Moshi without TTT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.dialects.tensors import (
    SIZES,
    Shapes,
    Size,
    evidence_of,
    frozen,
    lora,
    moshi,
    moshi_linears,
    moshi_others,
    old_moshi,
    problems,
    proved_values,
    unfrozen,
)

SIZE = Size()


def dialect_of(shapes: Shapes) -> str | None:
    dialect = evidence_of(shapes).dialect
    return dialect.name if dialect else None


@given(size=SIZES)
def test_a_whole_model_proves_its_width_its_depth_and_that_ttt_is_off(size: Size) -> None:
    for shapes in (moshi(size), old_moshi(size)):
        evidence = evidence_of(shapes)
        assert dialect_of(shapes) == "moshi_finetune"
        assert evidence.problems == ()
        assert {name: proof.value for name, proof in evidence.dimensions.items()} == {
            "model_dim": size.width,
            "num_layers": size.layers,
        }
        assert proved_values(evidence)["ttt.enable"] is False
        assert proved_values(evidence)["lora.enable"] is False


@given(size=SIZES, rank=st.integers(1, 512))
def test_an_adapter_file_proves_its_rank_and_the_depth(size: Size, rank: int) -> None:
    evidence = evidence_of(lora(moshi_linears(size), rank))
    assert evidence.dialect is not None
    assert evidence.dialect.name == "moshi_finetune"
    assert evidence.problems == ()
    proved = proved_values(evidence)
    assert proved["lora.rank"] == rank
    assert proved["ttt.num_layers"] == size.layers
    assert proved["ttt.model_dim"] == size.width
    assert proved["full_finetuning"] is False


WIDE = [name for name, (_, given) in moshi_linears(Size(layers=1)).items() if given == 64]


@pytest.mark.parametrize("name", WIDE)
def test_every_adapter_on_the_models_width_shows_it(name: str) -> None:
    linears = moshi_linears(SIZE)
    (problem,) = problems(lora({**linears, name: [linears[name][0], 48]}, 8))
    assert f"48 in {name}.lora_A.weight" in problem
    assert problem.startswith("model_dim: ")


def test_adapters_on_other_widths_prove_nothing_of_the_models() -> None:
    depth = {name: shape for name, shape in moshi_linears(SIZE).items() if name.startswith(("depformer.", "linears."))}
    assert len({given for _, given in depth.values()}) > 1
    evidence = evidence_of(lora(depth | {"transformer.layers.0.gating.linear_out": [64, 168]}, 8))
    assert evidence.problems == ()
    assert "model_dim" not in evidence.dimensions


@pytest.mark.parametrize("name", ["weights.lora_A.default.weight", "weights.lora_magnitude_vector.weight"])
def test_adapters_of_another_library_are_a_problem(name: str) -> None:
    named = f"transformer.layers.0.gating.linear_in.{name}"
    assert problems(moshi(SIZE) | {named: [8, 64]}) == [
        f"has {named}, and kyutai's moshi-finetune has no adapters of such names"
    ]


def test_the_parts_that_not_every_moshi_has_are_known() -> None:
    """Moshi's own code builds them from its config.json: cross-attention, layer scales, conditions, further heads."""
    layer = "transformer.layers.0."
    parts = ("cross_attention.in_proj_weight", "norm_cross.weight", "layer_scale_1.scale", "layer_scale_cross.scale")
    others = ("condition_provider.conditioners.x.embed.weight", "extra_heads.0.weight", "depformer_norms.0.alpha")
    found = evidence_of(moshi(SIZE) | {name: [64, 64] for name in (*(layer + part for part in parts), *others)})
    assert found.notes == ()


def test_a_running_model_with_lora_holds_the_base_too() -> None:
    linears = moshi_linears(SIZE)
    evidence = evidence_of(frozen(linears) | lora(linears, 8) | moshi_others(SIZE))
    assert evidence.whole
    assert evidence.unfrozen is None
    assert proved_values(evidence)["lora.rank"] == 8


def test_old_attention_names_count_as_trained_attention() -> None:
    """Files from before the attention was split by step have one in_proj_weight."""
    trained = {"transformer.layers.1.self_attn.in_proj_weight": [192, 64]}
    evidence = evidence_of(trained | lora(moshi_linears(SIZE), 8))
    assert evidence.unfrozen is not None
    assert evidence.unfrozen.value == (1,)


def test_trained_attention_is_read_by_layer_without_ttt() -> None:
    evidence = evidence_of(unfrozen(SIZE, (0, 3), ()) | lora(moshi_linears(SIZE), 8))
    assert evidence.unfrozen is not None
    assert evidence.unfrozen.value == (0, 3)


def test_a_depth_transformer_alone_is_nobodys() -> None:
    """Its layers are named like the others, below another prefix."""
    assert dialect_of({name: shape for name, shape in moshi(SIZE).items() if name.startswith("depformer")}) is None


def test_a_transformer_of_torch_itself_is_not_taken_for_moshi() -> None:
    """nn.TransformerEncoder names its attention as old Moshi files do; no gating, no Moshi."""
    names = ("self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "norm1.weight")
    assert dialect_of({f"transformer.layers.0.{name}": [64, 64] for name in names}) is None


def test_one_part_of_a_model_in_several_files_is_not_taken_for_adapters() -> None:
    part = {name: shape for name, shape in moshi(SIZE).items() if ".layers.0." in name}
    evidence = evidence_of(part)
    assert evidence.whole
    assert evidence.unfrozen is None
    assert "full_finetuning" not in proved_values(evidence)
    (problem,) = problems(part)
    assert "of the base model, and not all of it; give all files of the model" in problem
