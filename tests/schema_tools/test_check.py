"""The check of a schema's history: each thing that can be wrong is found, with its place and how to fix it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.launcher import python
from tests.schema_tools.projects import FAMILY, Project, bare_project, project_of_two, released_project
from tttcfg.schema_tools.check import check
from tttcfg.schema_tools.layout import History
from tttcfg.ttt_moshi.family import TTT_MOSHI

ROOT = Path(__file__).resolve().parents[2]
NEW = f'tttcfg schema new "message" --family {FAMILY}'
AMEND = f"tttcfg schema new --amend --family {FAMILY}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A trainer with version 0 released and version 1 not yet."""
    return project_of_two(tmp_path / "project")


def the_problem(project: Project, message: str) -> dict[str, Any]:
    """Return the one problem with these words, having seen that there is no other."""
    (one,) = [one for one in project.problems() if one["severity"] == "error"]
    assert message in one["message"], one
    return one


def some_problem(project: Project, message: str) -> dict[str, Any]:
    found = [one for one in project.problems() if message in one["message"]]
    assert found, project.problems()
    return found[0]


def test_this_repository_passes_its_own_check() -> None:
    assert check(History(TTT_MOSHI, ROOT / "tests" / "golden")) == []


def test_a_sound_history_has_no_fault(project: Project) -> None:
    result = project.schema("check")
    assert (result.code, result.out) == (0, "")
    assert "versions 0 to 1 agree" in result.err


def test_nothing_is_written(project: Project) -> None:
    """Neither by a check that finds nothing nor by one that does: no byte, no time, no cache beside the modules."""

    def state() -> dict[str, tuple[int, int]]:
        paths = [project.root, *project.root.rglob("*")]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    for cache in list(project.root.rglob("__pycache__")):
        shutil.rmtree(cache)
    before, contents = state(), project.contents()
    assert project.schema("check").code == 0
    assert (state(), project.contents()) == (before, contents)
    project.add_field('late: bool = setting(False, role=Role.RUN, description="Late.")')
    before, contents = state(), project.contents()
    assert project.schema("check").code == 1
    assert (state(), project.contents()) == (before, contents)


def test_a_folder_that_cannot_be_written_is_checked(project: Project) -> None:
    for path in (project.root, *project.root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert project.schema("check").code == 0
    finally:
        for path in (project.root, *project.root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_text_names_place_fault_and_command(project: Project) -> None:
    project.golden.joinpath("v0001.json").unlink()
    result = project.schema("check")
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0] == "tests/golden/v0001.json: is missing: version 1 has no golden document"
    assert lines[1] == f"    {AMEND}"


def test_a_family_without_a_version_gets_the_command_that_makes_the_first(tmp_path: Path) -> None:
    one = the_problem(bare_project(tmp_path / "project"), "no step")
    assert one["advice"] == f'tttcfg schema new "first version" --family {FAMILY}'


def test_a_family_that_is_not_there_is_wrong_use(project: Project) -> None:
    assert project.schema("check", family="trainer.config:NONE").code == 2
    assert project.schema("check", family="missing.config:FAMILY").code == 2


def test_all_is_reported_at_once(project: Project) -> None:
    project.golden.joinpath("v0000.json").unlink()
    project.schemas.joinpath("v0001.schema.json").unlink()
    project.change(project.migrations / "v0000_to_v0001.py", '"there was no warm-up"', '""')
    project.change(
        project.config, 'unit="steps", ge=1, description="Steps of the run."', 'unit="", ge=1, description=""'
    )
    kinds = {one["code"] for one in project.problems()}
    assert kinds == {"step", "schema", "golden", "released", "declaration"}


# Steps


def test_two_heads_are_named(project: Project) -> None:
    step = project.migrations / "v0000_to_v0001.py"
    shutil.copy(step, project.migrations / "v0001.py")
    message = some_problem(project, "two heads")["message"]
    assert "v0000_to_v0001.py" in message
    assert "v0001.py" in message


def test_a_missing_step_is_found(project: Project) -> None:
    (project.migrations / "v0000.py").unlink()
    assert some_problem(project, "no step leads to version 0")["place"] == "trainer/migrations/v0000.py"


def test_a_step_over_a_gap_is_found(project: Project) -> None:
    (project.migrations / "v0000_to_v0001.py").rename(project.migrations / "v0000_to_v0002.py")
    assert some_problem(project, "joins no neighbours")["place"] == "trainer/migrations/v0000_to_v0002.py"
    assert some_problem(project, "no step leads")


def test_a_file_that_only_looks_like_a_step_is_found(project: Project) -> None:
    (project.migrations / "v0001_to_v0002_more.py").write_text("")
    assert the_problem(project, "not named after")["advice"] == "rename it like v0000_to_v0001.py"


def test_other_modules_beside_the_steps_are_nobodys_business(project: Project) -> None:
    (project.migrations / "shared.py").write_text("raise RuntimeError\n")
    assert project.problems() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version=1,", "version=2,", "has version=2, but its name has 1"),
        ('date="20', 'date="on 20', "has no date"),
        ('summary="warm-up"', 'summary=" "', "has no summary"),
        ('evidence="trainer', 'evidence="" and "trainer', "has no evidence"),
        ('"there was no warm-up"', '""', "added warmup without a reason"),
        ("from tttcfg.migration.operations", "from tttcfg.nowhere", "cannot be imported"),
        ("migration = ", "migrated = ", "has no migration"),
        ('"warmup"', '"cooldown"', "warmup is in the frozen schema and not in its operations"),
        ("minimum=0", "minimum=1", "warmup differs between its operations and the frozen schema: what it allows"),
        ("integer(10", "integer(11", "warmup differs between its operations and the frozen schema: default 11 -> 10"),
    ],
)
def test_what_is_wrong_with_a_step_is_found(project: Project, old: str, new: str, message: str) -> None:
    project.change(project.migrations / "v0000_to_v0001.py", old, new)
    one = some_problem(project, message)
    assert one["place"] == "trainer/migrations/v0000_to_v0001.py"


