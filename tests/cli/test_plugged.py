"""Variants of plug-ins on the command line: chosen, overridden, explained, compared, migrated, checked and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.launcher import python
from tests.plugged import LION, NEW, OLD, SECOND, Home, document, home_of_plug_in
from tests.testing.trainer import CONFTEST


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_of_plug_in(tmp_path / "home")


def saved(home: Home, optimizer: dict[str, Any], name: str = "run") -> Path:
    path = home.root / name / "training_config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(document(optimizer)), "utf-8")
    return path


def resolved(home: Home, *arguments: str) -> dict[str, Any]:
    result = home.run("resolve", *arguments, "--family", "trainer", "--output", "json")
    assert result.code == 0, result.err
    found: dict[str, Any] = result.json
    return found


def test_it_is_chosen_and_overridden_as_the_trainers_own(home: Home) -> None:
    found = resolved(home, "optimizer=lion", "optimizer.lr=3e-4")
    assert found["training"]["optimizer"] == {"name": "lion", "lr": 3e-4, "beta": 0.99, "sign": True}
    assert {name: ranked[0]["source"] for name, ranked in found["origins"].items()} == {
        "optimizer": "override",
        "optimizer.lr": "override",
        "optimizer.beta": "default",
        "optimizer.sign": "default",
        "steps": "default",
    }
    explained = home.run("resolve", "--family", "trainer", "optimizer=lion", "--explain", "optimizer.sign")
    assert "Whether the sign of the momentum is taken." in explained.out
    assert "true  default" in explained.out


def test_fields_have_its_defaults_and_its_history(home: Home) -> None:
    listed = {one["key"]: one for one in home.run("fields", "--family", "trainer", "--output", "json").json}
    assert listed["optimizer"]["unit"] == "adamw, muon, lion"
    assert listed["optimizer.lr"]["variants"] == {"adamw": 0.001, "muon": 0.02, "lion": 0.0001}
    assert listed["optimizer.beta"]["history"][-1] == "lion, version 1: added beta; before: 0.95 (it was fixed)"
    assert "renamed rate to lr" in home.run("fields", "optimizer.rate", "--family", "trainer").out


@pytest.mark.parametrize("override", ["optimizer={name: lion, schema_version: 0, rate: 0.5}", "optimizer=@old.yaml"])
def test_old_names_are_read_wherever_they_are_given(home: Home, override: str) -> None:
    (home.root / "old.yaml").write_text("name: lion\nrate: 0.5\n", "utf-8")
    found = resolved(home, override, "optimizer.sign=false")
    assert found["training"]["optimizer"] == {"name": "lion", "lr": 0.5, "beta": 0.99, "sign": False}
    (finding,) = found["findings"]
    assert (finding["code"], finding["key"]) == ("renamed", "optimizer.rate")
    found = resolved(home, "optimizer.rate=0.25", "optimizer=lion")
    assert found["origins"]["optimizer.lr"][0]["where"] == "override 1 (optimizer.rate)"


def test_an_old_checkpoint_is_read_by_its_own_migrations(home: Home) -> None:
    saved(home, OLD)
    found = resolved(home, "--checkpoint", "run", "optimizer.lr=0.25")
    assert found["training"]["optimizer"] == {"name": "lion", "lr": 0.25, "beta": 0.95, "sign": False}
    where = found["origins"]["optimizer.beta"][0]["where"]
    assert where == "run/training_config.json (filled when migrated: it was fixed)"


def test_migrating_brings_its_section_to_the_newest_version(home: Home) -> None:
    path = saved(home, OLD)
    plan = home.run("migrate", "run").out
    assert "would go to the current versions of its extensions and plug-ins" in plan
    assert "+ optimizer.beta  0.95" in plan
    assert home.run("migrate", "run", "--write").code == 0
    tree = json.loads(path.read_bytes())
    assert list(tree["optimizer"].items()) == list(NEW.items())
    assert tree["provenance"]["filled"] == {"it was fixed": {"optimizer.beta": 0.95}}
    assert "0 to migrate, 1 already current" in home.run("migrate", "run").out


def test_diff_compares_what_is_inside(home: Home) -> None:
    saved(home, OLD)
    saved(home, {**NEW, "lr": 0.25}, "other")
    result = home.run("diff", "run", "other")
    assert (result.code, result.out) == (1, "training\n  optimizer.lr  0.5  ->  0.25\n")


@pytest.mark.parametrize("arguments", [("--checkpoint", "run"), ("optimizer=lion",)])
def test_where_it_is_not_installed_the_error_lists_what_there_is(home: Home, arguments: tuple[str, ...]) -> None:
    saved(home, NEW)
    home.uninstall()
    result = home.run("resolve", *arguments, "--family", "trainer")
    assert result.code == 2
    message = "optimizer: has no variant 'lion'; there are adamw, muon, and what plug-ins provide: install one with an"
    assert f"{message} entry point of trainer.optimizers that has it" in result.err


def test_one_of_a_newer_plug_in_is_refused(home: Home) -> None:
    saved(home, {**NEW, "schema_version": 2})
    result = home.run("resolve", "--checkpoint", "run")
    assert result.code == 2
    expected = "optimizer.schema_version: is 2, and lion, which is of trainer-lion, reads versions up to 1; install a"
    assert f"{expected} newer one: pip install --upgrade trainer-lion" in result.err


def test_a_key_that_it_does_not_have_is_refused_as_in_the_trainers_own(home: Home) -> None:
    result = home.run("resolve", "--family", "trainer", "optimizer=lion", "optimizer.bata=1")
    assert "optimizer.bata: no setting has this name (did you mean optimizer.beta?)" in result.err
    (home.root / "any.yaml").write_text("optimizer: {name: muon, sign: true}\n", "utf-8")
    result = home.run("resolve", "--family", "trainer", "--config", "any.yaml")
    assert "optimizer.sign: is a setting of lion, and optimizer is muon" in result.err


def test_a_variant_under_another_name_is_read_under_the_old_one(home: Home) -> None:
    assert home.schema("freeze", LION).code == 0
    home.write(SECOND.replace('"lion"', '"sign-lion"', 1).replace('setting("lion"', 'setting("sign-lion"'))
    home.schema("new", LION, "another name", "--convert", "name: it has another name")
    step = home.root / "trainer_lion" / "migrations" / "v0001_to_v0002.py"
    text = step.read_text("utf-8").replace(
        "    return value\n", '    return "sign-lion" if value == "lion" else value\n'
    )
    step.write_text("".join(line for line in text.splitlines(True) if "# EDIT" not in line), "utf-8")
    amended = home.schema("new", LION, "--amend")
    assert amended.code == 0, amended.err
    assert home.schema("check", LION).code == 0
    saved(home, OLD)
    assert resolved(home, "--checkpoint", "run")["training"]["optimizer"]["name"] == "sign-lion"
    assert resolved(home, "optimizer=lion", "optimizer.lr=0.5")["training"]["optimizer"]["lr"] == 0.5


def test_the_history_of_the_trainer_does_not_depend_on_what_is_installed(home: Home) -> None:
    schemas = home.root / "trainer" / "schemas" / "v0000.schema.json"
    assert "lion" not in schemas.read_text("utf-8")
    assert json.loads(schemas.read_bytes())["properties"]["optimizer"]["x-plugins"] == "trainer.optimizers"
    for _ in range(2):
        assert home.schema("check", "trainer").code == 0
        assert home.schema("diff", "trainer").code == 0
        if list(home.root.glob("trainer_lion")):
            assert home.schema("check", LION).code == 0
            home.uninstall()


LAWS = """import tttcfg.testing

TestTrainer = tttcfg.testing.laws("trainer.config:TRAINER", golden="tests/golden/trainer", examples=8)
TestLion = tttcfg.testing.laws("trainer_lion.config:LION", golden="tests/golden/lion", examples=8)
"""


def test_the_laws_hold_with_it_and_for_it(home: Home) -> None:
    (home.root / "conftest.py").write_text(CONFTEST, "utf-8")
    (home.root / "tests" / "test_schema.py").write_text(LAWS, "utf-8")
    meaning = home.root / "tests" / "golden" / "lion" / "meaning" / "v0000.json"
    meaning.parent.mkdir()
    meaning.write_text("{}", "utf-8")
    python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=home.root, env={"PYTHONPATH": str(home.root)})
