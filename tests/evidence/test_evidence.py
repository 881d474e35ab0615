"""Tensors that contradict each other, are incomplete or are hostile: always a sentence, never an error or a guess."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import some
from tests.evidence.dialects.tensors import (
    Shapes,
    Size,
    adapters,
    consolidated,
    evidence_of,
    header_of,
    lm_pytorch,
    lora,
    moshi,
    moshi_linears,
    moshi_ttt,
    old_moshi,
    problems,
    proved_values,
)
from tttcfg.evidence.evidence import gather
from tttcfg.safetensors.header import Header

SIZE = Size()
WHOLE = consolidated(SIZE, (1, 2), (64,))
BLOCK = "transformer.layers.{}.seq_modeling_block."
TTT = BLOCK + "ttt_layer.ttt."
FIRST, SECOND = TTT.format(1), TTT.format(2)


def without(shapes: Shapes, *names: str) -> Shapes:
    assert shapes.keys() >= set(names)
    return {name: shape for name, shape in shapes.items() if name not in names}


def test_a_proof_names_the_tensor_that_shows_it() -> None:
    evidence = evidence_of(WHOLE)
    assert evidence.layers.tensor.startswith(BLOCK.format(1))
    assert evidence.dimensions["num_layers"].tensor.startswith("transformer.layers.3.")
    assert evidence.widths is not None
    assert evidence.widths.tensor == f"{FIRST}W1"


def test_every_problem_has_a_code_and_the_file() -> None:
    evidence = evidence_of(WHOLE | {f"{FIRST}W1": [4, 16]})
    assert {(problem.code, problem.place) for problem in evidence.problems} == {("weights", "model.safetensors")}


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("wq.weight", [64], "is [64], and should be [model_dim, model_dim]"),
        ("learnable_ttt_lr_weight", [4, 2, 64], "is [4, 2, 64], and should be [num_heads, 1, model_dim]"),
        ("ttt_norm_bias", [], "is [], and should be [num_heads, head_dim]"),
        ("W1", [4, 16], "is [4, 16], and should be [num_heads, width in, width out]"),
        ("b1", [4, 1, 65], "is [4, 1, 65], and should be [num_heads, 1, 64]"),
        ("W2", [4, 64, 16, 1], "is [4, 64, 16, 1], and should be [num_heads, width in, width out]"),
        ("post_norm.weight", [0], "is [0], and should have no empty axis"),
        ("W2", [4, 0, 16], "is [4, 0, 16], and should have no empty axis"),
    ],
)
def test_a_tensor_of_the_wrong_shape_is_reported_with_the_right_one(name: str, shape: list[int], message: str) -> None:
    assert problems(WHOLE | {FIRST + name: shape}) == [f"{FIRST}{name} {message}"]


def test_tensors_that_are_wrong_in_the_same_way_are_one_problem() -> None:
    wrong = {f"{TTT.format(layer)}{name}.weight": [8] for layer in (1, 2) for name in ("wq", "wk")}
    names = f"{FIRST}wq.weight, {FIRST}wk.weight, {SECOND}wq.weight and 1 more"
    assert problems(WHOLE | wrong) == [f"{names} are [8], and should be [model_dim, model_dim]"]


def test_a_tensor_of_the_wrong_shape_proves_nothing_itself() -> None:
    proved = proved_values(
        evidence_of(WHOLE | {f"{FIRST}ttt_norm_weight": [8, 0], f"{FIRST}learnable_ttt_lr_bias": [8, 2]})
    )
    assert proved["ttt.num_heads"] == 4


def test_layers_that_disagree_in_heads_are_one_problem() -> None:
    """However many tensors differ: both values, and where."""
    other = Size(heads=8, head_dim=8)
    found = problems(consolidated(SIZE, (1, 2), ()) | moshi_ttt(other, (2,), ()))
    (heads,) = [problem for problem in found if problem.startswith("num_heads: ")]
    assert heads.startswith(f"num_heads: 8 in {SECOND}learnable_ttt_lr_weight, ")
    assert f", and 4 in {FIRST}learnable_ttt_lr_weight, " in heads
    assert sum(problem.startswith("head_dim: ") for problem in found) == 1


def test_layers_that_disagree_in_the_inner_widths_are_a_problem() -> None:
    mixed = consolidated(SIZE, (1, 2), (64,)) | moshi_ttt(SIZE, (2,), (32,))
    assert problems(mixed) == [
        f"the widths through the inner model: [16, 32, 16] in {SECOND}W1, and [16, 64, 16] in {FIRST}W1"
    ]


def test_inner_layers_that_do_not_meet_are_a_problem() -> None:
    shapes = WHOLE | {f"{FIRST}W2": [4, 32, 16]}
    assert problems(shapes) == [f"{FIRST}W2 is [4, 32, 16], and the layer before it has the output width 64"]


def test_an_inner_model_that_leaves_its_head_is_a_problem() -> None:
    """It maps a head onto itself; another width at its end is no width of a head."""
    shapes = WHOLE | {f"{FIRST}W2": [4, 64, 20], f"{FIRST}b2": [4, 1, 20]}
    assert any(problem.startswith(f"head_dim: 20 in {FIRST}W2, and 16 in ") for problem in problems(shapes))


def test_heads_that_do_not_fill_the_model_are_a_problem() -> None:
    narrow = moshi_ttt(SIZE, (1,), ())
    shapes = {name: [48 if size == 64 else size for size in shape] for name, shape in narrow.items()}
    (problem,) = problems(shapes)
    assert problem.startswith("4 heads of 16 (")
    assert problem.endswith(") are not 48 (transformer.layers.1.seq_modeling_block.forward_ssm_gating.gating_alpha)")


def test_a_tensor_that_several_layers_lack_is_reported_once() -> None:
    shapes = without(WHOLE, f"{FIRST}wq.bias", f"{SECOND}wq.bias")
    assert problems(shapes) == ["lacks ttt_layer.ttt.wq.bias in TTT layers 1, 2"]


def test_a_long_list_of_missing_tensors_is_cut() -> None:
    gate = f"{BLOCK.format(1)}forward_ssm_gating.gating_alpha"
    (problem,) = problems({gate: [64]})
    assert problem.startswith("lacks backward_ssm_gating.gating_alpha, ")
    assert problem.endswith(" and 13 more in TTT layer 1")


def test_a_bias_is_missed_with_its_weight_there() -> None:
    assert problems(without(WHOLE, f"{FIRST}b2")) == ["lacks ttt_layer.ttt.b2 in TTT layer 1"]


def test_an_inner_model_without_its_first_layer_proves_no_widths() -> None:
    found = problems(without(WHOLE, f"{FIRST}W1", f"{SECOND}W1"))
    assert "lacks ttt_layer.ttt.W1 in TTT layers 1, 2" in found
    assert any("W2" in problem and "which no TTT layer" in problem for problem in found)


def test_a_gap_in_the_inner_layers_is_a_problem() -> None:
    deep = consolidated(SIZE, (1,), (64, 64, 64))
    found = problems(without(deep, f"{FIRST}weights.1", f"{FIRST}biases.1"))
    assert any(f"has {FIRST}weights.2, " in problem for problem in found)


def test_a_whole_model_without_one_of_its_layers_is_a_problem() -> None:
    shapes = {name: shape for name, shape in WHOLE.items() if not name.startswith("transformer.layers.2.")}
    evidence = evidence_of(shapes)
    assert [problem.message for problem in evidence.problems] == ["has no base tensor in layer 2, of 0 to 3"]
    assert "num_layers" not in evidence.dimensions


def test_adapters_with_a_norm_of_the_model_are_not_taken_for_the_whole_model() -> None:
    """The norm comes with every base model, and the base model is more than its norm."""
    shapes = adapters(SIZE, (1, 2), (64,), 8) | {"out_norm.alpha": [1, 1, 64]}
    (problem,) = problems(shapes)
    assert "in layers 0, 1, 2, 3" in problem
    assert "ttt.num_layers" not in proved_values(evidence_of(shapes))


def test_adapters_that_leave_out_a_layer_are_a_problem() -> None:
    shapes = {name: shape for name, shape in adapters(SIZE, (3,), (), 8).items() if ".layers.1." not in name}
    assert problems(shapes) == ["has no adapter in layer 1, of 0 to 3"]


def test_an_absurd_layer_index_costs_no_time_and_is_a_problem() -> None:
    far = {"transformer.layers.99999.norm1.alpha": [1, 1, 64]}
    assert problems(moshi(SIZE) | far) == [
        "has no base tensor in layers 4, 5, 6, 7, 8, 9, 10, 11 and 99,987 more, of 0 to 99999"
    ]


def test_adapters_of_different_ranks_are_one_problem() -> None:
    name = "transformer.layers.0.gating.linear_in"
    shapes = lora(moshi_linears(SIZE), 8) | {f"{name}.lora_A.weight": [4, 64], f"{name}.lora_B.weight": [336, 4]}
    (problem,) = problems(shapes)
    assert problem.startswith(f"the rank of the adapters: 4 in {name}.lora_A.weight, {name}.lora_B.weight, and 8 in ")


@pytest.mark.parametrize("half", ["A", "B"])
def test_half_an_adapter_is_a_problem(half: str) -> None:
    gone, kept = f"text_linear.lora_{half}.weight", f"text_linear.lora_{'AB'.replace(half, '')}.weight"
    assert problems(without(lora(moshi_linears(SIZE), 8), gone)) == [
        f"has {kept} without the other half of the adapter",
    ]


@pytest.mark.parametrize("shape", [[8], [8, 64, 1], [0, 64], []])
def test_an_adapter_that_is_no_matrix_is_a_problem(shape: list[int]) -> None:
    evidence = evidence_of(lora(moshi_linears(SIZE), 8) | {"text_linear.lora_A.weight": shape})
    (problem,) = evidence.problems
    assert problem.message == f"text_linear.lora_A.weight is {shape}, and an adapter has two axes, neither empty"
    assert evidence.rank is not None
    assert evidence.rank.value == 8


@pytest.mark.parametrize("shape", [[], [0], [1, 0, 64]])
def test_an_empty_norm_proves_no_width(shape: list[int]) -> None:
    evidence = evidence_of(old_moshi(SIZE) | {"out_norm.alpha": shape})
    assert [one.message for one in evidence.problems] == [
        f"out_norm.alpha is {shape}, and its last axis should be model_dim"
    ]
    assert "model_dim" not in evidence.dimensions


def test_one_precision_is_proved_and_two_are_not() -> None:
    same = {name: ("F16", shape) for name, shape in WHOLE.items()}
    counted = same | {"step": ("I64", [])}
    mixed = same | {"out_norm.alpha": ("F32", [1, 1, 64])}
    dtypes = [gather(header_of(one)).dtype for one in (same, counted, mixed)]
    assert [proof.value if proof else None for proof in dtypes] == ["float16", "float16", None]


@pytest.mark.parametrize(
    "name",
    [
        BLOCK.format(1) + "a\nb",
        BLOCK.format(1) + "\x1b[31m" + "long" * 10_000,
        BLOCK.format(1) + "(a+)+$" * 5_000,
        "\u202e.lora_A.weight",
        "x.lora_A" * 5_000 + ".lora_B.weight",
    ],
    ids=["line break", "escape", "regular expression", "direction", "adapters"],
)
def test_a_hostile_name_is_shown_escaped_and_cut(name: str) -> None:
    evidence = evidence_of(WHOLE | {name: [8, 8]})
    (problem,) = (*evidence.problems, *evidence.notes)
    assert problem.message.isprintable()
    assert len(problem.message) < 300


@pytest.mark.parametrize(
    "index",
    ["9" * 5_000, "100000", "٣", "01", "-1"],
    ids=["long", "beyond the cap", "other digits", "leading zero", "negative"],
)
def test_an_index_that_no_program_writes_is_not_taken_for_a_layer(index: str) -> None:
    shapes = WHOLE | {f"{TTT.format(index)}W1": [4, 16, 64]}
    assert evidence_of(shapes).layers.value == (1, 2)


def test_two_names_of_one_tensor_are_a_problem() -> None:
    name = "layers.1.seq_modeling_block.W1"
    assert problems(lm_pytorch(SIZE, ()) | {name: [4, 16, 16]}) == [
        f"has tensors under two names: {name}",
    ]


MANY = 120_000
CROWDS: dict[str, Callable[[], Shapes]] = {
    "layers": lambda: lora({f"transformer.layers.{n}.gating.linear_in": [4, 4] for n in range(MANY // 2)}, 2),
    "blocks": lambda: {f"{TTT.format(number % 100_000)}W{number // 100_000 + 1}": [4, 4, 4] for number in range(MANY)},
    "inner layers": lambda: {f"{FIRST}W{number}": [1, 1, 1] for number in range(1, MANY + 1)},
    "unknown names": lambda: {f"{FIRST}x{number}": [1] for number in range(MANY)},
    "misshapen": lambda: {f"{TTT.format(number // 2)}w{'qk'[number % 2]}.weight": [1] for number in range(MANY)},
    "halves": lambda: {f"{FIRST}{number}.lora_A.weight": [1, 1] for number in range(MANY)},
    "unknown adapters": lambda: {f"h.{number}.lora_A.lora_A": [1] for number in range(MANY)},
}


@pytest.mark.parametrize("kind", some(sorted(CROWDS), 3))
def test_a_hundred_thousand_names_are_read_and_few_sentences_printed(kind: str) -> None:
    """It takes about a second; anything quadratic takes minutes, and would not go unnoticed."""
    entries = {name: ("F32", tuple(shape)) for name, shape in CROWDS[kind]().items()}
    header = Header(
        "model.safetensors", {}, 0, 0, None, entries
    )  # of several files: one header is too small for so many
    evidence = gather(header)
    assert len(evidence.problems) < 10
    assert all(len(problem.message) < 1000 for problem in evidence.problems)


def test_a_norm_beside_nothing_that_is_known_is_read_without_an_error() -> None:
    name = "transformer.layers.0.gating.linear_in.lora_magnitude"
    assert len(problems({"out_norm.alpha": [1, 1, 64], name: [64]})) == 1