def test_operations_that_cannot_be_applied_are_found(project: Project) -> None:
    step = project.migrations / "v0000_to_v0001.py"
    project.change(step, "Add(", 'Rename("nothing", "something", "why"),\n        Add(')
    project.change(step, "import Add", "import Add, Rename")
    assert "something" in some_problem(project, "cannot be applied")["message"]


# What has to be removed by hand


def test_marks_of_a_merge_are_found(project: Project) -> None:
    step = project.migrations / "v0000_to_v0001.py"
    step.write_text("<<<<<<< ours\n" + step.read_text() + "=======\n>>>>>>> theirs\n")
    assert some_problem(project, "conflict markers")["place"] == "trainer/migrations/v0000_to_v0001.py:1"
    schema = project.schemas / "v0001.schema.json"
    schema.write_text("<<<<<<< ours\n" + schema.read_text())
    assert len([one for one in project.problems() if "conflict markers" in one["message"]]) == 2


def test_what_is_left_to_edit_is_found(project: Project) -> None:
    step = project.migrations / "v0000_to_v0001.py"
    step.write_text(step.read_text() + "\n\ndef convert():\n    # EDIT: say how\n    return 1\n")
    assert the_problem(project, "line # EDIT")["place"].startswith("trainer/migrations/v0000_to_v0001.py:")


@pytest.mark.parametrize("folder", ["migrations", "schemas", "golden"])
def test_what_a_killed_command_left_is_found(project: Project, folder: str) -> None:
    left: Path = getattr(project, folder) / ".v0001.json.123.abc.tttcfg-tmp"
    left.write_text("half")
    assert the_problem(project, "was left by a command that was interrupted")["place"].endswith(left.name)


# Schemas and the model


def test_a_missing_schema_is_found(project: Project) -> None:
    (project.schemas / "v0001.schema.json").unlink()
    assert AMEND in some_problem(project, "version 1 has no frozen schema")["advice"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ('{"properties": 3}', "is not a frozen schema"),
        ('{"properties": {}, "$id": "x"}', "has the $id x"),
    ],
)
def test_a_schema_that_is_none_is_found(project: Project, text: str, message: str) -> None:
    (project.schemas / "v0001.schema.json").write_text(text)
    assert some_problem(project, message)["place"] == "trainer/schemas/v0001.schema.json"


def test_a_schema_of_no_version_is_found(project: Project) -> None:
    shutil.copy(project.schemas / "v0001.schema.json", project.schemas / "v0002.schema.json")
    assert the_problem(project, "no step leads to")["place"] == "trainer/schemas/v0002.schema.json"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    out: Text | None", "    into: Text | None", "into is in the code and not in v0001.schema.json"),
        ("    out: Text | None", "    into: Text | None", "out is in v0001.schema.json and not in the code"),
        ("ge=1", "ge=2", "steps differs between v0001.schema.json and the code: what it allows"),
        ("setting(0.001", "setting(0.002", "optim.lr differs between v0001.schema.json and the code: default"),
        ('unit="dimensionless"', 'unit="ppm"', 'unit "dimensionless" -> "ppm"'),
        ("None, role=Role.RUN", "None, role=Role.COMPUTATION", 'role "run" -> "computation"'),
        ("Steps of the run.", "All steps.", 'description "Steps of the run." -> "All steps."'),
    ],
)
def test_every_difference_between_model_and_newest_schema_is_found(
    project: Project, old: str, new: str, message: str
) -> None:
    project.change(project.config, old, new)
    one = some_problem(project, message)
    assert (one["place"], one["advice"]) == ("trainer.config.Args", AMEND)


