"""ttt-video-dit: what a video model is made of is what it proves."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.evidence.dialects.tensors import FEW_HIDDEN, SIZES, Size, evidence_of, problems, proved_values, video_dit


@given(size=SIZES, hidden=FEW_HIDDEN)
def test_what_a_model_is_made_of_is_what_it_proves(size: Size, hidden: tuple[int, ...]) -> None:
    evidence = evidence_of(video_dit(size, hidden))
    assert evidence.dialect is not None
    assert evidence.dialect.name == "ttt_video_dit"
    assert evidence.problems == ()
    assert {name: proof.value for name, proof in evidence.dimensions.items()} == {
        "model_dim": size.width,
        "num_heads": size.heads,
        "head_dim": size.head_dim,
        "num_layers": size.layers,
    }
    assert evidence.layers.value == tuple(range(size.layers))
    assert evidence.widths is not None
    assert evidence.widths.value == (size.head_dim, *hidden, size.head_dim)


def test_a_flattened_training_state_has_one_more_prefix() -> None:
    shapes = {f"model.{name}": shape for name, shape in video_dit(Size(), (64,)).items()}
    evidence = evidence_of(shapes)
    assert evidence.problems == ()
    assert proved_values(evidence)["ttt.layers"] == [0, 1, 2, 3]


def test_a_model_that_is_there_under_both_prefixes_is_a_problem() -> None:
    shapes = video_dit(Size(), ())
    doubled = problems(shapes | {f"model.{name}": shape for name, shape in shapes.items()})
    assert any("under two names: model.dit.layers.0." in problem for problem in doubled)


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("what", ["video", "text"])
def test_every_gate_is_missed(way: str, what: str) -> None:
    gate = f"{way}_ssm_gating_{what}.gating_alpha"
    shapes = {name: shape for name, shape in video_dit(Size(), ()).items() if not name.endswith(gate)}
    assert problems(shapes) == [f"lacks {gate} in TTT layers 0, 1, 2, 3"]


def test_nothing_is_proved_of_adapters_which_it_does_not_have() -> None:
    assert not [
        name for name in proved_values(evidence_of(video_dit(Size(), ()))) if name.startswith(("lora.", "full_"))
    ]
