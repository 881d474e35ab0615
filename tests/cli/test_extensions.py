"""Extensions on the command line: found where they are installed, passed through where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import document_file, trained, write_json
from tests.cli.process import Result, run
from tests.extensions import install_extension, write_extension

ODD = '{ "schema_version": 0,  "drop": 0.50, "patience": 9 }'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with a checkpoint that has a section `noise`, oddly written, and the extension, not installed."""
    write_extension(tmp_path)
    path = document_file(trained(tmp_path / "run"))
    tree = {**json.loads(path.read_bytes()), "extensions": {"noise": "HERE"}}
    path.write_text(json.dumps(tree, indent=2).replace('"HERE"', ODD) + "\n", encoding="utf-8")
    return tmp_path


def installed(home: Path, *arguments: str) -> Result:
    if not list(home.glob("*.dist-info")):
        install_extension(home)
    return run(*arguments, cwd=home, PYTHONPATH=str(home))


def test_resolve_shows_and_explains_it(home: Path) -> None:
    done = installed(home, "resolve", "--checkpoint", "run", "extensions.noise.patience=3")
    assert done.code == 0, done.err
    assert "extensions:\n  noise:\n    dropout: 0.5\n    patience: 3\n" in done.out
    explanation = installed(home, "resolve", "--checkpoint", "run", "--explain", "extensions.noise.dropout").out
    assert "Dropout of the TTT layers" in explanation
    assert "checkpoint" in explanation
    values = installed(home, "resolve", "--checkpoint", "run", "--output", "json").json
    assert values["extensions"]["noise"]["patience"] == 9


def test_a_secret_of_it_is_not_explained(home: Path) -> None:
    path = home / "noise" / "config.py"
    secret = 'token: Text | None = setting(None, role=Role.SECRET, unit="secret", description="A token.")'
    code = path.read_text("utf-8").replace("    cache: Text", f"    {secret}\n    cache: Text")
    path.write_text(code, encoding="utf-8")
    done = installed(home, "resolve", "--checkpoint", "run", "--explain", "extensions.noise.token")
    assert done.code == 2
    assert "extensions.noise.token: is a secret" in done.err


def test_what_resolve_shows_resolves_to_itself(home: Path) -> None:
    shown = installed(home, "resolve", "--checkpoint", "run", "extensions.noise.dropout=0.75").out
    (home / "shown.yaml").write_text(shown, encoding="utf-8")
    again = installed(home, "resolve", "--config", "shown.yaml", "--output", "json").json
    assert again["extensions"]["noise"]["dropout"] == 0.75


def test_fields_documents_it(home: Path) -> None:
    assert "extensions.noise.dropout" in installed(home, "fields").out
    listed = installed(home, "fields", "extensions.noise.dropout").out
    assert "role     computation" in listed
    assert "version 1: renamed drop to dropout: the whole word" in listed


def test_migrate_upgrades_its_section_alone(home: Path) -> None:
    plan = installed(home, "migrate", "run")
    assert "extensions.noise.drop" in plan.out, plan.err
    assert "would go to the current versions of its extensions" in plan.out
    assert installed(home, "migrate", "run", "--write").code == 0
    section = json.loads(document_file(home / "run/checkpoints/checkpoint_001000").read_bytes())["extensions"]["noise"]
    assert (section["schema_version"], section["dropout"]) == (1, 0.5)
    assert "1 already current" in installed(home, "migrate", "run").out


def test_diff_compares_it(home: Path) -> None:
    done = installed(home, "diff", "run", "run", "extensions.noise.dropout=0.25")
    assert done.code == 1
    assert "extensions.noise.dropout" in done.out


def test_where_it_is_not_installed_a_warning_names_it_and_it_is_passed_through(home: Path) -> None:
    done = run("resolve", "--checkpoint", "run", "--write", "new.json", cwd=home)
    assert done.code == 0
    assert "warning [extension] extensions.noise: " in done.err
    assert ODD in (home / "new.json").read_text("utf-8")
    assert "not compared: the extension noise, which is not installed" in run("diff", "run", "run", cwd=home).err


def test_migrating_leaves_one_that_is_not_installed_to_the_byte(home: Path) -> None:
    path = document_file(home / "run/checkpoints/checkpoint_001000")
    tree = json.loads(path.read_bytes())
    del tree["extensions"]["noise"], tree["seed"]
    path.write_text(json.dumps(tree).replace('"extensions": {}', f'"extensions": {{"noise": {ODD}}}'), "utf-8")
    done = run("resolve", "--checkpoint", "run", "--write", "run/new.json", cwd=home)
    assert done.code == 0, done.err
    assert ODD in (home / "run" / "new.json").read_text("utf-8")


@pytest.mark.parametrize("arguments", [("resolve", "--checkpoint", "run"), ("verify", "run"), ("migrate", "run")])
def test_strictly_it_is_refused(home: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--strict-extensions", cwd=home)
    assert done.code in (1, 2)
    assert "extensions.noise: is an extension" in done.err


def test_two_distributions_that_claim_its_name_are_refused(home: Path) -> None:
    install_extension(home, "another-trainer")
    install_extension(home)
    done = installed(home, "resolve", "--checkpoint", "run")
    assert done.code == 2
    assert "noise: is declared by another-trainer and by noisy-trainer; uninstall one of them" in done.err


def test_one_that_cannot_be_imported_is_a_plain_error(home: Path) -> None:
    (home / "noise" / "config.py").write_text("import nowhere\n", encoding="utf-8")
    done = installed(home, "resolve", "--checkpoint", "run")
    assert done.code == 2
    assert "noise: noise.config cannot be imported: ModuleNotFoundError: No module named 'nowhere'" in done.err
    assert "Traceback" not in done.err


def test_an_override_of_one_that_is_not_installed_is_refused_with_the_reason(home: Path) -> None:
    done = run("resolve", "extensions.noise.dropout=0.5", cwd=home)
    assert done.code == 2
    assert "extensions.noise.dropout: the extension 'noise' is not installed; none is" in done.err


def test_a_section_that_is_none_is_refused(home: Path) -> None:
    write_json(home / "any.json", {"extensions": [1]})
    done = run("resolve", "--config", "any.json", cwd=home)
    assert done.code == 2
    assert "extensions: must be a mapping of extensions" in done.err
