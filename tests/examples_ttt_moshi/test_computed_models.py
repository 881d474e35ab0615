"""Whole models with the real `moshi` package, against numbers of the trainer's own code; `.ci/moshi` runs these tests.

The numbers are not committed: they are in a folder beside the checkout, as tests/computed/README.md describes.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.computed import COMPLETE, Computed, models
from tests.computed.measured import language_model_errors

pytestmark = pytest.mark.skipif(find_spec("moshi") is None, reason="needs the moshi package: see .ci/moshi")
WHOLE = models(COMPLETE)


@pytest.mark.parametrize("computed", WHOLE, ids=repr)
def test_a_restored_model_computes_what_the_trainer_s_did(computed: Computed) -> None:
    """Transformer, text and audio logits of whole sequences, and the transformer token by token."""
    off = language_model_errors(computed)
    assert len(off) == 7
    assert max(off.values()) <= computed.model_limit, off


def test_where_the_numbers_are_there_is_every_model(shared_data: object) -> None:
    assert shared_data
    assert len(WHOLE) >= 5
