"""`tttcfg schema`: the commands on a trainer's own family, as processes."""

from __future__ import annotations

import os
import pty
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import TTTCFG, run
from tests.launcher import launch
from tests.schema_tools.projects import (
    CONFIG,
    FAMILY,
    WARMUP,
    WARMUP_ABSENT,
    Project,
    bare_project,
    project_of_two,
    released_project,
)

STEP = "trainer/migrations/v0000_to_v0001.py"


@pytest.fixture
def released(tmp_path: Path) -> Project:
    """A trainer with version 0, released."""
    return released_project(tmp_path / "project")


@pytest.fixture
def two(tmp_path: Path) -> Project:
    """A trainer with version 0 released and version 1 not yet."""
    return project_of_two(tmp_path / "project")


def done(project: Project, *arguments: str) -> str:
    """Run `tttcfg schema new`, see that it works and that the check agrees, and return its output."""
    result = project.schema("new", *arguments)
    assert result.code == 0, result.err
    assert project.problems() == []
    return result.err


# The first version


def test_the_first_version_is_written_from_the_model(tmp_path: Path) -> None:
    project = bare_project(tmp_path / "project")
    result = project.schema("new", "first version")
    assert result.code == 0, result.err
    assert set(result.out.split()) == {
        "CHANGELOG.md",
        "tests/golden/v0000.json",
        "tests/golden/v0000.upgraded.json",
        "trainer/migrations/__init__.py",
        "trainer/migrations/v0000.py",
        "trainer/schemas/__init__.py",
        "trainer/schemas/v0000.schema.json",
    }
    assert project.problems() == []
    assert 'Declare("optim.name", choice("adam", "adam", "sgd")),' in (project.migrations / "v0000.py").read_text()


def test_a_model_with_fields_that_have_no_default_gets_a_golden_document_too(tmp_path: Path) -> None:
    project = bare_project(tmp_path / "project", CONFIG.replace("setting(100, role", "setting(role"))
    done(project, "first version")
    assert project.read("tests/golden/v0000.json")["steps"] == 1


def test_a_model_that_declares_too_little_gets_no_version(tmp_path: Path) -> None:
    project = bare_project(tmp_path / "project")
    project.add_field("bare: bool = False")
    before = project.contents()
    result = project.schema("new", "first version")
    assert result.code == 2
    assert "bare declares no role" in result.err
    assert project.contents() == before


# A new version


@pytest.mark.parametrize("command", [("check",), ("new", "a change"), ("freeze",)])
def test_a_forgotten_family_is_not_the_built_in_one(released: Project, command: tuple[str, ...]) -> None:
    """Nothing of another project is looked for, or written, in this one."""
    before = sorted(released.root.rglob("*"))
    done = run("schema", *command, cwd=released.root)
    assert done.code == 2
    assert "ttt_moshi: its sources are imported from " in done.err
    assert f"which is not in {released.root}, where you stand" in done.err
    assert "--family module:NAME" in done.err
    assert sorted(released.root.rglob("*")) == before


@pytest.mark.parametrize("golden", [(), ("--golden", "tests/golden")])
@pytest.mark.parametrize("command", [("check",), ("new", "a change"), ("freeze",)])
def test_another_checkout_than_the_one_that_is_imported_is_refused(
    released: Project, tmp_path: Path, command: tuple[str, ...], golden: tuple[str, ...]
) -> None:
    """A second git worktree, with the first one installed: nothing is compared or written across the two."""
    second = Project(Path(shutil.copytree(released.root, tmp_path / "second")))
    (released.root / ".git").mkdir()
    (second.root / ".git").write_text("gitdir: ../first/.git/worktrees/second\n")
    before = [one.contents() for one in (released, second)]
    done = run(
        "schema",
        *command,
        *golden,
        "--family",
        FAMILY,
        cwd=second.root,
        PYTHONSAFEPATH="1",
        PYTHONPATH=str(released.root),
    )
    assert done.code == 2
    assert f"its sources are imported from {released.root / 'trainer' / 'migrations'}" in done.err
    assert f"which is not in {second.root}, where you stand" in done.err
    assert [one.contents() for one in (released, second)] == before
    assert released.schema("check").code == 0, "in its own checkout"


def test_an_installed_copy_is_not_written_into(released: Project, tmp_path: Path) -> None:
    site = tmp_path / "env" / "site-packages"
    shutil.copytree(released.root / "trainer", site / "trainer")
    released.config.unlink()
    done = run("schema", "check", "--family", FAMILY, cwd=released.root, PYTHONSAFEPATH="1", PYTHONPATH=str(site))
    assert done.code == 2
    assert "an installed copy" in done.err
    assert "pip install --editable ." in done.err


