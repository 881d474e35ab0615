"""ttt-lm-kernels: the same models with fused projections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.dialects.tensors import FEW_HIDDEN, SIZES, Size, evidence_of, lm_kernels, problems, proved_values

SIZE = Size()
BLOCK = "model.layers.0.seq_modeling_block."


@given(size=SIZES, hidden=FEW_HIDDEN, conv=st.booleans())
def test_what_a_model_is_made_of_is_what_it_proves(size: Size, hidden: tuple[int, ...], conv: bool) -> None:
    evidence = evidence_of(lm_kernels(size, hidden, conv))
    assert evidence.dialect is not None
    assert evidence.dialect.name == "ttt_lm_kernels"
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


@pytest.mark.parametrize("name", ["conv_q.weight", "conv_q.bias", "conv_k.weight", "conv_k.bias", "o_proj.weight"])
def test_queries_and_keys_always_share_their_projection(name: str) -> None:
    shapes = {one: shape for one, shape in lm_kernels(SIZE, ()).items() if one != f"{BLOCK}{name}"}
    assert problems(shapes) == [f"lacks {name} in TTT layer 0"]


def test_the_token_index_proves_the_mini_batch_from_its_third_axis() -> None:
    evidence = evidence_of(lm_kernels(SIZE, ()))
    assert proved_values(evidence)["ttt.mini_batch_size"] == 8
    assert evidence.dimensions["mini_batch_size"].tensor == f"{BLOCK}learnable_token_idx_bias"


def test_the_token_index_of_the_other_program_is_the_wrong_shape_here() -> None:
    name = f"{BLOCK}learnable_token_idx_bias"
    (problem,) = problems(lm_kernels(SIZE, ()) | {name: [8]})
    assert problem == f"{name} is [8], and should be [1, 1, mini_batch_size, 1]"


def test_the_fused_projection_names_what_it_holds() -> None:
    name = f"{BLOCK}qkv_learnable_ttt_lr_proj.weight"
    (problem,) = problems(lm_kernels(SIZE, ()) | {name: [64]})
    assert problem == f"{name} is [64], and should be [3 model_dim + num_heads, model_dim]"
