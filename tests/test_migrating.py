"""Going back to an older version keeps what comes back, and names everything that does not."""

from __future__ import annotations

from typing import Any

import pytest

import tttcfg
from tests.builders import SEED_EXCERPT, old_document


def test_a_fresh_document_names_every_setting_that_would_come_back_otherwise() -> None:
    """What the older program would read as something else is a loss, even where no operation says so."""
    document = tttcfg.migrate_document({"schema_version": 7, "ttt": {"enable": True, "layers": [1]}})
    with pytest.raises(tttcfg.LossError) as caught:
        tttcfg.migrate_document(document, 3)
    lost = {problem.key for problem in caught.value.problems}
    assert lost >= {"ttt.rope_mode", "ttt.weight_lr_multiplier", "ttt.alpha_lr_multiplier", "ttt.reset_on_new_file"}


def test_an_empty_document_never_goes_back_to_nothing() -> None:
    older = tttcfg.migrate_document({"schema_version": 7}, 3, allow_loss=True)
    assert older["ttt"]["ttt_mlp_layers"] == 2
    assert tttcfg.migrate_document(older)["seed"] == 0


@pytest.mark.parametrize("mlp", [{"layers": 2, "expansion_factor": 2.0}, {"layers": 2, "hidden_dims": [7]}])
def test_a_two_layer_width_of_its_own_cannot_go_back(mlp: dict[str, Any]) -> None:
    """The old trainer always built two layers four times as wide."""
    document = {"schema_version": 7, "ttt": {"mlp": mlp, "kernel": "torch"}}
    with pytest.raises(tttcfg.LossError, match=r"ttt\.mlp\."):
        tttcfg.migrate_document(document, 6)


def test_what_the_original_lacked_is_taken_out_again() -> None:
    assert tttcfg.migrate_document(tttcfg.migrate_document(SEED_EXCERPT), 2) == SEED_EXCERPT


def test_what_the_original_lacked_stays_where_it_goes_to_another_version() -> None:
    """An excerpt of version 2 does not become a fragment of version 1 that means something else."""
    document = tttcfg.migrate_document(SEED_EXCERPT)
    older = tttcfg.migrate_document(document, 1, allow_loss=True)
    assert older["optim"]["lr"] == 1e-4
    assert older["ttt"]["layers"] == "28,29,30"


def test_a_numbered_old_document_holds_no_later_key() -> None:
    document = {"schema_version": 3, **old_document(3)}
    document["ttt"]["use_rope"] = True
    with pytest.raises(tttcfg.InputError, match=r"ttt\.use_rope: came with version 5, but .* version 3"):
        tttcfg.migrate_document(document)