def test_a_new_field_makes_a_version(released: Project) -> None:
    released.add_field()
    done(released, "warm-up", "--absent", WARMUP_ABSENT)
    step = (released.root / STEP).read_text()
    assert 'Add("warmup", integer(10, minimum=0), 0, "there was no warm-up"),' in step
    assert re.search(r'date="20\d\d-\d\d-\d\d"', step)
    assert released.read("tests/golden/v0001.json")["warmup"] == 10, "what the new program writes"
    assert released.read("tests/golden/v0000.upgraded.json")["warmup"] == 0, "what the old program did"
    assert "- Schema version 1 of trainer: warm-up. It adds `warmup`." in released.changelog.read_text()


def test_released_files_stay_as_they_are(released: Project) -> None:
    before = released.contents()
    released.add_field()
    done(released, "warm-up", "--absent", WARMUP_ABSENT)
    after = released.contents()
    changed = {name for name, data in before.items() if after[name] != data}
    assert changed == {"CHANGELOG.md", "tests/golden/v0000.upgraded.json", "trainer/config.py"}


def test_all_missing_answers_are_listed_with_the_command_that_gives_them(released: Project) -> None:
    released.change(released.config, "    lr: float", "    rate: float")
    released.add_field()
    before = released.contents()
    result = released.schema("new", "it's all new")
    assert result.code == 2
    assert released.contents() == before
    assert "warmup: is new; state what its absence meant" in result.err
    rename, absent = "--rename optim.lr:optim.rate", "--absent 'optim.rate=VALUE: REASON'"
    assert "optim.rate: is new, and optim.lr is gone: --rename if it is that field" in result.err
    assert f"otherwise {absent}" in result.err
    assert "optim.lr: is gone, and optim.rate is new" in result.err
    assert result.err.count(rename) == 1, "the likely answer, once"
    command = result.err[result.err.index("  tttcfg schema new") :].replace("\\\n", " ")
    for placeholder, answer in (
        ("warmup=VALUE: REASON", WARMUP_ABSENT),
        ("VALUE", "0.5"),
        ("REASON", "it was not recorded"),
    ):
        command = command.replace(placeholder, answer)
    shell = command.strip().replace("tttcfg", f"{sys.executable} -m tttcfg", 1)
    launch("sh", "-c", shell, cwd=released.root)
    assert released.problems() == []
    assert "it's all new" in (released.root / STEP).read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--absent", "warmup=VALUE: REASON"), "is new; state why"),
        (("--absent", "warmup=0: "), "is new; state why"),
        (("--absent", "warmup=-1: there was none"), "does not allow -1"),
        (("--absent", WARMUP_ABSENT, "--absent", "steps=1: x"), "steps: is not a new field"),
        (("--absent", WARMUP_ABSENT, "--reason", "nothing: x"), "nothing: is not a field that is gone or changed"),
        (("--absent", WARMUP_ABSENT, "--rename", "steps:warmup"), "is not a rename: steps"),
        (("--absent", WARMUP_ABSENT, "--rename", "cool:warmup"), "has no cool"),
        (("--absent", WARMUP_ABSENT, "--absent", WARMUP_ABSENT), "is given twice"),
        (("--absent", "warmup"), "is not of the form --absent 'KEY=VALUE: REASON'"),
        (("--rename", "warmup"), "is not of the form --rename OLD:NEW"),
    ],
)
def test_answers_that_cannot_be_meant_are_refused(released: Project, arguments: tuple[str, ...], message: str) -> None:
    released.add_field()
    before = released.contents()
    result = released.schema("new", "warm-up", *arguments)
    assert result.code == 2
    assert message in result.err
    assert released.contents() == before


@pytest.mark.parametrize(
    "refused", [("--absent", "warmup=null: it had none"), ("--rename", "steps:warmup"), ("--reason", "nothing: x")]
)
def test_the_command_that_is_advised_leaves_out_what_was_refused(released: Project, refused: tuple[str, str]) -> None:
    released.add_field()
    result = released.schema("new", "warm-up", *refused)
    assert result.code == 2
    command = result.err[result.err.index("  tttcfg schema new") :]
    assert refused[1] not in command
    assert command.count("warmup") == 1, "what is still missing"


def test_a_section_is_renamed_with_all_its_fields(released: Project) -> None:
    released.change(released.config, "optim: Optim", "optimiser: Optim")
    done(released, "spelled out", "--rename", "optim:optimiser")
    assert released.read("tests/golden/v0000.upgraded.json")["optimiser"] == {"lr": 0.001, "name": "adam"}


