"""Which values of a setting are tried, by what its field declares."""

from __future__ import annotations

from typing import Any

import pytest

import tttcfg
from tttcfg.errors import InputError
from tttcfg.nn.recovery.candidates import beside, between, in_order, plausible
from tttcfg.nn.recovery.search import varied
from tttcfg.schema.fields import Role, plain
from tttcfg.ttt_moshi.family import TTT_MOSHI

FIELDS = TTT_MOSHI.fields
COMPUTED = [name for name, one in FIELDS.items() if one.role is Role.COMPUTATION]
WITHOUT = {"moshi_paths.hf_repo_id"}
"""Texts, of which there is no end."""


@pytest.mark.parametrize("name", COMPUTED)
def test_every_setting_that_is_no_text_has_values_to_try_all_of_them_valid(name: str) -> None:
    start = tttcfg.resolve(overrides={"ttt.enable": True, "ttt.layers": [1]})
    value = plain(FIELDS[name].get(start.training))
    found = plausible(FIELDS[name], value)
    assert (len(found) < 2) == (name in WITHOUT)
    assert len(set(found)) == len(found)
    assert not found or value in found
    for one in found:
        assert plain(FIELDS[name].get(varied(start, {name: one}).training)) == one


@pytest.mark.parametrize(
    ("name", "value", "at_null", "expected"),
    [
        ("ttt.rope_mode", "legacy", None, ("off", "mini_batch")),
        ("ttt.mini_batch_size", 16, None, (1, 2, 4, 8, 16, 32, 64)),
        ("ttt.mini_batch_size", 48, None, (1, 2, 4, 8, 16, 32, 48, 64, 128)),
        ("ttt.base_lr", 1.0, None, (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0)),
        ("ttt.ttt_layer_context", None, 32, (1, 2, 4, 8, 16, 64, 128, None)),
        ("ttt.ttt_layer_context", 16, 32, (1, 2, 4, 8, 16, 64, None)),
        ("ttt.ttt_layer_context", None, None, (1, 2, 4, 8, 16, 32, 64, None)),
    ],
)
def test_what_is_tried(name: str, value: Any, at_null: Any, expected: tuple[Any, ...]) -> None:
    assert plausible(FIELDS[name], value, at_null) == expected


def test_neighbours_and_what_is_between() -> None:
    assert beside((1, 2, 4, None), 4) == (2, None)
    assert beside((1, 2), 1) == (2,)
    assert beside(("never", "first", "each"), "never") == ("first", "each")
    assert between((1.0, 4.0, 16.0), 4.0) == (2.0, 8.0)
    assert between((1.0, 4.0, None), 4.0) == (2.0,)
    assert between((1.0, 2.0, 32.0), 2.0) == (8.0,)
    assert between((0.0, 1.0), 0.0) == ()
    assert in_order({4, None, 1}) == (1, 4, None)


def test_what_is_refused_is_not_tried() -> None:
    with pytest.raises(InputError):
        varied(tttcfg.resolve(), {"ttt.mini_batch_size": 0})