def test_a_difference_from_a_released_version_needs_a_new_one(tmp_path: Path) -> None:
    project = released_project(tmp_path / "project")
    project.add_field()
    assert some_problem(project, "warmup is in the code")["advice"] == NEW


def test_the_wording_of_a_released_description_may_be_improved(tmp_path: Path) -> None:
    project = released_project(tmp_path / "project")
    project.change(project.config, "Steps of the run.", "Steps that the run takes.")
    assert project.problems() == []
    project.change(project.config, 'unit="steps"', 'unit="batches"')
    assert 'unit "steps" -> "batches"' in some_problem(project, "steps differs")["message"]


# Declarations


def test_every_missing_declaration_is_listed(project: Project) -> None:
    project.add_field("bare: bool = False\n    half: int = Field(3, description='Half.')")
    found = [one["message"] for one in project.problems() if one["code"] == "declaration"]
    assert found == ["bare declares no role, no description", "half declares no role, no unit"]


def test_a_default_that_its_own_field_refuses_is_found(project: Project) -> None:
    project.change(project.config, "setting(0.001", "setting(-0.001")
    assert "greater than 0" in some_problem(project, "the default of optim.lr is refused")["message"]


def test_a_type_that_no_schema_describes_is_found(project: Project) -> None:
    project.add_field(
        'odd: __import__("typing").Callable[[], int] = setting(int, role=Role.RUN, unit="numbers", description="Odd.")'
    )
    assert some_problem(project, "no JSON Schema can be made")["code"] == "declaration"


# Golden documents


def test_a_missing_golden_folder_is_found(project: Project) -> None:
    result = project.schema("check", "--golden", "nowhere", "--output", "json")
    assert [one["message"] for one in result.json if one["code"] == "golden"] == [
        "there is no such folder of golden documents"
    ]


@pytest.mark.parametrize("name", ["v0000.upgraded.json", "v0001.upgraded.json"])
def test_what_a_golden_document_upgrades_to_has_to_be_recorded(project: Project, name: str) -> None:
    (project.golden / name).unlink()
    assert the_problem(project, "is missing: what")["advice"] == AMEND


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tree = json.loads(path.read_bytes())
    change(tree)
    path.write_text(json.dumps(tree, indent=2))


def test_a_golden_document_has_to_be_valid_by_its_schema(project: Project) -> None:
    change_json(project.golden / "v0001.json", lambda tree: tree.update(steps=-4))
    one = some_problem(project, "is not valid by urn:tttcfg:trainer:v0001: steps: -4")
    assert one["place"] == "tests/golden/v0001.json"


def test_a_golden_document_has_to_be_complete(project: Project) -> None:
    change_json(project.golden / "v0001.json", lambda tree: tree["optim"].pop("name"))
    assert some_problem(project, "lacks optim.name")["place"] == "tests/golden/v0001.json"


def test_a_golden_document_has_to_upgrade_to_what_is_recorded(project: Project) -> None:
    change_json(project.golden / "v0000.upgraded.json", lambda tree: tree.update(steps=7))
    assert "if the new result is the right one" in the_problem(project, "is not what v0000.json upgrades to")["advice"]


def test_further_golden_documents_are_upgraded_too(project: Project) -> None:
    shutil.copy(project.golden / "v0000.json", project.golden / "seen_in_the_wild.json")
    assert the_problem(project, "is missing: what seen_in_the_wild.json upgrades to")
    assert project.schema("new", "--amend").code == 0
    assert project.problems() == []


def test_a_golden_document_of_another_version_is_found(project: Project) -> None:
    shutil.copy(project.golden / "v0000.json", project.golden / "v0001.json")
    assert some_problem(project, "is a document of version 0")["place"] == "tests/golden/v0001.json"


def test_an_upgraded_document_of_nothing_is_found(project: Project) -> None:
    shutil.copy(project.golden / "v0000.upgraded.json", project.golden / "lost.upgraded.json")
    assert the_problem(project, "has no golden document that it")


def test_without_jsonschema_the_check_fails_and_names_what_to_install(project: Project) -> None:
    """A check that silently does less would be worse than none."""
    blocked = project.root / "blocked"
    blocked.mkdir()
    (blocked / "jsonschema.py").write_text("raise ModuleNotFoundError('No module', name='jsonschema')\n")
    code = f"import sys; sys.path.insert(0, {str(blocked)!r}); from tttcfg.cli import main; main()"
    words = ("schema", "check", "--family", FAMILY, "--output", "json")
    (one,) = python("-c", code, *words, cwd=project.root, code=1).json
    assert one["advice"] == 'install it: pip install "tttcfg[testing]"'