def test_a_rename_carries_the_value_over(released: Project) -> None:
    released.change(released.config, "    lr: float", "    rate: float")
    done(released, "clearer names", "--rename", "optim.lr:optim.rate")
    assert 'Rename("optim.lr", "optim.rate", "clearer names"),' in (released.root / STEP).read_text()
    diff = released.schema("diff", "0", "1")
    assert diff.code == 1
    assert re.search(r"optim\.rate +renamed +breaking +was optim\.lr", diff.out)


def test_what_looks_like_a_rename_may_be_none(released: Project) -> None:
    released.change(released.config, "    lr: float", "    rate: float")
    done(released, "new rate", "--absent", "optim.rate=0.5: it was fixed", "--reason", "optim.lr: it did nothing")
    assert released.read("tests/golden/v0000.upgraded.json")["optim"]["rate"] == 0.5
    assert 'Remove("optim.lr", "it did nothing"),' in (released.root / STEP).read_text()


def test_a_wider_shape_another_default_and_another_role_keep_old_values(released: Project) -> None:
    released.change(released.config, '"adam", "sgd"]', '"adam", "sgd", "lion"]')
    released.change(released.config, "setting(100", "setting(200")
    released.change(released.config, "None, role=Role.RUN", "None, role=Role.TRAINING")
    done(released, "more", "--reason", "steps: runs got longer")
    step = (released.root / STEP).read_text()
    assert 'Redeclare("steps", integer(200, minimum=1), "runs got longer"),' in step
    assert 'Redeclare("out", nullable(text(None)), "more"),' in step
    assert released.read("tests/golden/v0000.upgraded.json")["steps"] == 100


def test_a_shape_that_refuses_old_values_needs_a_function_written_by_hand(released: Project) -> None:
    released.change(
        released.config,
        'setting(100, role=Role.TRAINING, unit="steps", ge=1',
        'setting(200, role=Role.TRAINING, unit="steps", ge=150',
    )
    result = released.schema("new", "longer runs")
    assert result.code == 0, result.err
    assert "write how old values of steps become new ones" in result.err
    assert "v0000.upgraded.json is not written" in result.err
    assert any("line # EDIT" in one["message"] for one in released.problems())
    assert released.schema("freeze").code == 1
    step = released.root / STEP
    text = re.sub(r" *# EDIT.*\n", "", step.read_text())
    step.write_text(text.replace("return value", "return max(value, 150) if isinstance(value, int) else value"))
    output = done(released, "--amend")
    assert "was edited and stays as it is" in output
    assert released.read("tests/golden/v0000.upgraded.json")["steps"] == 150


STEPS = 'steps: Whole = setting(100, role=Role.TRAINING, unit="steps"'
THOUSANDS = STEPS.replace('unit="steps"', 'unit="thousand steps"')


def test_numbers_in_another_unit_need_a_conversion_or_the_statement_that_they_stay(released: Project) -> None:
    released.change(released.config, STEPS, THOUSANDS)
    before = released.contents()
    result = released.schema("new", "thousands")
    assert result.code == 2
    assert released.contents() == before
    message = "steps: is in thousand steps, and was in steps: --convert 'steps: REASON' if old numbers become others"
    assert f"{message}; otherwise --unconverted 'steps: REASON'" in result.err
    assert "schema new thousands \\\n    --convert 'steps: REASON'" in result.err, (
        "which fails until a function is written"
    )
    done(released, "thousands", "--unconverted", "steps: only the name was wrong")
    step = (released.root / STEP).read_text()
    assert 'Redeclare("steps", integer(100, minimum=1), "only the name was wrong", "thousand steps"),' in step
    assert released.problems() == []
    done(released, "--amend")
    assert (released.root / STEP).read_text() == step, "the statement is kept"
    released.change(released.root / STEP, ', "thousand steps")', ")")
    (one,) = [one for one in released.problems() if one["code"] == "unit"]
    assert one["message"].startswith("steps is in thousand steps, and was in steps, but no operation says")


def test_a_rename_to_another_unit_needs_one_too(released: Project) -> None:
    released.change(released.config, STEPS, THOUSANDS.replace("steps:", "thousands:"))
    result = released.schema("new", "thousands", "--rename", "steps:thousands")
    assert result.code == 2
    assert "thousands: is in thousand steps, and was in steps" in result.err
    done(released, "thousands", "--rename", "steps:thousands", "--unconverted", "thousands: a slip")
    assert 'Rename("steps", "thousands", "thousands"),' in (released.root / STEP).read_text()
    assert released.problems() == []


@pytest.mark.parametrize("options", [("--convert", "none: x"), ("--unconverted", "optim: x")])
def test_what_is_stated_of_units_has_to_be_a_field_that_stays(released: Project, options: tuple[str, ...]) -> None:
    released.change(released.config, "setting(100", "setting(200")
    result = released.schema("new", "more", *options)
    assert result.code == 2
    assert "is not a field that the version before has as well" in result.err


