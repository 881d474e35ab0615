"""Which dialect names are in: one, and otherwise none, with the reason."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evidence.dialects.tensors import (
    Shapes,
    Size,
    adapters,
    consolidated,
    evidence_of,
    in_place,
    lm_kernels,
    lm_pytorch,
    lora,
    moshi,
    moshi_linears,
    problems,
    proved_values,
    video_dit,
)
from tests.strategies import encodable
from tttcfg.evidence.tensor_names import DIALECTS, recognise

SIZE = Size()
WHOLE: dict[str, Shapes] = {
    "ttt_moshi": consolidated(SIZE, (1, 2), (64,)),
    "moshi_finetune": moshi(SIZE),
    "moshi_in_place": in_place(SIZE, (1, 2)),
    "ttt_video_dit": video_dit(SIZE, (64,)),
    "ttt_lm_pytorch": lm_pytorch(SIZE, (64,)),
    "ttt_lm_kernels": lm_kernels(SIZE, (64,)),
}


def test_every_dialect_has_an_example() -> None:
    assert DIALECTS.keys() == WHOLE.keys()


def test_a_module_is_named_as_its_dialect() -> None:
    assert all(name == one.name for name, one in DIALECTS.items())


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_dialect_recognises_its_own_names_alone(name: str) -> None:
    assert [one.name for one in recognise(WHOLE[name])] == [name]


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_dialect_knows_every_tensor_of_its_model(name: str) -> None:
    evidence = evidence_of(WHOLE[name])
    assert (evidence.problems, evidence.notes) == ((), ())


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_tensor_that_no_such_model_has_is_named_and_proves_nothing(name: str) -> None:
    evidence = evidence_of(WHOLE[name] | {"optimizer.state.0": [8], "ema.out_norm.alpha": [1, 1, 8]})
    (note,) = evidence.notes
    assert note.message.startswith("has optimizer.state.0, ema.out_norm.alpha, which ")
    assert proved_values(evidence) == proved_values(evidence_of(WHOLE[name]))


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_an_unknown_tensor_of_a_layer_may_be_of_its_ttt(name: str) -> None:
    start = next(found.group() for one in WHOLE[name] if (found := re.match(DIALECTS[name].base.layer, one)))
    evidence = evidence_of(WHOLE[name] | {f"{start}_orig_mod.W1": [4, 16, 16]})
    (note,) = evidence.notes
    assert "not known which layers have TTT" in note.message
    assert evidence.layers is None
    assert evidence.known_layers == evidence_of(WHOLE[name]).layers
    proved = proved_values(evidence)
    assert proved.keys().isdisjoint({"ttt.layers", "ttt.layer_indices"})
    has_ttt = name not in ("moshi_finetune", "moshi_in_place")
    assert proved.get("ttt.enable") is (True if has_ttt else None)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_whatever_order_the_tensors_are_in_they_prove_the_same(name: str) -> None:
    forwards, backwards = WHOLE[name], dict(reversed(WHOLE[name].items()))
    assert proved_values(evidence_of(forwards)) == proved_values(evidence_of(backwards))


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_no_tensor_of_a_ttt_layer_is_optional_unless_declared(name: str) -> None:
    """Without any one of the tensors that all layers need, a layer is reported as incomplete."""
    dialect = DIALECTS[name]
    for suffix in dialect.tensors:
        dropped = {one: shape for one, shape in WHOLE[name].items() if not one.endswith(f".{suffix}")}
        if dropped.keys() == WHOLE[name].keys() or recognise(dropped) != (dialect,):
            continue
        assert any(problem.startswith(f"lacks {suffix} in TTT layer") for problem in problems(dropped)), suffix


@pytest.mark.parametrize(
    "pair",
    [pair for pair in combinations(sorted(WHOLE), 2) if "moshi_finetune" not in pair],
    ids="-".join,
)
def test_mixed_dialects_prove_nothing_and_are_named(pair: tuple[str, str]) -> None:
    evidence = evidence_of(WHOLE[pair[0]] | WHOLE[pair[1]])
    assert evidence.dialect is None
    (problem,) = evidence.problems
    assert problem.code == "weights"
    assert all(DIALECTS[name].title in problem.message for name in pair)
    assert proved_values(evidence).keys() == {"param_dtype", "ttt.dtype"}


@pytest.mark.parametrize(
    "names",
    [
        ("model.layers.0.self_attn.q_proj.weight", "model.norm.weight", "lm_head.weight"),
        ("model.layers.0.seq_modeling_block.W1",),
        ("transformer.h.0.attn.c_attn.weight",),
        ("transformer.layers.0.norm1.alpha", "out_norm.alpha"),
        ("transformer_blocks.0.attn1.to_q.weight",),
        ("a",),
    ],
)
def test_unknown_names_prove_nothing_and_are_shown(names: tuple[str, ...]) -> None:
    evidence = evidence_of({name: [4, 4] for name in names})
    assert evidence.dialect is None
    (problem,) = evidence.problems
    assert problem.code == "dialect"
    assert f"has tensor names of no known program ({names[0]!r}" in problem.message
    assert all(one.title in problem.message for one in DIALECTS.values())


def test_a_file_without_tensors_is_of_no_dialect() -> None:
    assert problems({})[0].startswith("holds no tensors")


@pytest.mark.parametrize("index", ["01", "-1", "+1", "٣", "100000", "9" * 5000, "1_0", " 1", ""])
def test_an_index_that_no_program_writes_is_no_layer(index: str) -> None:
    names = {f"transformer.layers.{index}.gating.linear_in.weight": [4, 4]}
    assert evidence_of(names).dialect is None


def test_a_known_name_inside_another_with_a_line_break_is_not_taken_for_one() -> None:
    names = {f"a\n{name}\nb": shape for name, shape in lora(moshi_linears(SIZE), 8).items()}
    assert evidence_of(names).dialect is None


@given(st.lists(st.text(encodable, max_size=40), min_size=1, unique=True))
def test_any_names_are_read_without_an_error(names: list[str]) -> None:
    shapes: Shapes = {f"{name}x": [2] for name in names}
    shapes |= {f"transformer.layers.0.seq_modeling_block.{name}": [2] for name in names}
    evidence = evidence_of(shapes | adapters(SIZE, (1,), (), 4))
    assert evidence.dialect is not None
    assert evidence.problems


def test_every_pattern_of_a_layer_has_its_index_as_the_first_group() -> None:
    for one in DIALECTS.values():
        for pattern in (one.block, one.base.layer, one.base.converted, one.base.attention):
            assert not pattern or re.compile(pattern).groups == 1, one.name
