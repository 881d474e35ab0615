"""Fields of sections in lists and mappings, and of sections that may be null: asked for, filled and kept as others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import run
from tests.launcher import python
from tests.schema_tools.projects import CONFIG, FAMILY, Project, bare_project
from tests.testing.trainer import CONFTEST

MODEL = CONFIG.replace(
    "class Args(Section):",
    """class Step(Section):
    at: Whole = setting(0, role=Role.TRAINING, unit="steps", ge=0, description="Where it begins.")
    old: Whole = setting(1, role=Role.TRAINING, unit="steps", ge=0, description="A dead knob.")


class Stage(Section):
    n: Whole = setting(1, role=Role.TRAINING, unit="steps", ge=1, description="Steps of the stage.")
    rate: float = setting(0.5, role=Role.TRAINING, unit="dimensionless", gt=0, description="Rate.")
    steps: list[Step] = setting([], role=Role.TRAINING, unit="steps", description="Steps.")


class Hub(Section):
    name: Text = setting("x", role=Role.RUN, description="Name.")


class Args(Section):
    stages: list[Stage] = setting([], role=Role.TRAINING, unit="stages", description="Stages.")
    models: dict[str, Stage] | None = setting(None, role=Role.TRAINING, unit="models", description="Models.")
    hub: Hub | None = setting(None, role=Role.RUN, unit="hubs", description="Hub.")""",
)
ANSWERS = (
    *("--rename", "stages.*.rate:stages.*.speed", "--rename", "models.*.rate:models.*.speed"),
    *("--absent", "stages.*.warm=0: there was none", "--absent", "models.*.warm=5: it was fixed"),
    *("--reason", "stages.*.steps.*.old: nothing read it", "--reason", "models.*.steps.*.old: nothing read it"),
    *("--convert", "stages.*.n: milliseconds", "--unconverted", "models.*.n: they always were"),
    *("--absent", "hub.private=false: it was public"),
)
OLD: dict[str, Any] = {
    "schema_version": 0,
    "steps": 3,
    "out": None,
    "optim": {"lr": 0.1, "name": "sgd"},
    "stages": [{"n": 2, "rate": 0.25, "steps": [{"at": 1, "old": 7}]}, {"n": 3, "rate": 0.5, "steps": []}],
    "models": {"a": {"n": 4, "rate": 1.5, "steps": [{"at": 0, "old": 1}]}},
    "hub": {"name": "h"},
}
LAWS = """import tttcfg.testing

TestSchema = tttcfg.testing.laws("trainer.config:FAMILY", golden="tests/golden", examples=8)
"""


def changed_model(project: Project) -> None:
    """Change the sections that others hold, of which everything but `hub` is there several times."""
    warm = '    warm: Whole = setting(10, role=Role.TRAINING, unit="steps", ge=0, description="Warm-up.")\n'
    private = '    private: bool = setting(True, role=Role.RUN, description="Whether it is private.")\n'
    project.change(project.config, "    rate: float", f"{warm}    speed: float")
    project.change(project.config, "    name: Text", f"{private}    name: Text")
    project.config.write_text(re.sub(r"    old: Whole.*\n", "", project.config.read_text()))
    project.change(
        project.config,
        'unit="steps", ge=1, description="Steps of the stage."',
        'unit="ms", ge=1, description="Time of the stage."',
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trainer with such fields, and two versions of them."""
    project = bare_project(tmp_path_factory.mktemp("inside") / "project", MODEL)
    for words in (("new", "first"), ("freeze",)):
        assert project.schema(*words).code == 0
    changed_model(project)
    result = project.schema("new", "inside", *ANSWERS)
    assert result.code == 0, result.err
    step = project.migrations / "v0000_to_v0001.py"
    text = re.sub(r" *# EDIT.*\n", "", step.read_text("utf-8"))
    step.write_text(text.replace("return value", "return value * 1000 if type(value) is int else value"), "utf-8")
    assert project.schema("new", "--amend").code == 0
    return project.root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(made, tmp_path / "project")))


def migrated(project: Project, document: dict[str, Any], *options: str) -> dict[str, Any]:
    path = project.root / "document.json"
    path.write_text(json.dumps(document), "utf-8")
    done = run("migrate", path, "--write", *options, "--family", FAMILY, cwd=project.root)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_what_is_new_inside_is_asked_for(tmp_path: Path) -> None:
    project = bare_project(tmp_path / "project", MODEL)
    project.schema("new", "first")
    project.schema("freeze")
    changed_model(project)
    before = project.contents()
    result = project.schema("new", "inside")
    assert result.code == 2
    assert project.contents() == before
    for line in (
        "stages.*.warm: is new; state what its absence meant",
        "stages.*.speed: is new, and stages.*.rate is gone: --rename if it is that field",
        "stages.*.n: is in ms, and was in steps",
        "stages.*.steps.*.old: is gone; state why",
        "hub.private: is new; state what its absence meant",
    ):
        assert line in result.err
    assert "--rename 'stages.*.rate:stages.*.speed'" in result.err, "a shell would expand it"
    assert "stages: " not in result.err
    crossing = project.schema("new", "inside", "--rename", "stages.*.rate:models.*.speed")
    assert "is not a rename: one of the two is in a section that may be there several times" in crossing.err