def test_a_field_is_not_both_converted_and_not(released: Project) -> None:
    result = released.schema("new", "more", "--convert", "steps: x", "--unconverted", "steps: y")
    assert result.code == 2
    assert "steps: is given with --convert and --unconverted" in result.err


@pytest.fixture
def in_thousands(released: Project) -> Project:
    """The trainer whose version 1 has the same fields as version 0, and counts in thousands."""
    released.change(released.config, STEPS, THOUSANDS.replace("setting(100", "setting(1"))
    assert released.schema("new", "thousands", "--convert", "steps: thousands are enough").code == 0
    step = released.root / STEP
    text = re.sub(r" *# EDIT.*\n", "", step.read_text())
    step.write_text(
        text.replace("return value", "return value // 1000 if type(value) is int and value > 999 else value")
    )
    done(released, "--amend")
    assert released.problems() == []
    return released


def resolved_steps(project: Project, text: str) -> Any:
    """Return what a file is read as, or what is said where it is refused."""
    path = project.root / "given.json"
    path.write_text(text)
    result = run("resolve", "--config", path, "--family", FAMILY, "--output", "json", cwd=project.root)
    return result.json["training"]["steps"] if result.code == 0 else result.err


WHOLE = '{"steps": 5000, "out": null, "optim": {"lr": 0.1, "name": "sgd"}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"steps": 5000}', "5000 is ambiguous: before version 1 it meant 5"),
        (WHOLE, "is 5 if the document is of version 0, and 5000 if of version 1"),
    ],
    ids=["a file", "a document"],
)
def test_a_number_of_an_unknown_unit_has_to_state_its_version(in_thousands: Project, text: str, said: str) -> None:
    assert said in resolved_steps(in_thousands, text)
    for version, steps in ((0, 5), (1, 5000)):
        assert resolved_steps(in_thousands, text.replace("{", f'{{"schema_version": {version}, ', 1)) == steps


def test_a_number_that_means_the_same_in_both_units_needs_no_version(in_thousands: Project) -> None:
    assert resolved_steps(in_thousands, '{"steps": 7}') == 7
    assert resolved_steps(in_thousands, WHOLE.replace("5000", "7")) == 7


def test_a_field_that_became_a_secret_is_withheld_and_recorded_nowhere(released: Project) -> None:
    released.change(released.config, "None, role=Role.RUN", "None, role=Role.SECRET")
    done(released, "no secrets", "--reason", "out: it holds a login")
    assert 'Withhold("out", "it holds a login"),' in (released.root / STEP).read_text()


SECRET = '    token: Text | None = setting(None, role=Role.SECRET, description="Token of a service.")\n'


def with_secret_for_out(project: Project) -> None:
    project.config.write_text(re.sub(r"    out: Text.*\n", SECRET, project.config.read_text()))


def test_a_field_that_became_a_secret_by_another_name_is_withheld(released: Project) -> None:
    document = released.golden / "seen.json"
    document.write_text('{"schema_version": 0, "steps": 3, "out": "hunter2", "optim": {"lr": 0.1, "name": "sgd"}}')
    with_secret_for_out(released)
    done(released, "no secrets", "--rename", "out:token")
    assert 'Withhold("out", "no secrets"),' in (released.root / STEP).read_text()
    assert "hunter2" not in (released.golden / "seen.upgraded.json").read_text()
    released.change(released.config, "    optim: Optim", f"    {WARMUP}\n    optim: Optim")
    done(released, "--amend", "--absent", WARMUP_ABSENT)
    assert 'Withhold("out", "no secrets"),' in (released.root / STEP).read_text(), "made anew, it stays one"


def test_free_text_that_goes_may_have_become_a_secret(released: Project) -> None:
    with_secret_for_out(released)
    assert "did it become the secret token? then --rename out:token" in released.schema("new", "no folder").err
    output = done(released, "no folder", "--reason", "out: nothing read it")
    assert f"tttcfg schema new --amend --rename out:token --family {FAMILY}" in output
    assert "became the secret" not in done(released, "--amend", "--rename", "out:token")
    assert 'Withhold("out", "nothing read it"),' in (released.root / STEP).read_text()


def test_another_wording_is_no_version_unless_the_meaning_changed(released: Project) -> None:
    released.change(released.config, "Steps of the run.", "Batches of the run.")
    result = released.schema("new", "words")
    assert result.code == 2
    assert "nothing differs between version 0 and the code" in result.err
    done(released, "batches", "--reason", "steps: a step is a batch now")
    assert "a step is a batch now" in (released.root / STEP).read_text()


