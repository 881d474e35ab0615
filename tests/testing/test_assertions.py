"""Upgrades followed by downgrades, with values that look like none."""

from __future__ import annotations

import json

from tests.conftest import GOLDEN
from tttcfg.documents.downgrade import migrate_tree
from tttcfg.testing.assertions import assert_edited_round_trip
from tttcfg.ttt_moshi.family import TTT_MOSHI


def test_a_removed_text_may_be_any_word() -> None:
    """The values of an edited section are lost, and none of them is mistaken for a missing value."""
    document = json.loads((GOLDEN / "v0003.json").read_bytes())
    document["ttt"]["inner_loop_plot_dir"] = "nothing"
    edited = migrate_tree(document, TTT_MOSHI)
    edited["ttt"]["mini_batch_size"] += 1
    assert_edited_round_trip(document, edited, TTT_MOSHI, 3)
