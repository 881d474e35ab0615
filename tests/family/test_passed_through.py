"""Saving a result turns no guess into a fact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import MODEL, SEED_EXCERPT, checkpoint, old_document, write_json
from tests.cli.process import run

WIDE = {**MODEL, "num_layers": 32}


def codes(effective: tttcfg.Effective[Any, Any], *wanted: str) -> set[tuple[str, str]]:
    return {(finding.code, finding.key) for finding in effective.findings if finding.code in wanted}


def saved_again(tmp_path: Path, effective: tttcfg.Effective[Any, Any]) -> tttcfg.Effective[Any, Any]:
    folder = checkpoint(tmp_path / "again", None, WIDE) / "consolidated"
    tttcfg.save_document(folder, effective)
    return tttcfg.resolve(folder)


def test_what_was_assumed_is_assumed_still(tmp_path: Path) -> None:
    effective = tttcfg.resolve(checkpoint(tmp_path, SEED_EXCERPT, WIDE))
    assert codes(saved_again(tmp_path, effective), "assumed", "legacy") == codes(effective, "assumed", "legacy")


def test_what_was_doubted_is_doubted_still(tmp_path: Path) -> None:
    document = old_document(6, {"ttt.enable": True, "ttt.layers": "1", "ttt.ttt_layer_context": 500})
    effective = tttcfg.resolve(checkpoint(tmp_path, document, WIDE))
    assert ("doubt", "ttt.ttt_layer_context") in codes(effective, "doubt")
    assert codes(saved_again(tmp_path, effective), "doubt") == codes(effective, "doubt")


def test_what_was_not_confirmed_stays_unconfirmed(tmp_path: Path) -> None:
    effective = tttcfg.resolve(write_json(tmp_path / "config.json", WIDE), {"ttt": {"enable": True, "layers": [1]}})
    keys = {key for _, key in codes(effective, "unconfirmed")}
    again = {key for _, key in codes(saved_again(tmp_path, effective), "doubt")}
    assert "ttt.mini_batch_size" in keys
    assert again == {key for key in keys if not key.startswith("lora.")}, "LoRA is off"


def test_what_was_decided_is_a_fact(tmp_path: Path) -> None:
    effective = tttcfg.resolve(checkpoint(tmp_path, SEED_EXCERPT, WIDE), None, ["ttt.rope_mode=off"])
    assert codes(saved_again(tmp_path, effective), "legacy") == set()


def test_writing_over_a_document_keeps_the_old_one(tmp_path: Path) -> None:
    """The old trainer's document is not lost, and what was removed stays in the record."""
    folder = checkpoint(tmp_path, old_document(3), WIDE) / "consolidated"
    target = folder / "training_config.json"
    before = target.read_bytes()
    assert run("resolve", "--checkpoint", folder, "--write", target).code == 0
    assert (folder / "training_config.json.bak").read_bytes() == before
    assert "nothing read it" in json.loads(target.read_text(encoding="utf-8"))["provenance"]["removed"]


@pytest.mark.parametrize("name", ["apikey", "apiKey", "pwd", "accesskey", "wandbkey", "passphrase", "HF_TOKEN"])
def test_any_spelling_of_a_secret_is_withheld(name: str) -> None:
    document = old_document(3, {"paper_metrics": {"deep": [{name: "hush"}]}})
    assert "hush" not in json.dumps(tttcfg.migrate_document(document))


def test_a_secret_that_was_edited_into_the_provenance_is_not_written_back(tmp_path: Path) -> None:
    document = tttcfg.migrate_document(old_document(3))
    document["provenance"]["api_key"] = "hush"
    document["provenance"]["removed"]["why"] = {"wandb.key": "hush"}
    tttcfg.save_document(tmp_path / "d.json", document)
    assert "hush" not in (tmp_path / "d.json").read_text(encoding="utf-8")


def test_a_current_document_with_a_secret_is_refused(tmp_path: Path) -> None:
    document = tttcfg.migrate_document(old_document(3))
    document["wandb"]["key"] = "hush"
    path = tmp_path / "d.json"
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    with pytest.raises(tttcfg.InputError, match=r"d\.json:\d+:\d+: wandb\.key: is a secret") as caught:
        tttcfg.load_document(path)
    assert "hush" not in str(caught.value)


def test_a_secret_in_the_place_of_its_section_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("wandb: hush\n", encoding="utf-8")
    done = run("resolve", "--config", tmp_path / "c.yaml")
    assert done.code == 2
    assert "hush" not in done.out + done.err


def test_set_applies_in_the_order_of_the_arguments() -> None:
    done = run("resolve", "--set", "ttt.base_lr=1", "ttt.base_lr=2", "--explain", "ttt.base_lr")
    assert done.out.startswith("ttt.base_lr = 2.0\n")
    assert run("resolve", "ttt.base_lr=2", "--set=ttt.base_lr=1", "--explain", "ttt.base_lr").out.startswith(
        "ttt.base_lr = 1.0\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ttt.layers.0=!default"], "is a part of ttt.layers"),
        (["--explain", "seed", "--output", "json"], "exclude each other"),
        (["--explain", "ttt.head_dim"], "TTT is off"),
        (["ttt.enable=true", "--explain", "ttt.head_dim"], "give --model-config FILE"),
    ],
)
def test_wrong_use_is_named(arguments: list[str], message: str) -> None:
    done = run("resolve", *arguments)
    assert done.code == 2
    assert message in done.err


def test_the_error_for_a_key_with_dots_says_how_to_write_it(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("ttt.mini_batch_size: 16\n", encoding="utf-8")
    done = run("resolve", "--config", tmp_path / "c.yaml")
    assert "write mini_batch_size in a section ttt" in done.err