def test_without_a_message_there_is_no_version(released: Project) -> None:
    released.add_field()
    result = released.schema("new", "--absent", WARMUP_ABSENT)
    assert result.code == 2
    assert "describe the change" in result.err


def test_a_missing_changelog_is_reported(released: Project) -> None:
    released.changelog.unlink()
    released.add_field()
    output = done(released, "warm-up", "--absent", WARMUP_ABSENT)
    assert "there is no CHANGELOG.md, so no entry was written" in output


def test_the_changelog_may_be_another_file(released: Project) -> None:
    released.changelog.rename(released.root / "NEWS.md")
    released.add_field()
    done(released, "warm-up", "--absent", WARMUP_ABSENT, "--changelog", "NEWS.md")
    assert "warm-up" in (released.root / "NEWS.md").read_text()


def test_all_files_are_written_or_none(released: Project) -> None:
    """Something in the way of one file leaves the others as they were."""
    released.add_field()
    (released.root / STEP).mkdir()
    before = released.contents()
    result = released.schema("new", "warm-up", "--absent", WARMUP_ABSENT)
    assert result.code == 2
    assert released.contents() == before


SECTION = """class Out(Section):
    path: Text | None = setting(None, role=Role.RUN, unit="path", description="Folder of the run.")
    keep: bool = setting(True, role=Role.RUN, description="Keep it.")


class Args(Section):"""


def test_a_name_is_never_used_for_something_else(released: Project) -> None:
    """A configuration file has no version, so the old setting could not be distinguished from the new section."""
    released.change(released.config, "class Args(Section):", SECTION)
    released.config.write_text(re.sub(r"    out: Text.*\n", "    out: Out = Out()\n", released.config.read_text()))
    result = released.schema("new", "x", "--rename", "out:out.path", "--absent", "out.keep=true: nothing was deleted")
    assert result.code == 2
    assert "out.keep: needs a name that was never in use" in result.err


def test_a_name_that_was_removed_does_not_come_back(released: Project) -> None:
    line = re.search(r"    out: Text.*\n", released.config.read_text())
    assert line is not None
    released.change(released.config, line.group(), "")
    done(released, "no folder", "--reason", "out: nothing read it")
    assert released.schema("freeze").code == 0
    released.change(released.config, "    optim: Optim", line.group() + "    optim: Optim")
    assert released.schema("new", "back", "--absent", "out=null: there was none").code == 2


def test_a_section_may_go_with_all_its_fields(released: Project) -> None:
    released.change(released.config, "    optim: Optim = Optim()\n", "")
    why = [word for name in ("lr", "name") for word in ("--reason", f"optim.{name}: the schedule decides")]
    done(released, "no optimiser", *why)
    assert "optim" not in released.read("tests/golden/v0000.upgraded.json")


def test_a_section_may_be_left_by_all_its_fields(released: Project) -> None:
    released.change(released.config, "optim: Optim", "optimiser: Optim")
    renames = [word for name in ("lr", "name") for word in ("--rename", f"optim.{name}:optimiser.{name}")]
    done(released, "spelled out", *renames)
    upgraded = released.read("tests/golden/v0000.upgraded.json")
    assert upgraded["optimiser"] == {"lr": 0.001, "name": "adam"}
    assert "optim" not in upgraded


# Amending


def test_no_version_is_put_on_one_that_is_not_released(two: Project) -> None:
    two.add_field('cool: bool = setting(False, role=Role.RUN, description="Cool down.")')
    result = two.schema("new", "cooling", "--absent", "cool=false: nothing cooled")
    assert result.code == 2
    assert "version 1 is not released yet" in result.err
    assert f"tttcfg schema new --amend --family {FAMILY}" in result.err


def test_amending_takes_a_further_change_into_the_version(two: Project) -> None:
    two.add_field('cool: bool = setting(False, role=Role.RUN, description="Cool down.")')
    refused = two.schema("new", "--amend")
    assert refused.code == 2
    assert "cool: is new" in refused.err
    assert "warmup" not in refused.err, "that was answered before"
    done(two, "--amend", "--absent", "cool=false: nothing cooled")
    step = (two.root / STEP).read_text()
    assert '"there was no warm-up"' in step
    assert '"nothing cooled"' in step
    assert two.changelog.read_text().count("Schema version 1") == 1
    assert "`cool`" in two.changelog.read_text()


def test_amending_takes_back_what_the_model_has_no_more(two: Project) -> None:
    two.config.write_text(re.sub(r"    warmup: .*\n", "", two.config.read_text()))
    two.add_field('cool: bool = setting(False, role=Role.RUN, description="Cool down.")')
    done(two, "--amend", "--absent", "cool=false: nothing cooled")
    assert "warmup" not in (two.root / STEP).read_text()


