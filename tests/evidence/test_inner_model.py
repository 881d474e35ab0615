"""How many layers an inner model has by its names, and which counts a program gives such names."""

from __future__ import annotations

import pytest

from tests.evidence.dialects.tensors import Shapes, Size, below, evidence_of, many_layers, moshi_ttt, problems, scan

SIZE = Size()
TTT = "transformer.layers.{}.seq_modeling_block.ttt_layer.ttt."


def with_inner(inner: Shapes, layers: tuple[int, ...] = (1,)) -> Shapes:
    """Return the TTT layers of the Moshi TTT trainer with another inner model."""
    shapes = {name: shape for name, shape in moshi_ttt(SIZE, layers, ()).items() if name[-2:] not in ("W1", "b1")}
    for layer in layers:
        shapes |= below(TTT.format(layer), inner)
    return shapes


@pytest.mark.parametrize(
    ("inner", "widths"),
    [
        (scan(SIZE, ()), (16, 16)),
        (scan(SIZE, (64,)), (16, 64, 16)),
        (many_layers(SIZE, (64, 32)), (16, 64, 32, 16)),
        (many_layers(SIZE, (8,) * 20), (16, *[8] * 20, 16)),
    ],
)
def test_names_that_the_trainer_gives_show_the_widths(inner: Shapes, widths: tuple[int, ...]) -> None:
    evidence = evidence_of(with_inner(inner))
    assert evidence.problems == ()
    assert evidence.widths is not None
    assert evidence.widths.value == widths


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (
            many_layers(SIZE, ()),
            "has 1 inner layer named ttt_layer.ttt.weights.N, and the Moshi TTT trainer uses these names for 3 and",
        ),
        (
            many_layers(SIZE, (64,)),
            "has 2 inner layers named ttt_layer.ttt.weights.N, and the Moshi TTT trainer uses these names for 3",
        ),
        (
            scan(SIZE, (64, 64)),
            "has 3 inner layers named ttt_layer.ttt.WN, and the Moshi TTT trainer uses these names for 1 to 2",
        ),
    ],
)
def test_names_that_the_trainer_gives_to_other_counts_prove_no_widths(inner: Shapes, message: str) -> None:
    evidence = evidence_of(with_inner(inner, (1, 2)))
    (problem,) = evidence.problems
    assert problem.message.startswith(message)
    assert problem.message.endswith(": TTT layers 1, 2")
    assert evidence.widths is None
    assert evidence.dimensions["head_dim"].value == 16


def test_a_missing_tensor_is_reported_and_not_that_there_are_too_few() -> None:
    inner = many_layers(SIZE, (64, 64))
    del inner["weights.2"]
    assert problems(with_inner(inner)) == ["lacks ttt_layer.ttt.weights.2 in TTT layer 1"]


def test_two_inner_models_in_one_layer_are_one_too_many() -> None:
    (problem,) = problems(with_inner(scan(SIZE, (64,)) | many_layers(SIZE, (64, 64))))
    assert f"{TTT.format(1)}weights.0" in problem
    assert "which no TTT layer" in problem