def test_the_step_has_the_changes_of_each_section(project: Project) -> None:
    assert project.problems() == []
    step = (project.migrations / "v0000_to_v0001.py").read_text("utf-8")
    assert 'Rename("rate", "speed", "inside"), ' in step
    assert 'Within("steps", (Remove("old", "nothing read it"),))' in step
    assert 'Within("hub", (Add("private", boolean(True), False, "it was public"),), each=False)' in step
    assert "It adds `stages.*.warm`, `models.*.warm`, `hub.private`; removes" in project.changelog.read_text("utf-8")


def test_old_documents_mean_what_the_old_program_did(project: Project) -> None:
    new = migrated(project, OLD)
    assert new["stages"] == [
        {"n": 2000, "warm": 0, "speed": 0.25, "steps": [{"at": 1}]},
        {"n": 3000, "warm": 0, "speed": 0.5, "steps": []},
    ]
    assert new["models"] == {"a": {"n": 4, "warm": 5, "speed": 1.5, "steps": [{"at": 0}]}}
    assert new["hub"] == {"private": False, "name": "h"}
    record = new["provenance"]
    assert record["filled"]["there was none"] == {"stages.0.warm": 0, "stages.1.warm": 0}
    assert record["renamed"]["inside"]["models.a.rate"] == "models.a.speed"
    assert record["removed"]["nothing read it"] == {"stages.0.steps.0.old": 7, "models.a.steps.0.old": 1}
    assert migrated(project, {**OLD, "hub": None, "models": None})["hub"] is None
    back = migrated(project, new, "--to", "0")
    assert {key: back[key] for key in OLD} == OLD


@pytest.mark.parametrize("version", [0, 1])
def test_what_a_document_lacks_inside_is_its_versions_default_and_is_reported(version: int, project: Project) -> None:
    document = OLD if version == 0 else migrated(project, OLD)
    document = json.loads(json.dumps(document))
    del document["stages"][1]["rate" if version == 0 else "speed"]
    del document["models"]["a"]["steps"][0]["at"]
    new = migrated(project, document)
    if version == 0:
        assert new["stages"][1]["speed"] == 0.5
        assert new["provenance"]["assumed"]["values"] == {"stages.1.speed": 0.5, "models.a.steps.0.at": 0}
    path = shutil.copy(project.root / "document.json", project.root / "training_config.json")
    done = run("resolve", "--checkpoint", path, "--family", FAMILY, cwd=project.root)
    assert "and taken from other sources: stages.1.speed, models.a.steps.0.at" in done.err


def test_a_removed_value_does_not_come_back_into_what_was_edited(project: Project) -> None:
    """Items of a list have no names of their own: what was the first may be the second now."""
    new = migrated(project, OLD)
    new["models"]["a"]["steps"].insert(0, {"at": 5})
    path = project.root / "document.json"
    path.write_text(json.dumps(new), "utf-8")
    done = run("migrate", path, "--to", "0", "--family", FAMILY, cwd=project.root)
    assert done.code == 1
    assert "models.a.steps.0.old: was removed, and models was edited since, so that it would be stale" in done.err
    assert "stages.0.steps.0.old" not in done.err


def test_files_are_read_by_what_is_inside(project: Project) -> None:
    def read(text: str) -> Any:
        done = run("resolve", f"stages={text}", "--family", FAMILY, "--output", "json", cwd=project.root)
        return done.json["training"]["stages"] if done.code == 0 else done.err

    assert "stages.0.n: 2 is ambiguous" in read("[{n: 2, rate: 0.25}]")
    assert "stages.0.n: 2 is ambiguous: before version 1 it meant 2000" in read("[{n: 2}]")
    stated = run(
        *("resolve", "stages=[{n: 2, rate: 0.25}]", "schema_version=0", "--family", FAMILY, "--output", "json"),
        cwd=project.root,
    )
    (stage,) = stated.json["training"]["stages"]
    assert (stage["n"], stage["speed"]) == (2000, 0.25)