def test_amending_keeps_values_of_the_golden_document(two: Project) -> None:
    document = two.golden / "v0001.json"
    two.change(document, '"steps": 100', '"steps": 1234')
    two.add_field('cool: bool = setting(False, role=Role.RUN, description="Cool down.")')
    done(two, "--amend", "--absent", "cool=false: nothing cooled")
    assert two.read("tests/golden/v0001.json")["steps"] == 1234


def test_what_amending_cannot_keep_of_a_golden_document_is_reported(two: Project) -> None:
    document = two.golden / "v0001.json"
    two.change(document, '"steps": 100', '"steps": -4, "stray": {"deep": 1}')
    two.change(document, '"provenance"', '"extensions": {"noise": {"schema_version": 0}},\n  "provenance"')
    output = two.schema("new", "--amend").err
    assert "tests/golden/v0001.json: the model refuses the values of steps" in output
    assert "tests/golden/v0001.json: stray.deep left out: the model has no such setting" in output
    amended = two.read("tests/golden/v0001.json")
    assert (amended["steps"], amended["extensions"]) == (100, {"noise": {"schema_version": 0}})


def test_a_step_that_was_edited_stays_and_has_to_lead_to_the_model(two: Project) -> None:
    step = two.root / STEP
    step.write_text(step.read_text().replace("migration = ", "# by hand\nmigration = "))
    text = step.read_text()
    assert "was edited and stays" in done(two, "--amend")
    two.add_field('cool: bool = setting(False, role=Role.RUN, description="Cool down.")')
    result = two.schema("new", "--amend")
    assert result.code == 2
    assert "the step was edited: edit it" in result.err
    assert step.read_text() == text


def test_an_operation_that_the_code_has_no_change_for_is_taken_out_and_named(two: Project) -> None:
    step = two.root / STEP
    two.change(step, "Add(", 'Rename("nothing", "something", "why"), Add(')
    two.change(step, "import Add", "import Add, Rename")
    assert "no longer has nothing (renamed): the code has no such change" in two.schema("new", "--amend").err
    assert two.problems() == []


def test_a_step_that_was_edited_into_nonsense_is_named(two: Project) -> None:
    step = two.root / STEP
    two.change(step, "Add(", '# by hand\n        Rename("nothing", "something", "why"), Add(')
    two.change(step, "import Add", "import Add, Rename")
    result = two.schema("new", "--amend")
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert "cannot be applied" in result.err


def test_a_conversion_that_fails_is_named(two: Project) -> None:
    step = two.root / STEP
    two.change(step, "Add(", 'Convert("steps", lambda value: value / 0, "why"), Add(')
    two.change(step, "import Add", "import Add, Convert")
    result = two.schema("new", "--amend")
    assert (result.code, "Traceback" in result.err) == (0, False)
    assert "v0000.json does not upgrade: ZeroDivisionError" in result.err
    assert [one["code"] for one in two.problems()] == ["golden"]


def test_amending_a_released_version_writes_only_what_golden_documents_upgrade_to(released: Project) -> None:
    (released.golden / "v0000.upgraded.json").unlink()
    assert released.schema("new", "--amend").out == "tests/golden/v0000.upgraded.json\n"
    released.add_field()
    result = released.schema("new", "--amend")
    assert result.code == 2
    assert f'is released: tttcfg schema new "message" --family {FAMILY} makes the next version' in result.err


def test_amending_again_changes_nothing(two: Project) -> None:
    before = two.contents()
    assert two.schema("new", "--amend").out == ""
    assert two.contents() == before


def test_a_history_written_by_hand_gets_its_missing_schemas(two: Project) -> None:
    schemas = [two.schemas / "v0000.schema.json", two.schemas / "v0001.schema.json", two.schemas / "released.json"]
    for path in schemas:
        path.unlink()
    for path in two.golden.glob("v0000*"):  # a document with a number came after it
        path.unlink()
    (two.golden / "v0000.json").write_text('{"steps": 3, "out": null, "optim": {"lr": 0.1, "name": "sgd"}}\n')
    done(two, "--amend")
    assert schemas[0].is_file()


# Another family's golden documents


def other_family(project: Project, name: str = "other") -> str:
    """Put a second trainer beside the first, and return how it is named."""
    package = project.root / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "config.py").write_text(CONFIG.lstrip().replace("trainer", name))
    return f"{name}.config:FAMILY"


def test_a_second_family_gets_a_folder_of_its_own(two: Project) -> None:
    before = {name: data for name, data in two.contents().items() if name.startswith("tests/")}
    other = other_family(two)
    result = two.schema("new", "first version", family=other)
    assert result.code == 0, result.err
    assert "tests/golden/other/v0000.json" in result.out
    assert before.items() <= two.contents().items()
    assert two.schema("check", family=other).code == 0
    assert two.problems() == []


