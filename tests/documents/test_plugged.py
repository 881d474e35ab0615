"""Sections of plug-ins' variants in documents: kept on the way to an older version of the trainer, or a loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugged import LION, NEW, OLD, SECOND, TRAINER, Home, document, home_of_plug_in

WARM = '    warm: Whole = setting(3, role=Role.TRAINING, unit="steps", ge=0, description="Steps of warm-up.")\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = home_of_plug_in(tmp_path / "home")
    (home.root / "run").mkdir()
    return home


def changed(home: Home, old: str, new: str, *answers: str) -> None:
    """Release the trainer's version, and make the next one."""
    assert home.schema("freeze", "trainer").code == 0
    config = home.root / "trainer" / "config.py"
    config.write_text(config.read_text("utf-8").replace(old, new), "utf-8")
    made = home.schema("new", "trainer", "next", *answers)
    assert made.code == 0, made.err
    assert home.schema("check", "trainer").code == 0


def migrated(home: Home, tree: dict[str, Any], *arguments: str) -> dict[str, Any]:
    path = home.root / "run" / "training_config.json"
    path.write_text(json.dumps(tree), "utf-8")
    result = home.run("migrate", "run", "--write", *arguments)
    assert result.code == 0, result.out
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_it_goes_with_the_trainers_field_up_and_down(home: Home) -> None:
    answers = ("--rename", "optimizer:optim", "--absent", "warm=0: there was none")
    changed(home, "    optimizer: AdamW", f"{WARM}    optim: AdamW", *answers)
    newest = migrated(home, document(OLD))
    assert (newest["schema_version"], newest["optim"]) == (1, NEW)
    assert newest["provenance"]["filled"] == {"there was none": {"warm": 0}, "it was fixed": {"optim.beta": 0.95}}
    older = migrated(home, newest, "--to", "0")
    assert (older["schema_version"], older["optimizer"]) == (0, NEW)
    assert migrated(home, older)["optim"] == NEW
    (home.root / "any.yaml").write_text("optimizer: {name: lion, rate: 0.25}\n", "utf-8")
    result = home.run("resolve", "--family", "trainer", "--config", "any.yaml", "--output", "json")
    assert result.json["training"]["optim"]["lr"] == 0.25


def test_a_version_that_takes_no_plug_ins_loses_it(home: Home) -> None:
    config, plugins = home.root / "trainer" / "config.py", ' plugins="trainer.optimizers",'
    config.write_text(TRAINER.replace(plugins, ""), "utf-8")
    assert home.schema("new", "trainer", "--amend").code == 0
    changed(home, ' discriminator="name",', f' discriminator="name",{plugins}')
    difference = home.schema("diff", "trainer", "0").out
    assert "backward" in difference
    assert "variants come from plug-ins of trainer.optimizers, too" in difference
    (home.root / "run" / "training_config.json").write_text(json.dumps(document(NEW, 1)), "utf-8")
    result = home.run("migrate", "run", "--to", "0")
    assert result.code == 1
    for name in ("optimizer", "optimizer.lr", "optimizer.beta", "optimizer.sign"):
        assert f"{name}: version 0 cannot hold it" in result.err
    older = migrated(home, document(NEW, 1), "--to", "0", "--allow-loss")
    assert older["optimizer"] == {"name": "adamw", "lr": 0.001, "beta": 0.9}


def test_a_section_that_lacks_a_field_gets_the_default_of_its_version(home: Home) -> None:
    lacking = {key: value for key, value in OLD.items() if key != "sign"}
    newest = migrated(home, document(lacking))
    assert newest["optimizer"] == {**NEW, "sign": True}
    assert newest["provenance"]["assumed"]["values"] == {"optimizer.sign": True}


def test_one_without_a_version_is_of_todays(home: Home) -> None:
    without = {key: value for key, value in NEW.items() if key != "schema_version"}
    (home.root / "run" / "training_config.json").write_text(json.dumps(document(without)), "utf-8")
    found = home.run("resolve", "--checkpoint", "run", "--output", "json").json
    assert found["training"]["optimizer"] == without


def test_a_value_that_the_plug_in_removed_stays_in_the_record(home: Home) -> None:
    assert home.schema("freeze", LION).code == 0
    home.write("".join(line for line in SECOND.splitlines(True) if "sign: bool" not in line))
    assert home.schema("new", LION, "third", "--reason", "sign: nothing read it").code == 0
    newest = migrated(home, document(OLD))
    assert newest["optimizer"] == {"name": "lion", "schema_version": 2, "lr": 0.5, "beta": 0.95}
    assert newest["provenance"]["removed"] == {"nothing read it": {"optimizer.sign": False}}
    assert migrated(home, newest) == newest
    found = home.run("resolve", "--family", "trainer", "optimizer=lion", "optimizer.sign=true", "--output", "json").json
    assert [(one["code"], one["key"]) for one in found["findings"]] == [("removed", "optimizer.sign")]
