"""Weights with an embedded configuration, and binding tags that a trainer makes when it saves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import HEAD, SECRET, checkpoint, document_file, old_document, write_json
from tests.cli.process import run
from tests.verification.bound import MODEL, TRAINED, changed, contradicted, filled, made, put, sidecar, state
from tttcfg import ContradictionError, InputError
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.verification.tags import TAG_KEY, tag_for


def test_weights_alone_resolve_to_what_they_were_bound_to(tmp_path: Path) -> None:
    weights = made(tmp_path / "run", {"seed": 5, "run_dir": "runs/exp"})
    training = tttcfg.resolve(tmp_path / "run").training
    tttcfg.bind(tmp_path / "run", embed=True)
    (tmp_path / "alone").mkdir()
    copy = Path(shutil.copy(weights, tmp_path / "alone"))
    effective = tttcfg.resolve(copy)
    assert effective.training == training
    origin = effective.origins["ttt.base_lr"][0]
    assert (origin.source, origin.where) == ("checkpoint", f"{copy} (embedded)")
    assert effective.verification is not None
    assert effective.verification.binding == "bound"
    assert "unconfirmed" not in {one.code for one in effective.findings}


def test_bound_alone_they_get_their_document_back(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(tmp_path, embed=True)
    before = weights.read_bytes()
    sidecar(weights).unlink()
    assert tttcfg.bind(tmp_path).state == "bound"
    assert tttcfg.load_document(sidecar(weights)).training.ttt.base_lr == 0.5
    assert weights.read_bytes() == before


def test_what_cannot_be_confirmed_stays_so_in_the_embedded_configuration(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, old_document(3, {"ttt.enable": True, "ttt.layers": "1,2"}), MODEL)
    filled(folder / "consolidated" / "consolidated.safetensors")
    doubts = {(one.code, one.key) for one in tttcfg.resolve(tmp_path).findings if one.code in ("legacy", "doubt")}
    assert doubts
    tttcfg.bind(tmp_path, embed=True)
    document_file(folder).unlink()
    alone = tttcfg.resolve(tmp_path)
    assert {(one.code, one.key) for one in alone.findings if one.code in ("legacy", "doubt")} == doubts


def test_no_secret_gets_into_the_weights(tmp_path: Path) -> None:
    weights = made(tmp_path, {"wandb.key": SECRET})
    training = tttcfg.resolve(tmp_path, overrides={"wandb.key": SECRET}).training
    tttcfg.bind(tmp_path, training, embed=True)
    assert SECRET.encode() not in weights.read_bytes()


def test_the_embedded_configuration_holds_no_time(tmp_path: Path) -> None:
    document = tttcfg.load_document(sidecar(made(tmp_path)))
    later = replace(document, provenance={**document.provenance, "written_at": "2031-01-01T00:00:00Z"})
    assert tag_for(document, embed=True) == tag_for(later, embed=True)


@pytest.mark.parametrize("values", [{"seed": 7}, {"run_dir": "elsewhere"}, {"optim.betas": [0.5, 0.25]}])
def test_an_embedded_configuration_that_departs_from_the_saved_one_is_an_error(
    values: dict[str, Any], tmp_path: Path
) -> None:
    weights = made(tmp_path)
    tttcfg.bind(tmp_path, embed=True)
    put(sidecar(weights), changed(sidecar(weights), values))
    message = contradicted(tmp_path).message
    assert f"departs from {sidecar(weights)} in {next(iter(values))} (" in message


def test_many_departures_are_counted(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(tmp_path, embed=True)
    values = {"seed": 7, "run_dir": "elsewhere", "max_steps": 9, "batch_size": 3, "log_freq": 77}
    put(sidecar(weights), changed(sidecar(weights), values))
    assert contradicted(tmp_path).message.count("(") >= 3
    assert " and 2 more; put back" in contradicted(tmp_path).message


@pytest.mark.parametrize("training", [{"unknown": 1}, {"seed": "x"}, 5])
def test_an_embedded_configuration_that_cannot_be_read_is_an_error(training: Any, tmp_path: Path) -> None:
    weights = made(tmp_path)
    document = tttcfg.load_document(sidecar(weights))
    tag = {**json.loads(tag_for(document)[TAG_KEY]), "training": training}
    filled(weights, {TAG_KEY: json.dumps(tag)})
    assert "the configuration embedded in" in contradicted(tmp_path).message


def test_an_edited_embedded_configuration_contradicts_its_own_digest(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tag = json.loads(tag_for(tttcfg.load_document(sidecar(weights)), embed=True)[TAG_KEY])
    tag["training"]["ttt"]["base_lr"] = 0.125
    filled(weights, {TAG_KEY: json.dumps(tag)})
    sidecar(weights).unlink()
    assert "saved with another" in contradicted(tmp_path).message


def test_a_newer_embedded_configuration_says_what_to_install(tmp_path: Path) -> None:
    tag = {"digest": "sha256:x", "schema_version": HEAD + 1, "training": {"new": 1}}
    sidecar(made(tmp_path, metadata={TAG_KEY: json.dumps(tag)})).unlink()
    with pytest.raises(InputError, match="pip install --upgrade tttcfg"):
        tttcfg.resolve(tmp_path)


def test_a_configuration_too_long_to_be_embedded_is_refused(tmp_path: Path) -> None:
    document = tttcfg.load_document(sidecar(made(tmp_path)))
    long = replace(document, provenance={"note": "x" * (1 << 20)})
    with pytest.raises(InputError, match="in the weights' metadata"):
        tag_for(long, embed=True)


# What would be lost


@pytest.mark.parametrize("embed", [True, False, None])
def test_an_embedded_configuration_that_loses_its_place_is_kept_beside(embed: bool | None, tmp_path: Path) -> None:
    weights = made(tmp_path, {"ttt.base_lr": 0.25})
    training = tttcfg.resolve(weights).training
    tttcfg.bind(weights, embed=True)
    put(sidecar(weights), changed(sidecar(weights), {"ttt.base_lr": 0.75}))
    with pytest.raises(ContradictionError):
        tttcfg.bind(weights)
    tttcfg.bind(weights, tttcfg.load_document(sidecar(weights)), embed=embed)
    [kept] = weights.parent.glob("training_config.json.embedded-*.bak")
    assert tttcfg.load_document(kept).training == training


@pytest.mark.parametrize("training", [{"new": 1}, {"run_dir": "\ud800"}])
def test_an_embedded_configuration_that_cannot_be_read_is_kept_as_it_is(training: Any, tmp_path: Path) -> None:
    tag = {"digest": "sha256:x", "schema_version": HEAD + 1, "training": training}
    weights = made(tmp_path, metadata={TAG_KEY: json.dumps(tag)})
    assert tttcfg.bind(weights, tttcfg.load_document(sidecar(weights))).state == "bound"
    [kept] = weights.parent.glob("training_config.json.embedded-*.bak")
    tree = json.loads(kept.read_bytes())
    assert (tree["schema_version"], {key: tree[key] for key in training}) == (HEAD + 1, training)


def test_what_a_document_holds_as_well_is_not_kept_twice(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(weights, embed=True)
    tttcfg.bind(weights, embed=False)
    tttcfg.bind(weights, embed=True)
    tttcfg.bind(weights, changed(sidecar(weights), {"seed": 7}))
    assert sorted(path.name for path in weights.parent.glob("*.bak")) == ["training_config.json.bak"]


@pytest.mark.parametrize(
    "change",
    [
        {"provenance": {"doubted": {"\ud800": {"ttt.base_lr": 1}}}},
        {"provenance": {"note": "\ud800"}},
        {"provenance": {"note": float("nan")}},
        {"training": {"run_dir": "\ud800"}},
        {"training": {"\ud800": 1}},
    ],
    ids=str,
)
def test_an_embedded_configuration_that_no_file_could_hold_is_refused(change: Any, tmp_path: Path) -> None:
    document = tttcfg.load_document(sidecar(made(tmp_path)))
    tag = {**json.loads(tag_for(document, embed=True)[TAG_KEY]), **change}
    weights = filled(tmp_path / "alone" / "model.safetensors", {TAG_KEY: json.dumps(tag)})
    done = run("resolve", "--checkpoint", weights, "--output", "json")
    assert done.code == 2
    assert f"{weights} (embedded)" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("embed", [True, False])
def test_a_trainer_can_bind_while_it_saves(embed: bool, tmp_path: Path) -> None:
    """It passes the tag to the format's library; the document does not have to know the tensors."""
    folder = checkpoint(tmp_path, model=MODEL)
    training = tttcfg.resolve(overrides=TRAINED).training
    document = tttcfg.Document(training, TTT_MOSHI, HEAD)
    filled(folder / "consolidated" / "consolidated.safetensors", tag_for(document, embed=embed))
    tttcfg.save_document(document_file(folder), training)
    assert state(tmp_path) == "bound"
    write_json(document_file(folder), old_document(6, {"ttt.enable": True, "ttt.layers": "1,2"}))
    assert "saved with another" in contradicted(tmp_path).message