def test_nothing_is_written_among_documents_of_another_family(two: Project) -> None:
    other = other_family(two)
    before = two.contents()
    result = two.schema("new", "first version", "--golden", "tests/golden", family=other)
    assert result.code == 2
    assert "tests/golden/v0000.json: is a document of another family" in result.err
    assert two.contents() == before


def test_a_document_without_any_setting_of_the_family_is_not_written_over(two: Project) -> None:
    (two.golden / "v0001.json").write_text('{"whatever": 1}')
    before = two.contents()
    result = two.schema("new", "--amend")
    assert result.code == 2
    assert "has no setting of trainer, and is not overwritten" in result.err
    assert two.contents() == before


# Releasing


def test_a_version_is_released_once(two: Project) -> None:
    assert "version 1 of trainer in trainer/ is now released" in two.schema("freeze").err
    assert two.read("trainer/schemas/released.json")["versions"] == [0, 1]
    before = two.contents()
    again = two.schema("freeze")
    assert (again.code, two.contents()) == (0, before)
    assert "already released" in again.err


def test_a_record_of_releases_that_is_lost_is_not_passed_over(two: Project) -> None:
    assert "note" not in two.schema("check").err
    (two.schemas / "released.json").unlink()
    result = two.schema("check")
    assert result.code == 0, "a history that was written by hand has none yet"
    assert "note: trainer/schemas/released.json does not list version 0 as released" in result.err
    assert "version 1 of trainer, and every one from 0, in trainer/ is now released" in two.schema("freeze").err
    assert "note" not in two.schema("check").err


def test_nothing_is_released_that_the_check_finds_fault_with(two: Project) -> None:
    (two.golden / "v0001.upgraded.json").unlink()
    before = two.contents()
    result = two.schema("freeze")
    assert result.code == 1
    assert "is missing: what v0001.json upgrades to" in result.out
    assert two.contents() == before


# Differences


def test_the_code_is_compared_with_the_newest_version(released: Project) -> None:
    same = released.schema("diff")
    assert (same.code, same.out, same.err) == (0, "", "no difference\n")
    released.change(released.config, "setting(100", "setting(200")
    result = released.schema("diff")
    assert result.code == 1
    assert re.search(r"steps +changed +full, semantic +default 100 -> 200", result.out)
    assert result.out.endswith("together: full and semantic\n")


def test_differences_are_printed_as_json(two: Project) -> None:
    result = two.schema("diff", "0", "--output", "json")
    (change,) = result.json["changes"]
    assert result.json["compatibility"] == change["compatibility"] == "backward"
    assert (change["key"], change["kind"], change["old"], change["new"]["x-unit"]) == (
        "warmup",
        "added",
        None,
        "steps",
    )


def test_going_back_is_compared_too(two: Project) -> None:
    assert re.search(r"warmup +removed +forward", two.schema("diff", "1", "0").out)


@pytest.mark.parametrize("versions", [("5",), ("0", "2"), ("0", "1", "1"), ("-1",), ("x",)])
def test_versions_that_are_not_there_are_wrong_use(two: Project, versions: tuple[str, ...]) -> None:
    assert two.schema("diff", *versions).code == 2


def test_the_history_of_this_package_is_compared() -> None:
    result = run("schema", "diff", "6", "7")
    assert result.code == 1
    assert re.search(r"ttt\.mlp\.layers +renamed +breaking +was ttt\.ttt_mlp_layers", result.out)


# Asking on a terminal


def type_in(project: Project, lines: str, *arguments: str) -> int:
    """Run a command on a terminal, type those lines, and return the exit code."""
    parent, child = pty.openpty()
    os.write(parent, lines.encode())
    result = launch(*TTTCFG, "schema", *arguments, "--family", FAMILY, cwd=project.root, stdin=child, code=None)
    os.close(child)
    os.close(parent)
    return result.code


def test_missing_answers_are_asked_for_on_a_terminal(released: Project) -> None:
    released.change(released.config, "    lr: float", "    rate: float")
    released.add_field()
    assert type_in(released, "0\nthere was no warm-up\ny\n", "new", "warm-up") == 0
    step = (released.root / STEP).read_text()
    assert 'Rename("optim.lr", "optim.rate", "warm-up"),' in step
    assert 'Add("warmup", integer(10, minimum=0), 0, "there was no warm-up"),' in step
    assert released.problems() == []


def test_a_secret_by_another_name_is_asked_for_on_a_terminal(released: Project) -> None:
    with_secret_for_out(released)
    assert type_in(released, "y\n", "new", "no secrets") == 0
    assert 'Withhold("out", "no secrets"),' in (released.root / STEP).read_text()


