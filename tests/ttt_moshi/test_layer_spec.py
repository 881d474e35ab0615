"""Which layers a setting means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tttcfg.ttt_moshi.layer_spec import canonical_layers, concrete_layers
from tttcfg.ttt_moshi.ttt_settings import TTTArgs


@pytest.mark.parametrize(
    ("given_value", "canonical"),
    [
        ("all", "all"),
        ("middle", "middle"),
        ("none", "none"),
        ("28,29,30", (28, 29, 30)),
        (" 30 , 28,", (28, 30)),
        ("31", (31,)),
        (5, (5,)),
        ([3, 1, 3], (1, 3)),
        ((2, 1), (1, 2)),
        ([], "none"),
    ],
)
def test_every_spelling_has_one_canonical_form(given_value: Any, canonical: Any) -> None:
    assert TTTArgs.model_validate({"layers": given_value}).layers == canonical


@pytest.mark.parametrize(
    "value", ["some", "", "1;2", "1,,2", "-1", [-1], [1.0], ["1"], [True], True, 1.5, None, {}, "1_2"]
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        TTTArgs.model_validate({"layers": value})


@given(indices=st.lists(st.integers(0, 99), min_size=1))
def test_text_and_list_mean_the_same_and_the_form_is_stable(indices: list[int]) -> None:
    canonical = canonical_layers(indices)
    assert canonical_layers(",".join(map(str, indices))) == canonical
    assert canonical_layers(canonical) == canonical
    assert list(canonical) == sorted(set(indices))


@pytest.mark.parametrize(("count", "expected"), [(32, range(8, 24)), (8, range(2, 6)), (3, range(2)), (1, range(0))])
def test_middle_is_from_a_quarter_to_three_quarters(count: int, expected: range) -> None:
    assert concrete_layers("middle", count) == tuple(expected)


def test_words_and_indices_become_concrete() -> None:
    assert concrete_layers("all", 3) == (0, 1, 2)
    assert concrete_layers("none", 3) == ()
    assert concrete_layers((1, 40), 3) == (1, 40)
