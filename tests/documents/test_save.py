"""Writing a document: canonical bytes, atomically, without secrets; and going back to an older version."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.builders import HEAD, NEWEST
from tttcfg import TrainingArgs, load_document, migrate_document, resolve, save_document
from tttcfg.documents.save import canonical_bytes, document_bytes, document_tree
from tttcfg.errors import InputError, LossError, WriteError
from tttcfg.resolving.families import as_document
from tttcfg.ttt_moshi.training_args import WandbArgs

Read = Callable[[str], Any]
MOMENT = datetime(2026, 11, 23, 9, 30, tzinfo=timezone(timedelta(hours=1)))


def test_saving_a_loaded_document_gives_the_same_bytes(tmp_path: Path, golden: Read) -> None:
    first = save_document(tmp_path / "a.json", golden("v0003"), written_at=MOMENT)
    second = save_document(tmp_path / "b.json", load_document(first))
    assert second.read_bytes() == first.read_bytes()


def test_the_written_bytes_are_the_documents(tmp_path: Path, golden: Read) -> None:
    document = as_document(golden("v0005"))
    path = save_document(tmp_path / "a.json", document, written_at=MOMENT)
    assert path.read_bytes() == document_bytes(document, MOMENT)


def test_canonical_bytes_are_indented_and_end_with_a_newline() -> None:
    assert canonical_bytes({"b": 1, "a": ["é"]}) == '{\n  "b": 1,\n  "a": [\n    "é"\n  ]\n}\n'.encode()


def test_keys_are_in_one_order_whatever_order_was_read(golden: Read) -> None:
    tree = golden(NEWEST)
    shuffled = dict(reversed(tree.items()))
    assert canonical_bytes(migrate_document(shuffled)) == canonical_bytes(migrate_document(tree))


def test_who_wrote_it_and_when_is_entered_once(tmp_path: Path) -> None:
    path = save_document(tmp_path, TrainingArgs(), written_at=MOMENT)
    provenance = json.loads(path.read_bytes())["provenance"]
    assert provenance["written_at"] == "2026-11-23T08:30:00Z"
    assert provenance["written_by"].startswith("tttcfg ")


def test_a_folder_takes_a_training_config(tmp_path: Path) -> None:
    assert save_document(tmp_path, TrainingArgs()) == tmp_path / "training_config.json"


def test_everything_that_holds_a_configuration_can_be_saved(tmp_path: Path) -> None:
    effective = resolve(overrides=["seed=3"])
    for value in (effective, effective.training, as_document(effective), {"schema_version": HEAD, "seed": 3}):
        assert load_document(save_document(tmp_path, value)).training.seed == 3


def test_the_mode_of_the_old_file_is_kept(tmp_path: Path) -> None:
    path = save_document(tmp_path / "a.json", TrainingArgs())
    path.chmod(0o640)
    save_document(path, TrainingArgs(seed=2))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_gets_what_the_umask_leaves(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        path = save_document(tmp_path / "a.json", TrainingArgs())
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    target = save_document(tmp_path / "target.json", TrainingArgs())
    link = tmp_path / "link.json"
    link.symlink_to(target.name)
    save_document(link, TrainingArgs(seed=9))
    assert link.is_symlink()
    assert load_document(target).training.seed == 9


def test_a_read_only_file_is_refused_and_untouched(tmp_path: Path) -> None:
    path = save_document(tmp_path / "a.json", TrainingArgs())
    before = path.read_bytes()
    path.chmod(0o444)
    with pytest.raises(WriteError, match="read-only"):
        save_document(path, TrainingArgs(seed=2))
    assert path.read_bytes() == before


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="no such folder"):
        save_document(tmp_path / "absent" / "a.json", TrainingArgs())


def test_nothing_half_written_stays_behind(tmp_path: Path, golden: Read) -> None:
    """Neither by a save that works nor by one that is refused."""
    path = save_document(tmp_path / "a.json", TrainingArgs(), written_at=MOMENT)
    before = path.read_bytes()
    with pytest.raises(InputError):
        save_document(path, golden(NEWEST) | {"seed": -1})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_an_instance_of_a_subclass_is_refused(tmp_path: Path) -> None:
    """Its own fields would be lost silently."""

    class Extended(TrainingArgs):
        extra: int = 3

    with pytest.raises(InputError, match="fields of a subclass would be lost"):
        save_document(tmp_path, Extended())
    assert list(tmp_path.iterdir()) == []


def test_something_else_than_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a int, not a TrainingArgs"):
        save_document(tmp_path, 3)


def test_no_secret_is_ever_written(tmp_path: Path, golden: Read) -> None:
    """Neither the key of an old document, nor what looks like one inside free-form settings."""
    text = save_document(tmp_path, golden("v0003")).read_text("utf-8")
    assert "an-invented" not in text
    assert '"another"' not in text


def test_the_key_of_a_live_configuration_is_not_written(tmp_path: Path) -> None:
    training = TrainingArgs(wandb=WandbArgs.model_validate({"key": "an-invented-key"}))
    text = save_document(tmp_path, training).read_text("utf-8")
    assert "invented" not in text
    assert "an-invented" not in repr(training)


@pytest.mark.parametrize("key", ["run_dir", "param_dtype"])
def test_text_that_no_file_can_keep_is_refused_before_training_starts(key: str) -> None:
    with pytest.raises(ValueError, match=r"surrogate|unicode|bfloat16"):
        TrainingArgs.model_validate({key: "a\ud800"})


def test_provenance_that_no_file_can_keep_is_refused(tmp_path: Path, golden: Read) -> None:
    for value in ("\ud800", float("nan"), object()):
        with pytest.raises(InputError):
            save_document(tmp_path, golden(NEWEST) | {"provenance": {"note": value}})
    assert list(tmp_path.iterdir()) == []


def test_a_document_can_go_down_and_come_up_again(golden: Read) -> None:
    for version in (0, 1, 2, 4, 5, 6):
        older = golden(f"v{version:04d}")
        assert migrate_document(migrate_document(older), to=version) == older


def test_an_older_version_gets_no_number(golden: Read) -> None:
    assert not {"$schema", "schema_version", "provenance"} & set(
        migrate_document(golden("v0006"), to=3, allow_loss=True)
    )


def test_an_upgrade_may_stop_half_way(golden: Read) -> None:
    tree = migrate_document(golden("v0001"), to=2)
    assert tree["ttt"]["initial_gating_alpha"] == 0.05
    assert "weight_lr_multiplier" not in tree["ttt"]


def test_a_downgrade_that_loses_a_value_is_refused(golden: Read) -> None:
    """Version 6 has no inner model and no optimiser constants; absent they mean something else."""
    with pytest.raises(LossError) as caught:
        migrate_document(golden(NEWEST), to=6)
    keys = {problem.key for problem in caught.value.problems}
    assert {"ttt.inner_model", "optim.betas", "optim.eps", "ttt.kernel"} <= keys


def test_a_loss_can_be_allowed(golden: Read) -> None:
    tree = migrate_document(golden(NEWEST), to=6, allow_loss=True)
    assert "inner_model" not in tree["ttt"]
    assert tree["ttt"]["layers"] == "12,20,28"


def test_the_loss_of_a_secret_is_reported(golden: Read) -> None:
    with pytest.raises(LossError, match=r"wandb\.key"):
        migrate_document(migrate_document(golden("v0003")), to=3)


@pytest.mark.parametrize("target", [-1, HEAD + 1])
def test_a_version_that_does_not_exist_is_refused(target: int, golden: Read) -> None:
    with pytest.raises(InputError, match="versions go from"):
        migrate_document(golden(NEWEST), to=target)


def test_what_was_assumed_is_taken_back_on_the_way_down(golden: Read) -> None:
    seed = golden("seed_excerpt")
    assert migrate_document(migrate_document(seed), to=2) == seed


def test_a_value_given_since_the_upgrade_survives_the_downgrade(golden: Read) -> None:
    newer = migrate_document(golden("seed_excerpt"))
    newer["seed"] = 5
    assert migrate_document(newer, to=2)["seed"] == 5


def test_the_current_version_of_a_document_is_complete(golden: Read) -> None:
    tree = migrate_document(golden("seed_excerpt"))
    assert tree == document_tree(as_document(tree))