def test_a_rename_that_is_none_is_asked_for_what_it_is(released: Project) -> None:
    released.change(released.config, "    lr: float", "    rate: float")
    assert type_in(released, "n\n0.5\nit was fixed\nnothing read it\n", "new", "a rate") == 0
    step = (released.root / STEP).read_text()
    assert 'Remove("optim.lr", "nothing read it"),' in step
    assert '0.5, "it was fixed"),' in step


# Two branches


def git(project: Project, *arguments: str, code: int = 0) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return launch("git", *identity, *arguments, cwd=project.root, code=code).out


def test_two_branches_that_add_the_same_version_conflict(released: Project) -> None:
    """They do not merge into nonsense; and what git leaves is found by the check."""
    (released.root / ".gitignore").write_text("__pycache__\n")
    git(released, "init", "--quiet", "--initial-branch=main")
    git(released, "add", ".")
    git(released, "commit", "--quiet", "-m", "version 0")
    git(released, "switch", "--quiet", "-c", "warm")
    released.add_field()
    done(released, "warm-up", "--absent", WARMUP_ABSENT)
    git(released, "add", ".")
    git(released, "commit", "--quiet", "-m", "warm-up")
    git(released, "switch", "--quiet", "main")
    released.change(released.config, "    lr: float", "    rate: float")
    done(released, "clearer names", "--rename", "optim.lr:optim.rate")
    git(released, "add", ".")
    git(released, "commit", "--quiet", "-m", "names")
    git(released, "merge", "warm", code=1)
    conflicts = set(git(released, "diff", "--name-only", "--diff-filter=U").split())
    assert {STEP, "trainer/schemas/v0001.schema.json"} <= conflicts
    places = {one["place"].partition(":")[0] for one in released.problems() if "conflict markers" in one["message"]}
    assert {STEP, "trainer/schemas/v0001.schema.json"} <= places


# History that cannot be used, and families of other kinds


def test_steps_that_are_no_line_are_no_ground_for_anything(two: Project) -> None:
    (two.migrations / "v0001.py").write_text((two.root / STEP).read_text())
    before = two.contents()
    for arguments in (("diff",), ("new", "x"), ("new", "--amend")):
        result = two.schema(*arguments)
        assert result.code == 2, arguments
        assert "--golden" not in result.err, "the option was not given"
        assert "Traceback" not in result.err
    assert two.schema("freeze").code == 1
    assert two.contents() == before


@pytest.mark.parametrize(
    ("package", "code", "message"),
    [("nowhere.migrations", 2, "No module named 'nowhere'"), ("trainer.broken", 2, "ZeroDivisionError")],
)
def test_a_package_that_cannot_be_imported_is_named(two: Project, package: str, code: int, message: str) -> None:
    (two.config.parent / "broken").mkdir()
    (two.config.parent / "broken" / "__init__.py").write_text("1 / 0\n")
    two.change(two.config, '"trainer.migrations"', f'"{package}"')
    for command in ("check", "diff", "freeze"):
        result = two.schema(command)
        assert (result.code, "Traceback" in result.err) == (code, False), command
        assert message in result.err


EXTENSION = """
from tttcfg.family.extension import Extension
from tttcfg.schema.fields import Role, Section, setting


class Probe(Section):
    layer: int = setting(3, role=Role.RUN, unit="layer", ge=0, description="Layer that is watched.")


FAMILY = Extension("probe", Probe, "trainer.migrations", "trainer.schemas")
"""


def test_an_extension_has_a_history_of_its_own(tmp_path: Path) -> None:
    """Its first version records what a document without its section meant."""
    project = bare_project(tmp_path / "project", EXTENSION)
    done(project, "first version", "--absent", "layer=0: the first was watched")
    assert '0, "the first was watched"),' in (project.migrations / "v0000.py").read_text()
    assert "extensions" not in project.read("trainer/schemas/v0000.schema.json")["properties"]
    assert project.schema("freeze").code == 0
    project.change(
        project.config,
        "    layer: int",
        '    every: int = setting(5, role=Role.RUN, unit="steps", description="Steps.")\n    layer: int',
    )
    done(project, "now and then", "--absent", "every=1: every step was watched")


def test_a_field_cannot_be_called_like_a_key_of_every_document(tmp_path: Path) -> None:
    project = bare_project(tmp_path / "project")
    project.add_field('provenance: Text = setting("", role=Role.RUN, description="Whence.")')
    assert "provenance is a key that every saved document has of its own" in project.schema("new", "first version").err


def test_the_commands_are_listed() -> None:
    assert all(f"  {name} " in run("schema", "--help").out for name in ("check", "diff", "new", "freeze"))
