"""ttt-lm-pytorch: what a language model is made of is what it proves, its mini-batch included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.dialects.tensors import FEW_HIDDEN, SIZES, Size, evidence_of, lm_pytorch, problems, proved_values

SIZE = Size()
BLOCK = "model.layers.0.seq_modeling_block."


@given(size=SIZES, hidden=FEW_HIDDEN, share_qk=st.booleans(), use_gate=st.booleans(), pre_conv=st.booleans())
def test_what_a_model_is_made_of_is_what_it_proves(
    size: Size, hidden: tuple[int, ...], share_qk: bool, use_gate: bool, pre_conv: bool
) -> None:
    evidence = evidence_of(lm_pytorch(size, hidden, share_qk, use_gate, pre_conv))
    assert evidence.dialect is not None
    assert evidence.dialect.name == "ttt_lm_pytorch"
    assert evidence.problems == ()
    assert {name: proof.value for name, proof in evidence.dimensions.items()} == {
        "model_dim": size.width,
        "num_heads": size.heads,
        "head_dim": size.head_dim,
        "num_layers": size.layers,
        "mini_batch_size": size.mini_batch,
    }
    assert evidence.widths is not None
    assert evidence.widths.value == (size.head_dim, *hidden, size.head_dim)


def test_the_token_index_proves_the_mini_batch() -> None:
    evidence = evidence_of(lm_pytorch(SIZE, ()))
    assert proved_values(evidence)["ttt.mini_batch_size"] == 8
    assert evidence.dimensions["mini_batch_size"].tensor == "model.layers.0.seq_modeling_block.learnable_token_idx"


def test_a_model_without_its_head_has_one_prefix_less() -> None:
    shapes = {name.removeprefix("model."): shape for name, shape in lm_pytorch(SIZE, (64,)).items()}
    evidence = evidence_of(shapes)
    assert evidence.problems == ()
    assert proved_values(evidence)["ttt.num_layers"] == 4


def test_projections_have_no_bias() -> None:
    """A file with biases is reported as of another program."""
    name = "model.layers.2.seq_modeling_block.q_proj.bias"
    assert problems(lm_pytorch(SIZE, ()) | {name: [64]}) == [
        f"has {name}, which no TTT layer of ttt-lm-pytorch has",
    ]


@pytest.mark.parametrize("share_qk", [False, True])
def test_keys_have_their_projection_or_share_that_of_queries(share_qk: bool) -> None:
    """One of the two is there in full: a projection of their own, or both convolutions."""
    shapes = lm_pytorch(SIZE, (), share_qk=share_qk)
    names = ("conv_q.weight", "conv_q.bias", "conv_k.weight", "conv_k.bias") if share_qk else ("k_proj.weight",)
    for name in names:
        dropped = {one: shape for one, shape in shapes.items() if one != f"{BLOCK}{name}"}
        assert problems(dropped) == [f"lacks {name} in TTT layer 0"]


def test_keys_are_not_projected_in_both_ways() -> None:
    both = lm_pytorch(SIZE, (), share_qk=True) | lm_pytorch(SIZE, ())
    (problem,) = problems(both)
    assert "conv_q.weight" in problem
    assert "which no TTT layer" in problem


def test_an_inner_model_of_three_layers_is_none_of_this_program() -> None:
    expected = "has 3 inner layers named WN, and ttt-lm-pytorch uses these names for 1 to 2: TTT layers 0, 1, 2, 3"
    assert problems(lm_pytorch(SIZE, (64, 64))) == [expected]


def test_a_convolution_in_front_of_a_layer_is_none_inside_it() -> None:
    without, with_it = (proved_values(evidence_of(lm_pytorch(SIZE, (), pre_conv=conv))) for conv in (False, True))
    assert without == with_it
