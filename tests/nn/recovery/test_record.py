"""What was recovered is written in the place of what was guessed, and of nothing else."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import old_document, write_json
from tests.cli.process import run
from tests.verification.bound import made, sidecar
from tttcfg import InputError
from tttcfg.nn import Answer, Estimate, Recovery, Trial, require_unrecorded, write_recovered
from tttcfg.nn.recovery.search import uncertain, varied, weight_files
from tttcfg.safetensors.metadata import rewriting
from tttcfg.verification.tags import TAG_KEY

MOMENT = datetime(2026, 11, 30, tzinfo=timezone.utc)
NORM = Estimate(0.0002, 0.0001, 32)


def recovery(folder: Path, values: dict[str, Any], outcome: Any = "recovered", separation: float = 4.125) -> Recovery:
    """Return what a search of some settings would, had it found these values."""
    start = tttcfg.resolve(folder)
    effective = replace(varied(start, values), verification=start.verification)
    trial = Trial(values, NORM, Estimate(0.0, 0.0, 32), Estimate(0.0, 0.0, 32), 0.0, 0.1, 1.0, differs=False)
    answers = {
        name: Answer(name, outcome, value, (value,), separation, "", (trial,), value) for name, value in values.items()
    }
    return Recovery(effective, answers, (), trial, trial, "sha256:data", 32, 500, 0, weight_files(start))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return made(tmp_path / "run")


@pytest.fixture
def bare(weights: Path) -> Path:
    """The folder of weights whose configuration is lost."""
    sidecar(weights).unlink()
    return weights.parent


@pytest.fixture
def old(weights: Path) -> Path:
    """The folder of weights with a document of a version that has no rope_mode."""
    values = {"ttt.enable": True, "ttt.layers": "1,2", "ttt.mini_batch_size": 8}
    write_json(sidecar(weights), old_document(4, values))
    return weights.parent


def codes(folder: Path, name: str) -> set[str]:
    return {one.code for one in tttcfg.resolve(folder).findings if one.key == name}


def test_a_legacy_value_is_settled(old: Path) -> None:
    assert "legacy" in codes(old, "ttt.rope_mode")
    before = sidecar(old / "consolidated.safetensors").read_bytes()
    binding = write_recovered(old, recovery(old, {"ttt.rope_mode": "off"}), written_at=MOMENT)
    assert binding.state == "bound"
    effective = tttcfg.resolve(old)
    assert effective.training.ttt.rope_mode == "off"
    assert codes(old, "ttt.rope_mode") == {"recovered"}
    assert tttcfg.load_document(old).recovered["ttt.rope_mode"] == {
        "value": "off",
        "separation": 4.125,
        "squared_norm": NORM.value,
        "standard_error": NORM.error,
        "batches": 32,
        "data": "sha256:data",
        "date": "2026-11-30",
    }
    kept = [path for path in old.iterdir() if path.suffix == ".bak"]
    assert [path.read_bytes() for path in kept] == [before]


def test_explain_verify_and_diff_show_it(old: Path) -> None:
    write_recovered(old, recovery(old, {"ttt.rope_mode": "off"}), written_at=MOMENT)
    said = "recovered on 2026-11-30 from the gradients of 32 batches; others are 4.1 standard errors and more away"
    assert said in tttcfg.explain(tttcfg.resolve(old), "ttt.rope_mode")
    assert tttcfg.verify(old).verdicts["ttt.rope_mode"].outcome == "supported"
    assert f"supported by the gradient ttt.rope_mode ({said})" in run("verify", old).out
    assert json.loads(run("verify", old, "--output", "json").out)["verdicts"]["ttt.rope_mode"] == "supported"
    assert "with recovered values of ttt.rope_mode" in run("diff", old, old).err


def test_null_is_supported_though_the_layers_read_something_else_then(bare: Path) -> None:
    name = "ttt.ttt_layer_context"
    write_recovered(bare, recovery(bare, {name: None}))
    assert tttcfg.resolve(bare).origins[name][0].source == "derived"
    assert tttcfg.verify(bare).verdicts[name].outcome == "supported"


def test_what_is_changed_on_purpose_is_not_supported(old: Path) -> None:
    write_recovered(old, recovery(old, {"ttt.rope_mode": "off"}), written_at=MOMENT)
    overrides = ["ttt.rope_mode=mini_batch"]
    (deviation,) = [one for one in tttcfg.resolve(old, overrides=overrides).findings if one.code == "deviation"]
    assert "supposed to have been trained with 'off' (recovered on 2026-11-30" in deviation.message
    assert tttcfg.verify(old, overrides=overrides).verdicts["ttt.rope_mode"].outcome == "not_determined"
    saved = tttcfg.save_document(old.parent / "other.json", tttcfg.resolve(old, overrides=overrides))
    assert not tttcfg.load_document(saved).recovered


def test_a_checkpoint_without_a_document_is_adopted(bare: Path) -> None:
    found = recovery(bare, {"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0})
    assert write_recovered(bare, found).state == "bound"
    training = tttcfg.resolve(bare).training
    assert (training.ttt.mini_batch_size, training.ttt.base_lr) == (8, 16.0)
    assert codes(bare, "ttt.base_lr") == {"recovered"}
    assert "doubt" in codes(bare, "ttt.reconstruction_eps")


def test_what_a_file_gives_that_was_searched_with_is_asserted(bare: Path, tmp_path: Path) -> None:
    """No document says otherwise, so the search may have been made with any values."""
    config = write_json(tmp_path / "mine.json", {"ttt": {"mini_batch_size": 4, "base_lr": 2.0}})
    start = tttcfg.resolve(bare, config)
    found = recovery(bare, {"ttt.rope_mode": "off"})
    write_recovered(bare, replace(found, effective=start))
    assert tttcfg.resolve(bare).training.ttt.mini_batch_size == 4
    assert "doubt" not in codes(bare, "ttt.mini_batch_size")
    assert codes(bare, "ttt.rope_mode") == {"recovered"}
    assert "doubt" in codes(bare, "ttt.reconstruction_eps")


def test_weights_that_were_not_searched_are_refused(bare: Path, tmp_path: Path) -> None:
    found = recovery(bare, {"ttt.base_lr": 4.0})
    other = made(tmp_path / "other")
    sidecar(other).unlink()
    with pytest.raises(InputError, match=r"is another checkpoint's than .*, which was searched; search again"):
        write_recovered(other.parent, found)
    os.utime(bare / "consolidated.safetensors", (0, 0))  # as a copy that keeps the time of an older one
    with pytest.raises(InputError, match="was written since the search began; search again"):
        write_recovered(bare, found)
    assert not sidecar(other).exists()
    assert not (bare / "training_config.json").exists()


def test_nothing_is_written_beside_a_value_that_the_search_rules_out(old: Path) -> None:
    found = recovery(old, {"ttt.rope_mode": "off", "ttt.base_lr": 4.0})
    narrowed = replace(found.answers["ttt.base_lr"], outcome="narrowed", remaining=(4.0, 16.0))
    with pytest.raises(InputError, match=r"ttt\.base_lr: was narrowed to 4\.0, 16\.0, and the checkpoint has 1\.0"):
        write_recovered(old, replace(found, answers={**found.answers, "ttt.base_lr": narrowed}))
    assert "legacy" in codes(old, "ttt.rope_mode")


def test_a_second_recovery_adds_to_the_first(bare: Path) -> None:
    write_recovered(bare, recovery(bare, {"ttt.mini_batch_size": 8}))
    write_recovered(bare, recovery(bare, {"ttt.base_lr": 16.0}))
    assert set(tttcfg.load_document(bare).recovered) == {"ttt.mini_batch_size", "ttt.base_lr"}
    write_recovered(bare, recovery(bare, {"ttt.base_lr": 4.0}))
    document = tttcfg.load_document(bare)
    assert set(document.recovered) == {"ttt.mini_batch_size", "ttt.base_lr"}
    assert document.training.ttt.base_lr == 4.0


def test_it_survives_being_saved_embedded_and_migrated(old: Path) -> None:
    write_recovered(old, recovery(old, {"ttt.rope_mode": "off"}))
    own = tttcfg.load_document(old).recovered
    saved = tttcfg.save_document(old.parent / "other.json", tttcfg.resolve(old))
    assert tttcfg.load_document(saved).recovered == own
    tttcfg.bind(old, embed=True)
    sidecar(old / "consolidated.safetensors").unlink()
    assert codes(old, "ttt.rope_mode") == {"recovered"}


def test_what_was_recorded_or_asserted_stays(weights: Path, tmp_path: Path) -> None:
    folder = weights.parent
    before = sidecar(weights).read_bytes()
    with pytest.raises(InputError, match=r"ttt\.base_lr: is recorded as .*, which nothing that is recovered replaces"):
        write_recovered(folder, recovery(folder, {"ttt.base_lr": 4.0}))
    assert sidecar(weights).read_bytes() == before
    sidecar(weights).unlink()
    tttcfg.adopt(folder, write_json(tmp_path / "mine.json", {"ttt": {"mini_batch_size": 8}}))
    with pytest.raises(InputError, match=r"ttt\.mini_batch_size: is recorded as 8"):
        write_recovered(folder, recovery(folder, {"ttt.mini_batch_size": 4}))


def test_whether_a_value_could_be_written_is_known_before_a_search(weights: Path) -> None:
    names = ["ttt.mini_batch_size", "ttt.base_lr", "ttt.rope_mode"]
    with pytest.raises(InputError) as caught:
        require_unrecorded(weights, names, tttcfg.resolve(weights))
    assert [one.key for one in caught.value.problems] == names
    sidecar(weights).unlink()
    require_unrecorded(weights, names, tttcfg.resolve(weights))
    with pytest.raises(InputError, match=r"ttt\.mini_batch_size: is recorded as 8"):
        require_unrecorded(weights, names, tttcfg.resolve(weights, {"ttt": {"mini_batch_size": 8}}))


def test_what_is_in_doubt_can_be_written(old: Path) -> None:
    require_unrecorded(old, ["ttt.rope_mode"], tttcfg.resolve(old, overrides={"ttt.rope_mode": "off"}))


def test_what_a_file_gives_for_lack_of_a_document_is_not_searched_unless_it_is_asked_for(bare: Path) -> None:
    asked, given = (uncertain(tttcfg.resolve(bare, config)) for config in (None, {"ttt": {"mini_batch_size": 8}}))
    assert set(asked) - set(given) == {"ttt.mini_batch_size"}


@pytest.mark.parametrize("outcome", ["narrowed", "not_determined"])
def test_what_was_not_recovered_is_not_written(bare: Path, outcome: str) -> None:
    with pytest.raises(InputError, match="nothing was recovered, so nothing is written"):
        write_recovered(bare, recovery(bare, {"ttt.base_lr": 4.0}, outcome))
    assert not (bare / "training_config.json").exists()


def test_a_search_with_other_settings_is_refused(bare: Path) -> None:
    found = recovery(bare, {"ttt.base_lr": 4.0})
    other = varied(found.effective, {"ttt.reconstruction_eps": 1.0})
    found = replace(found, effective=other)
    with pytest.raises(
        InputError, match=r"ttt\.reconstruction_eps: was searched with 1\.0, and the checkpoint has 1e-05"
    ):
        write_recovered(bare, found)


def test_what_has_no_other_value_has_no_separation(bare: Path) -> None:
    write_recovered(bare, recovery(bare, {"ttt.base_lr": 4.0}, separation=math.inf))
    assert tttcfg.load_document(bare).recovered["ttt.base_lr"]["separation"] is None


@pytest.mark.parametrize(
    "edited", [None, 3, {}, {"by": []}, {"by": {"ttt.base_lr": 4.0}}, {"by": {"no.field": {"value": 1}}}]
)
def test_an_edited_record_is_ignored(bare: Path, edited: Any) -> None:
    write_recovered(bare, recovery(bare, {"ttt.base_lr": 4.0}))
    path = bare / "training_config.json"
    document = json.loads(path.read_text("utf-8"))
    document["provenance"]["recovered"] = edited
    write_json(path, document)
    assert not tttcfg.load_document(bare).recovered
    assert tttcfg.verify(bare).verdicts["ttt.base_lr"].outcome == "not_determined"


def test_what_a_newer_version_has_bound_stays_bound(weights: Path) -> None:
    """As for `tttcfg.bind` without a configuration."""
    with rewriting(
        str(weights), {"format": "pt", TAG_KEY: json.dumps({"digest": "sha256:0", "schema_version": 99})}
    ) as put:
        put()
    write_json(sidecar(weights), old_document(4, {"ttt.enable": True, "ttt.layers": "1,2"}))
    before = weights.read_bytes()
    with pytest.raises(InputError, match="was bound under schema version 99"):
        write_recovered(weights.parent, recovery(weights.parent, {"ttt.rope_mode": "off"}))
    assert weights.read_bytes() == before


@pytest.mark.parametrize("kept", ["edited", "bound", "overridden"])
def test_what_a_person_decided_since_stays(kept: str, old: Path) -> None:
    """Whatever records say of the value that was there before."""
    if kept == "bound":
        write_recovered(old, recovery(old, {"ttt.rope_mode": "off"}))
    elif kept == "edited":
        tttcfg.bind(old)
    path = old / "training_config.json"
    if kept == "overridden":
        tttcfg.bind(old, tttcfg.resolve(old, overrides=["ttt.rope_mode=mini_batch"]))
        tttcfg.bind(old, tttcfg.resolve(old, overrides=["ttt.ttt_layer_context=3000"]))
        with pytest.raises(InputError, match=r"ttt\.ttt_layer_context: is recorded as 3000"):
            write_recovered(old, recovery(old, {"ttt.ttt_layer_context": None}))
    else:
        document = json.loads(path.read_text("utf-8"))
        document["ttt"]["rope_mode"] = "mini_batch"
        write_json(path, document)
        tttcfg.bind(old, tttcfg.load_document(old))
    with pytest.raises(InputError, match=r"ttt\.rope_mode: is recorded as .mini_batch."):
        write_recovered(old, recovery(old, {"ttt.rope_mode": "off"}))
    assert tttcfg.load_document(old).training.ttt.rope_mode == "mini_batch"


def test_what_is_recorded_with_the_same_value_is_no_obstacle(old: Path) -> None:
    size = tttcfg.load_document(old).training.ttt.mini_batch_size
    write_recovered(old, recovery(old, {"ttt.rope_mode": "off", "ttt.mini_batch_size": size}))
    assert set(tttcfg.load_document(old).recovered) == {"ttt.rope_mode"}
    with pytest.raises(InputError, match="all that was recovered is recorded already, with the same values"):
        write_recovered(old, recovery(old, {"ttt.mini_batch_size": size}))


def test_a_converted_value_was_recorded(weights: Path) -> None:
    write_json(
        sidecar(weights), old_document(4, {"ttt.enable": True, "ttt.layers": "1,2", "ttt.persistent_states": True})
    )
    with pytest.raises(InputError, match=r"ttt\.persistent_states: is recorded as"):
        write_recovered(weights.parent, recovery(weights.parent, {"ttt.persistent_states": "each_sequence"}))


def test_what_is_recovered_only_beside_other_values_is_not_written(old: Path) -> None:
    found = recovery(old, {"ttt.rope_mode": "off"})
    assert found.best is not None
    apart = replace(found.best, beyond=Estimate(1.0, 0.1, 32), unclipped=Estimate(1.0, 0.1, 32))
    best = replace(found.best, values={**found.best.values, "ttt.read_out": "twice"})
    with pytest.raises(InputError, match=r"only together with other values .* search again with ttt.read_out='twice'"):
        write_recovered(old, replace(found, best=best, settled=apart))
    with pytest.raises(InputError, match="only together with other values"):
        write_recovered(old, replace(found, best=best, settled=None))
    assert "legacy" in codes(old, "ttt.rope_mode")


def test_what_another_document_recovered_is_adopted_as_recovered(bare: Path, tmp_path: Path) -> None:
    write_recovered(bare, recovery(bare, {"ttt.base_lr": 4.0}))
    kept = Path(shutil.move(bare / "training_config.json", tmp_path / "kept.json"))
    tttcfg.adopt(bare, kept)
    assert set(tttcfg.load_document(bare).recovered) == {"ttt.base_lr"}