# What is released


@pytest.mark.parametrize(
    "name", ["trainer/migrations/v0000.py", "trainer/schemas/v0000.schema.json", "tests/golden/v0000.json"]
)
def test_editing_what_is_released_is_an_error(project: Project, name: str) -> None:
    path = project.root / name
    path.write_bytes(path.read_bytes() + (b"\n" if name.endswith(".json") else b"\nmore = 1\n"))
    one = the_problem(project, "was changed after its release")
    assert one["place"] == name
    assert f"git checkout -- {name}" in one["advice"]


def test_another_layout_of_a_released_step_is_no_change(project: Project) -> None:
    path = project.root / "trainer/migrations/v0000.py"
    source = path.read_text("utf-8")
    path.write_text("# formatted otherwise\n" + source.replace("(", "(\n        ", 1), "utf-8")
    assert project.schema("check").code == 0


def test_a_digest_that_tttcfg_0_1_recorded_still_counts(project: Project) -> None:
    path, recorded = project.root / "trainer/migrations/v0000.py", project.root / "trainer/schemas/released.json"
    saved = json.loads(recorded.read_bytes())
    saved["files"]["migrations/v0000.py"] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    recorded.write_text(json.dumps(saved), "utf-8")
    assert project.schema("check").code == 0


def test_losing_what_is_released_is_an_error(project: Project) -> None:
    (project.golden / "v0000.json").unlink()
    assert some_problem(project, "is released, but is not there")["place"] == "tests/golden/v0000.json"


def test_a_golden_document_of_a_released_version_in_another_folder_is_missed(project: Project) -> None:
    other = project.root / "elsewhere"
    os.rename(project.golden, other)
    assert project.schema("check", "--golden", "elsewhere").code == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: saved.update(versions=[1]), "out of order: [1]"),
        (lambda saved: saved.update(versions=[0, 1, 2]), "version 2 is released, but the newest step leads to 1"),
        (lambda saved: saved["files"].pop("golden/v0000.json"), "has no digest of golden/v0000.json"),
        (lambda saved: saved.pop("files"), "is not what tttcfg schema freeze writes"),
    ],
)
def test_a_list_of_what_is_released_that_cannot_be_right_is_found(
    project: Project, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    change_json(project.schemas / "released.json", change)
    assert some_problem(project, message)["place"] == "trainer/schemas/released.json"


STEP = "trainer/migrations/v0000_to_v0001.py"
CAUSES: dict[str, tuple[str, str, str, str]] = {
    "another default": ("trainer/config.py", "setting(100", "setting(200", "default 100 -> 200"),
    "a lost step": (STEP, "", "", "is the schema of a version that no step leads to"),
    "a lost schema": ("trainer/schemas/v0001.schema.json", "", "", "is missing: version 1 has no frozen schema"),
    "a lost document": ("tests/golden/v0001.json", "", "", "is missing: version 1 has no golden document"),
    "an edited schema": ("trainer/schemas/v0001.schema.json", '"minimum": 0', '"minimum": 1', "warmup differs between"),
    "a document that is edited": ("tests/golden/v0001.json", '"warmup": 10', '"warmup": -10', "is not valid by"),
    "a released document": ("tests/golden/v0000.json", '"steps": 100', '"steps": 101', "was changed after its release"),
    "a released step": ("trainer/migrations/v0000.py", "integer(100", "integer(101", "was changed after its release"),
    "a fill that is refused": (STEP, ", 0, ", ", -1, ", "does not upgrade to version 1"),
    "a step that raises": (STEP, "migration = ", "1 / 0\nmigration = ", "cannot be imported"),
    "no unit": ("trainer/config.py", 'unit="steps", ge=1', 'unit="", ge=1', "steps declares no unit"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_one_cause_is_one_problem(cause: str, project: Project) -> None:
    """What follows from it is not; what could not be looked at is a note."""
    path, old, new, message = CAUSES[cause]
    if old:
        project.change(project.root / path, old, new)
    else:
        (project.root / path).unlink()
    the_problem(project, message)


def test_several_causes_are_several_problems(project: Project) -> None:
    project.change(project.config, "setting(100", "setting(200")
    project.golden.joinpath("v0001.json").unlink()
    project.change(project.golden / "v0000.json", '"steps": 100', '"steps": 101')
    found = [one["code"] for one in project.problems() if one["severity"] == "error"]
    assert sorted(found) == ["drift", "golden", "released"]
    text = project.schema("check")
    assert (
        "note: tests/golden: golden documents were not upgraded, because of the code and the newest schema" in text.err
    )
    assert text.err.endswith("problems: 3\n")
