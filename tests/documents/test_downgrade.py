"""Going back to an older version keeps what comes back, and names everything that does not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Literal

import pytest

import tttcfg
from tests.builders import HEAD, SEED_EXCERPT, checkpoint, old_document
from tttcfg.documents.downgrade import is_numbered, migrate_tree
from tttcfg.errors import LossError
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare, Redeclare
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema.fragments import choice
from tttcfg.schema.paths import set_path
from tttcfg.ttt_moshi.family import TTT_MOSHI


def test_a_fresh_document_names_every_setting_that_would_come_back_otherwise() -> None:
    """What the older program would read as something else is a loss, even where no operation declares it."""
    document = tttcfg.migrate_document({"schema_version": HEAD, "ttt": {"enable": True, "layers": [1]}})
    with pytest.raises(tttcfg.LossError) as caught:
        tttcfg.migrate_document(document, 3)
    lost = {problem.key for problem in caught.value.problems}
    assert lost >= {"ttt.rope_mode", "ttt.weight_lr_multiplier", "ttt.alpha_lr_multiplier", "ttt.reset_on_new_file"}


def test_an_empty_document_never_goes_back_to_nothing() -> None:
    older = tttcfg.migrate_document({"schema_version": HEAD}, 3, allow_loss=True)
    assert older["ttt"]["ttt_mlp_layers"] == 2
    assert tttcfg.migrate_document(older)["seed"] == 0


@pytest.mark.parametrize("mlp", [{"layers": 2, "expansion_factor": 2.0}, {"layers": 2, "hidden_dims": [7]}])
def test_a_two_layer_width_of_its_own_cannot_go_back(mlp: dict[str, Any]) -> None:
    """The old trainer always built two layers four times as wide."""
    document = {"schema_version": HEAD, "ttt": {"mlp": mlp, "kernel": "torch"}}
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
    with pytest.raises(tttcfg.InputError, match=r"ttt\.use_rope: was added in version 5, but .* version 3"):
        tttcfg.migrate_document(document)


OLD = {
    "ttt.chunk_size": 25,
    "ttt.log_inner_loop_losses": True,
    "rope_continuous": True,
    "paper_metrics": {"results_dir": "./results", "own": {"deep": 1}},
}


def edited(version: int, values: dict[str, Any]) -> dict[str, Any]:
    """Return a document that `version` wrote, upgraded, with some current fields edited since."""
    document = tttcfg.migrate_document(old_document(version, {**OLD}))
    for name, value in values.items():
        set_path(document, tuple(name.split(".")), value)
    return document


def losses(document: dict[str, Any], version: int) -> dict[str, str]:
    try:
        tttcfg.migrate_document(document, version)
    except tttcfg.LossError as error:
        return {problem.key: problem.message for problem in error.problems}
    return {}


def test_removed_values_come_back_where_their_section_was_not_edited() -> None:
    document = edited(5, {"optim.lr": 0.25, "lora.enable": True})
    assert losses(document, 5) == {}
    older = tttcfg.migrate_document(document, 5)
    expected = old_document(5, {**OLD, "optim.lr": 0.25, "lora.enable": True})
    assert older == expected


def test_a_removed_value_does_not_come_back_into_a_section_that_was_edited() -> None:
    document = edited(5, {"ttt.mini_batch_size": 64})
    lost = losses(document, 5)
    assert set(lost) == {"ttt.chunk_size", "ttt.log_inner_loop_losses"}
    assert lost["ttt.chunk_size"] == (
        "was removed, and ttt was edited since, so that it would be stale; --allow-loss drops it"
    )
    older = tttcfg.migrate_document(document, 5, allow_loss=True)
    assert older["ttt"]["mini_batch_size"] == 64
    assert not {"chunk_size", "log_inner_loop_losses"} & older["ttt"].keys()
    assert older["paper_metrics"] == OLD["paper_metrics"]


def test_without_a_digest_it_is_not_known_whether_a_section_was_edited() -> None:
    document = edited(5, {})
    del document["provenance"]["section_digests"]
    assert losses(document, 5)["ttt.chunk_size"].startswith("was removed, and ttt may have been edited since")


def test_an_edit_that_was_taken_back_is_none() -> None:
    document = edited(5, {"ttt.mini_batch_size": 64})
    document["ttt"]["mini_batch_size"] = 16
    assert losses(document, 5) == {}


def test_the_part_of_a_mapping_that_is_gone_is_where_its_keys_went() -> None:
    """What was in paper_metrics is in evaluation now; an edit there makes the rest of it stale."""
    document = edited(5, {"evaluation.freq": 7})
    assert set(losses(document, 5)) == {"paper_metrics", "paper_metrics.results_dir"}
    older = tttcfg.migrate_document(document, 5, allow_loss=True)
    assert older["paper_metrics"] == {"paper_metrics_freq": 7}
    assert older["ttt"]["chunk_size"] == 25


def test_a_value_of_the_top_level_has_no_part_that_could_be_edited() -> None:
    document = edited(5, {"seed": 3, "ttt.mini_batch_size": 64, "evaluation.freq": 7})
    assert tttcfg.migrate_document(document, 5, allow_loss=True)["rope_continuous"] is True


def test_a_value_that_means_the_same_as_its_absence_is_not_lost() -> None:
    document = tttcfg.migrate_document(old_document(5))
    document["ttt"]["mini_batch_size"] = 64
    assert losses(document, 5) == {}


def test_what_only_the_record_holds_is_listed_where_the_older_version_has_no_place_for_it() -> None:
    assert losses(edited(5, {}), 1)["ttt.chunk_size"].startswith("version 1 cannot hold it")


def test_provenance_that_was_edited_brings_nothing_back() -> None:
    """A record without its section digests is no proof of anything."""
    document = edited(5, {})
    del document["provenance"]["section_digests"]
    assert "ttt.chunk_size" in losses(document, 5)


def test_a_new_run_does_not_get_the_old_runs_removed_values(tmp_path: Path) -> None:
    """What a result keeps of the checkpoint's record has the digests of the checkpoint's own sections."""
    folder = checkpoint(tmp_path, old_document(5, {**OLD}))
    same = tttcfg.resolve(folder)
    other = tttcfg.resolve(folder, None, ["ttt.base_lr=0.5"])
    for effective, stale in ((same, False), (other, True)):
        tttcfg.save_document(tmp_path / "saved.json", effective)
        saved = json.loads((tmp_path / "saved.json").read_text("utf-8"))
        assert ("ttt.chunk_size" in losses(saved, 5)) is stale


def test_a_field_that_was_filled_and_has_gone_since_is_filled_again() -> None:
    """Version 2 had no rope_reset_on_new_file; version 5 takes true for absence, which is not what version 2 did."""
    document = tttcfg.migrate_document(old_document(2))
    older = tttcfg.migrate_document(document, 5, allow_loss=True)
    assert older["rope_reset_on_new_file"] is False
    assert older["rope_continuous"] is False
    assert tttcfg.migrate_document(document, 6) == tttcfg.migrate_document(old_document(2), 6)


def test_going_down_leaves_the_document_as_it_is() -> None:
    """A recorded value that comes back is a copy: the record still has it."""
    document = tttcfg.migrate_document(old_document(2, {"ttt.ttt_mlp_expansion_factor": 2.0}))
    before = copy.deepcopy(document)
    for _ in range(2):
        assert tttcfg.migrate_document(document, 2)["ttt"]["ttt_mlp_expansion_factor"] == 2.0
    assert document == before


def test_versions_that_wrote_no_number_get_none() -> None:
    assert [is_numbered(TTT_MOSHI, version) for version in range(HEAD + 1)] == [False] * 7 + [True] * (HEAD - 6)
    assert "schema_version" not in tttcfg.migrate_document(edited(5, {}), 6)


class Widened(Section):
    mode: Literal["off", "on", "auto"] = setting("off", role=Role.COMPUTATION, description="A mode.")
    count: int = setting(4, role=Role.TRAINING, unit="dimensionless", ge=1, le=100, description="A number.")


STEPS = (
    Declare("mode", choice("off", "off", "on")),
    Declare("count", {"default": 4, "type": "integer", "minimum": 1, "maximum": 10}),
)
WIDER = (
    Redeclare("mode", choice("off", "off", "on", "auto"), "a third mode"),
    Redeclare("count", {"default": 4, "type": "integer", "minimum": 1, "maximum": 100}, "more of them"),
)


def widened() -> Family:
    """Return a family whose second version allows more than the first."""
    made = Family("widened", Widened, "none", "tttcfg.schemas.ttt_moshi")
    steps = [Migration(version, "2026-01-01", "", "", step) for version, step in enumerate((STEPS, WIDER))]
    made.__dict__.update(head=1, chain=Chain(steps))
    return made


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ({"mode": "on", "count": 10}, []),
        ({"mode": "auto", "count": 10}, ["mode"]),
        ({"mode": "auto", "count": 11}, ["count", "mode"]),
    ],
)
def test_what_an_older_version_does_not_allow_is_lost(values: dict[str, Any], lost: list[str]) -> None:
    document = {"schema_version": 1, **values}
    if lost:
        with pytest.raises(LossError) as caught:
            migrate_tree(document, widened(), to=0)
        assert sorted(problem.key for problem in caught.value.problems) == lost
    older = migrate_tree(document, widened(), to=0, allow_loss=True)
    assert {key: older[key] for key in values} == {**values, **{key: {"mode": "off", "count": 4}[key] for key in lost}}
