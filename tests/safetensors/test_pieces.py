"""An object that is read a piece at a time is the object that is read as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tttcfg.safetensors import pieces
from tttcfg.safetensors.pieces import read_in_pieces

texts = st.text(st.sampled_from('},"{\\ a'), max_size=6)
values = st.recursive(st.none() | st.integers(0, 9) | texts, lambda inner: st.dictionaries(texts, inner, max_size=3))
objects = st.dictionaries(texts, values, max_size=8)


def in_pieces(data: bytes) -> dict[str, Any] | None:
    found: dict[str, Any] = {}

    def read(piece: bytes) -> bool:
        try:
            found.update(json.loads(piece))
        except ValueError:
            return False
        return True

    return found if read_in_pieces(data, read) else None


@pytest.fixture(autouse=True, scope="module")
def _small() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", 1)
        yield


@given(objects, st.sampled_from([None, (",", ":"), (" ,\n", " : ")]))
def test_the_pieces_are_the_whole(values: dict[str, Any], separators: tuple[str, str] | None) -> None:
    assert in_pieces(json.dumps(values, separators=separators).encode()) == values


@given(st.text(st.sampled_from('{}[],:" \\a1'), max_size=20).map(lambda text: "{" + text))
def test_what_is_no_object_is_none_in_pieces_either(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    assert in_pieces(text.encode()) == expected
