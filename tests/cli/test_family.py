"""`--family`: every command serves another trainer's configurations, wherever they are declared."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.builders import write_json
from tests.cli.process import run
from tests.families import REFERENCE, install, write_family

CURRENT = {"$schema": "urn:tttcfg:other:v0000", "schema_version": 0, "width": 32, "learning_rate": 0.5}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_family(tmp_path)
    write_json(tmp_path / "run" / "training_config.json", CURRENT)
    (tmp_path / "any.yaml").write_text("width: 8\nlearning_rate: 0.25\n", encoding="utf-8")
    return tmp_path


def test_resolve_restores_what_the_other_trainer_saved(home: Path) -> None:
    done = run("resolve", "--family", REFERENCE, "--checkpoint", "run", "--config", "any.yaml", cwd=home)
    assert done.code == 0, done.err
    assert "width: 32" in done.out
    assert "learning_rate: 0.5" in done.out
    assert "width: is 32 from the checkpoint, not 8 (any.yaml:1:1)" in done.err


def test_resolve_writes_a_document_that_loads_again(home: Path) -> None:
    done = run("resolve", "--family", REFERENCE, "width=16", "--write", "new.json", cwd=home)
    assert done.code == 0, done.err
    saved = json.loads((home / "new.json").read_bytes())
    assert (saved["$schema"], saved["schema_version"], saved["width"]) == ("urn:tttcfg:other:v0000", 0, 16)
    assert run("migrate", "--family", REFERENCE, "new.json", cwd=home).out.startswith("0 to migrate, 1 already")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("fields",), "How wide the model is."),
        (("fields", "width"), "role     architecture"),
        (("history",), "version 0  2026-01-01  the first"),
        (("diff", "run", "any.yaml"), "width"),
        (("migrate", "run"), "1 already at version 0"),
    ],
)
def test_every_command_serves_it(home: Path, arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments, "--family", REFERENCE, cwd=home)
    assert told in done.out, done.err
    assert done.code == (1 if "diff" in arguments else 0)


def test_weights_of_a_family_without_tensor_knowledge_are_not_judged(home: Path) -> None:
    import safetensors.numpy
    from numpy import zeros

    safetensors.numpy.save_file({"some.tensor": zeros(3)}, home / "run" / "consolidated.safetensors")
    done = run("verify", "--family", REFERENCE, "run", cwd=home)
    assert done.code == 0, done.err
    assert "width" in done.out
    assert "no tensor depends on it" in done.out


def test_a_document_of_another_family_names_the_one_to_give(home: Path) -> None:
    done = run("resolve", "--checkpoint", "run", cwd=home)
    assert done.code == 2
    assert "is a document of the family other, and is read as one of ttt_moshi; give --family other" in done.err


def test_an_installed_family_is_found_by_its_name(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    done = run("fields", "width", "--family", "other", cwd=home, PYTHONPATH=str(home))
    assert "role     architecture" in done.out, done.err


def test_a_name_that_two_distributions_claim_is_refused(home: Path) -> None:
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    install(home, "another-trainer", "tttcfg.families", {"other": REFERENCE})
    done = run("fields", "--family", "other", cwd=home, PYTHONPATH=str(home))
    assert done.code == 2
    assert "is claimed by another-trainer and by other-trainer; uninstall one of them" in done.err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("oter", "there is no family of this name (there are: ttt_moshi, misnamed, other)"),
        ("oter", "did you mean other?"),
        ("other.config", "there is no family of this name"),
        (":FAMILY", "is not of the form module:NAME"),
        ("other.config:FAMILIES", "other.config has no FAMILIES"),
        ("other.config:Config", "other.config:Config is a class, not a Family"),
        ("nowhere:FAMILY", "No module named 'nowhere'"),
        ("broken:FAMILY", "broken cannot be imported: ZeroDivisionError"),
        ("misnamed", "is what other-trainer calls a family whose own name is other"),
    ],
)
def test_a_family_that_is_not_there_is_a_plain_error(home: Path, name: str, told: str) -> None:
    (home / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    install(home, "other-trainer", "tttcfg.families", {"other": REFERENCE, "misnamed": REFERENCE})
    done = run("fields", "--family", name, cwd=home, PYTHONPATH=os.fspath(home))
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err