def test_a_part_is_overridden_by_its_dotted_name(project: Project) -> None:
    given = {
        "schema_version": 1,
        "stages": [{"n": 2, "warm": 3, "speed": 0.5, "steps": []}],
        "models": {"a": {"n": 4, "warm": 5, "speed": 1.5, "steps": [{"at": 0}]}},
    }
    path = project.root / "given.json"
    path.write_text(json.dumps(given), "utf-8")

    def read(*overrides: str) -> Any:
        words = ("resolve", "--config", path, *overrides, "--family", FAMILY, "--output", "json")
        done = run(*words, cwd=project.root)
        return done.json["training"] if done.code == 0 else done.err

    assert read("stages.0.warm=7")["stages"] == [{"n": 2, "warm": 7, "speed": 0.5, "steps": []}]
    assert read("stages.0.rate=0.75")["stages"][0]["speed"] == 0.75, "an old name inside"
    assert read("models.a.steps.0.at=9")["models"]["a"]["steps"] == [{"at": 9}]
    assert read("models.a.steps.1={at: 9}")["models"]["a"]["steps"] == [{"at": 0}, {"at": 9}]
    assert read("models.b={n: 1}")["models"]["b"]["n"] == 1
    assert read("hub.name=1")["hub"] == {"private": True, "name": "1"}, "text stays text"
    assert read("schema_version=1", "stages.0.n=5")["stages"][0]["n"] == 5
    for override, message in (
        ("stages.0.n=5", "stages.0.n: is ambiguous: older versions meant something else"),
        ("stages.0.warmup=1", "stages.0.warmup: no setting has this name (did you mean stages.0.warm?)"),
        ("stages.1.warm=1", "stages.1: has no item 1: it is a list of 1 items"),
        ("models.b.warm=1", "models.b: has no key b: it has a"),
        ("stages.0.warm=-1", "stages.0.warm: -1 is refused: must be greater than or equal to 0"),
        ("hub.nam=x", "hub.nam: no setting has this name (did you mean hub.name?)"),
    ):
        assert message in read(override)


def test_what_differs_inside_is_shown_by_its_name(project: Project) -> None:
    one, other = (project.root / name / "training_config.json" for name in ("one", "other"))
    changed = json.loads(json.dumps(OLD))
    changed["stages"][0]["steps"][0]["at"], changed["models"]["b"] = 9, changed["models"]["a"]
    for path, document in ((one, OLD), (other, changed)):
        path.parent.mkdir()
        path.write_text(json.dumps(document), "utf-8")
    done = run("diff", one, other, "--family", FAMILY, "--output", "json", cwd=project.root)
    assert [entry["key"] for entry in done.json] == ["stages.0.steps.0.at", "models"]


def test_fields_lists_what_is_inside(project: Project) -> None:
    done = run("fields", "--family", FAMILY, cwd=project.root)
    names = [line.split()[0] for line in done.out.splitlines()[1:]]
    assert names[:6] == ["stages", *(f"stages.*.{one}" for one in ("n", "warm", "speed", "steps", "steps.*.at"))]
    one = run("fields", "stages.*.speed", "--family", FAMILY, cwd=project.root)
    assert one.out.startswith("stages.*.speed\n  Rate.")
    assert "renamed stages.*.rate to stages.*.speed: inside" in one.out
    assert run("fields", "stages.*.rate", "--family", FAMILY, cwd=project.root).out == one.out


def test_what_is_inside_has_to_be_declared(tmp_path: Path) -> None:
    project = bare_project(
        tmp_path / "project", MODEL.replace('ge=0, description="A dead knob."', 'ge=0, description=""')
    )
    result = project.schema("new", "first")
    assert result.code == 2
    assert "stages.*.steps.*.old declares no description" in result.err


def test_a_doubt_inside_is_reported(project: Project) -> None:
    step = project.migrations / "v0000_to_v0001.py"
    text = step.read_text("utf-8")
    step.write_text(text.replace('0, "there was none"', '0, "there was none", "it may have been 3"'), "utf-8")
    project.change(
        project.config,
        "stages: list[Stage] = setting([], role=Role.TRAINING",
        "stages: list[Stage] = setting([], role=Role.COMPUTATION",
    )
    project.config.write_text(
        project.config.read_text("utf-8").replace('Role.TRAINING, unit="ms"', 'Role.COMPUTATION, unit="ms"'), "utf-8"
    )
    path = project.root / "training_config.json"
    path.write_text(json.dumps(OLD), "utf-8")
    done = run("resolve", "--config", path, "--family", FAMILY, cwd=project.root)
    assert "stages.0.warm" in done.err
    assert "it may have been 3" in done.err


def test_the_laws_hold(project: Project) -> None:
    (project.golden / "meaning").mkdir()
    (project.golden / "meaning" / "v0000.json").write_text("{}")
    (project.golden / "more.json").write_text(json.dumps(OLD))
    (project.root / "test_schema.py").write_text(LAWS)
    (project.root / "conftest.py").write_text(CONFTEST)
    assert project.schema("new", "--amend").code == 0
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "test_schema.py")
    done = python(*words, cwd=project.root, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, code=None)
    assert done.code == 0, done.out[-4000:]
