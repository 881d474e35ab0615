"""ttt-lm-pytorch: what a language model is made of is what it proves, its mini-batch included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.tensors import HIDDEN, SIZES, Size, evidence_of, lm_pytorch, problems, said

SIZE = Size()


@given(size=SIZES, hidden=HIDDEN, share_qk=st.booleans(), use_gate=st.booleans(), pre_conv=st.booleans())
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
    assert said(evidence)["ttt.mini_batch_size"] == 8
    assert evidence.dimensions["mini_batch_size"].tensor == "model.layers.0.seq_modeling_block.learnable_token_idx"


def test_a_model_without_its_head_has_one_prefix_less() -> None:
    shapes = {name.removeprefix("model."): shape for name, shape in lm_pytorch(SIZE, (64,)).items()}
    evidence = evidence_of(shapes)
    assert evidence.problems == ()
    assert said(evidence)["ttt.num_layers"] == 4


def test_projections_have_no_bias() -> None:
    """A file with biases is of another program, and says so."""
    name = "model.layers.2.seq_modeling_block.q_proj.bias"
    assert problems(lm_pytorch(SIZE, ()) | {name: [64]}) == [
        f"has {name}, which no TTT layer of ttt-lm-pytorch has",
    ]


def test_a_convolution_in_front_of_a_layer_is_none_inside_it() -> None:
    without, with_it = (said(evidence_of(lm_pytorch(SIZE, (), pre_conv=conv))) for conv in (False, True))
    assert without == with_it
