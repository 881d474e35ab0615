"""A version of the parent meets fields that the family declares itself: what is decided, and what is asked."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.schema_tools.flavours import Flavours
from tttcfg.migration.held import Within
from tttcfg.migration.operations import Add, Convert, Operation, Promote, Redeclare, Remove, Rename
from tttcfg.schema.fragments import Fragment, integer, section
from tttcfg.schema_tools.changes import Fields
from tttcfg.schema_tools.conflicts import Meeting, Sides, opened_fields

WARMUP = 'warmup: Whole = setting({}, role=Role.TRAINING, unit="steps", ge=0, description="Steps of {}warm-up.")'
RATE = 'weight_decay: float = setting({}, role=Role.TRAINING, unit="dimensionless", ge=0, description="Weight decay.")'
OPTIM = "class SpeechOptim(Optim):\n    {}\n\n\nclass SpeechArgs(BaseArgs):\n    optim: SpeechOptim = SpeechOptim()\n"


@pytest.fixture
def project(tmp_path: Path) -> Flavours:
    return Flavours(tmp_path / "project")


def own_optim(project: Flavours, declaration: str) -> None:
    """Declare a field in a section of the base, in the family for speech."""
    project.config("speech", "import BASE, BaseArgs, Inner", "import BASE, BaseArgs, Inner, Optim")
    project.config("speech", "class SpeechArgs(BaseArgs):\n", OPTIM.format(declaration))


def redeclared(project: Flavours, default: float) -> None:
    """Let the family for speech declare the base's weight decay otherwise, in a version that is released."""
    own_optim(project, RATE.format(default))
    project.next_version("speech")


def in_base(project: Flavours, new: str, *arguments: str) -> None:
    """Let the base declare its weight decay otherwise, in a version that is released."""
    text = (project.root / "flavours/base/config.py").read_text("utf-8")
    (old,) = re.findall(r"    weight_decay: float = setting\(\n.*\n    \)\n", text)
    project.config("base", old, f"    {new}\n")
    project.schema("base", "new", "the next version", *arguments)
    step = project.step("base", 3)
    text = step.read_text("utf-8")
    step.write_text(re.sub(r"    # EDIT.*\n    return value", "    return value * 100", text), "utf-8")
    project.schema("base", "new", "--amend")
    project.schema("base", "freeze")


def the_conflict(project: Flavours) -> dict[str, str]:
    """Return the conflict that the check names, having seen that a new version is refused for the same reason."""
    (found,) = [one for one in project.problems("speech") if one["code"] == "inherited"]
    refused = project.schema("speech", "new", code=2).err
    assert str(found["message"]).partition(" ")[2] in refused
    assert str(found["advice"]) in refused
    return found


# The parent adds a name that is there


def test_a_field_that_both_have_added_is_one_if_that_is_stated(project: Flavours) -> None:
    """It stays as it is here, with what its absence meant here."""
    own_optim(project, WARMUP.format(5, "the speech "))
    project.next_version("speech", "--absent", "optim.warmup=7: seven, always")
    project.declare("base", "Optim", WARMUP.format(100, ""))
    project.next_version("base", "--absent", "optim.warmup=0: there was no warm-up")
    found = the_conflict(project)
    assert found["message"] == ("optim.warmup is added, and is a field here already (version 3 of flavours_base)")
    assert found["advice"].startswith(
        "--own optim.warmup if both are one setting; otherwise one of the two needs another"
    )
    project.schema("speech", "new", "--own", "optim.warmup")
    assert 'without=["optim.warmup"]' in project.step("speech", 6).read_text("utf-8")
    assert project.problems("speech") == []
    assert project.read("tests/golden/flavours_speech/v0000.upgraded.json")["optim"]["warmup"] == 7
    read = project.tttcfg("resolve", "--config", "tests/golden/flavours_base/v0003.json", family="speech").out
    assert "warmup: 100" in read  # what the base's document has


def test_a_field_with_the_name_of_an_old_one_needs_another_name(project: Flavours) -> None:
    """A configuration file has no version: it could mean either."""
    own_optim(project, WARMUP.format(5, "speech "))
    project.next_version("speech", "--absent", "optim.warmup=7: seven, always")
    project.config("speech", "    warmup:", "    speech_warmup:")
    project.next_version("speech", "--rename", "optim.warmup:optim.speech_warmup")
    project.declare("base", "Optim", WARMUP.format(100, ""))
    project.next_version("base", "--absent", "optim.warmup=0: there was no warm-up")
    found = the_conflict(project)
    assert "is added, and optim.warmup is a setting of older versions here" in found["message"]
    assert "one of the two needs another name" in found["advice"]


def test_a_name_that_the_parent_renames_to_may_be_taken(project: Flavours) -> None:
    own_optim(project, WARMUP.format(5, "speech ").replace("warmup", "decay"))
    project.next_version("speech", "--absent", "optim.decay=7: seven, always")
    project.config("base", "weight_decay", "decay")
    project.next_version("base", "--rename", "optim.weight_decay:optim.decay")
    found = the_conflict(project)
    assert "optim.decay is renamed, and optim.decay is of this family itself" in found["message"]


# The parent takes away what is declared here


def test_a_field_that_the_parent_removes_may_stay(project: Flavours) -> None:
    redeclared(project, 0.2)
    text = (project.root / "flavours/base/config.py").read_text("utf-8")
    project.config("base", re.findall(r"    weight_decay: float = setting\(\n.*\n    \)\n", text)[0], "")
    project.next_version("base", "--reason", "optim.weight_decay: nothing used it")
    found = the_conflict(project)
    assert found["message"].startswith("optim.weight_decay is removed, and is declared here")
    assert found["advice"] == "--own optim.weight_decay if it stays a setting here; otherwise remove it as well"
    project.schema("speech", "new", "--own", "optim.weight_decay")
    assert project.problems("speech") == []
    assert project.read("tests/golden/flavours_speech/v0000.upgraded.json")["optim"]["weight_decay"] == 0.1


def test_a_field_that_the_parent_renames_is_declared_anew(project: Flavours) -> None:
    redeclared(project, 0.2)
    project.config("base", "weight_decay", "decay")
    project.next_version("base", "--rename", "optim.weight_decay:optim.decay")
    found = the_conflict(project)
    assert found["message"].startswith("optim.weight_decay is renamed, and is declared here")
    project.config("speech", "weight_decay", "decay")
    project.schema("speech", "new")
    assert project.problems("speech") == []
    assert (
        project.read("flavours/speech/schemas/v0006.schema.json")["properties"]["optim"]["properties"]["decay"][
            "default"
        ]
        == 0.2
    )


def test_a_section_with_own_fields_stays(project: Flavours) -> None:
    """The parent removes it with its last field; here, there is one left in it."""
    own_optim(project, WARMUP.format(5, "speech "))
    project.next_version("speech", "--absent", "optim.warmup=7: seven, always")
    project.config("speech", "Inner, Optim", "Inner")
    project.config("speech", "class SpeechOptim(Optim)", "class SpeechOptim(Section)")
    text = (project.root / "flavours/base/config.py").read_text("utf-8")
    body = text[text.index("class Optim(Section):") : text.index("class BaseArgs")]
    project.config("base", body, "")
    project.config("base", "    optim: Optim = Optim()\n", "")
    gone = [f"optim.{name}: the optimiser is fixed now" for name in ("lr", "weight_decay", "clip")]
    project.next_version("base", *(word for one in gone for word in ("--reason", one)))
    project.schema("speech", "new")
    assert 'without=["optim"]' in project.step("speech", 6).read_text("utf-8")
    assert project.problems("speech") == []
    assert project.read("tests/golden/flavours_speech/v0000.upgraded.json")["optim"] == {"warmup": 7}


# The parent declares anew what is declared here


def test_what_is_declared_anew_at_the_same_time_is_part_of_the_step(project: Flavours) -> None:
    redeclared(project, 0.2)
    in_base(project, RATE.format(0.3))
    project.config("speech", RATE.format(0.2), RATE.format(0.25))
    project.schema("speech", "new")
    assert 'declared={"optim.weight_decay": number(0.25, minimum=0)}' in project.step("speech", 6).read_text("utf-8")
    assert project.problems("speech") == []


def test_a_declaration_of_its_own_stays_when_the_parent_redeclares_the_field(project: Flavours) -> None:
    """Values do not change, so there is nothing to ask; what the parent redeclared is printed."""
    redeclared(project, 0.2)
    in_base(project, RATE.format(0.3))
    done = project.schema("speech", "new")
    assert "optim.weight_decay stays as it is declared here; version 3 of flavours_base redeclares it" in done.err
    assert 'without=["optim.weight_decay"]' in project.step("speech", 6).read_text("utf-8")
    assert project.problems("speech") == []


def test_what_is_no_longer_declared_here_follows_the_parent(project: Flavours) -> None:
    redeclared(project, 0.2)
    in_base(project, RATE.format(0.3))
    project.config("speech", RATE.format(0.2), "pass")
    project.schema("speech", "new")
    assert "inherited(parent, version=6)" in project.step("speech", 6).read_text("utf-8")
    assert project.problems("speech") == []


def test_a_conversion_of_a_field_that_is_declared_here_as_before_is_asked_about(project: Flavours) -> None:
    """Whether the default here is one of the old form or of the new one is not known."""
    redeclared(project, 0.2)
    percent = RATE.format(10.0).replace("dimensionless", "percent")
    in_base(project, percent, "--convert", "optim.weight_decay: a share until now")
    found = the_conflict(project)
    assert found["message"].startswith(
        "optim.weight_decay is converted (a share until now), and is declared here as before"
    )
    assert found["advice"].startswith("declare it anew or leave it to the parent, or --own optim.weight_decay if")
    project.config("speech", RATE.format(0.2), RATE.format(20.0).replace("dimensionless", "percent"))
    project.schema("speech", "new")
    assert 'declared={"optim.weight_decay": number(20.0, minimum=0)}' in project.step("speech", 6).read_text("utf-8")
    assert project.problems("speech") == []
    assert project.read("tests/golden/flavours_speech/v0000.upgraded.json")["optim"]["weight_decay"] == 10.0


def test_a_unit_of_another_name_is_asked_about_where_the_field_is_declared_here(project: Flavours) -> None:
    redeclared(project, 0.2)
    renamed = RATE.format(0.1).replace("dimensionless", "per step")
    in_base(project, renamed, "--unconverted", "optim.weight_decay: it always was")
    assert "optim.weight_decay is redeclared (it always was)" in the_conflict(project)["message"]
    project.config("speech", RATE.format(0.2), RATE.format(0.2).replace("dimensionless", "per step"))
    project.schema("speech", "new")
    assert project.problems("speech") == []


def test_a_field_that_is_not_there_cannot_be_the_familys_own(project: Flavours) -> None:
    assert "nothere: --own names no field" in project.schema("speech", "new", "--own", "nothere", code=2).err


# Inside of lists and mappings, and in steps of several operations


def meeting(*operations: Operation, ours: Fields, model: Fields, own: Collection[str] = ()) -> Meeting:
    """Let a step of the parent meet fields of the family; the parent has `THEIRS` before it."""
    sides = (dict(opened_fields(fields)) for fields in (THEIRS, ours, model))
    return Meeting(operations, Sides("version 1 of base", *sides, {"gone"}, {"a": "b", "b": "c"}, own))


def stages(**fields: Fragment) -> Fragment:
    return {"default": [], "type": "array", "items": section(fields)}


THEIRS: Fields = {"a": integer(1), "stages": stages(n=integer(1))}


def test_a_field_inside_a_list_that_both_have_is_named() -> None:
    mine = {**THEIRS, "stages": stages(n=integer(1), own=integer(2))}
    added = Within("stages", (Add("own", integer(3), 0, "none"),))
    (problem,) = meeting(added, ours=mine, model=mine).problems
    assert (problem.code, problem.key) == ("inherited", "stages.*.own")
    assert meeting(Within("stages", (Add("other", integer(3), 0, "none"),)), ours=mine, model=mine).problems == []


def test_a_field_inside_a_list_that_is_declared_otherwise_is_written_by_hand() -> None:
    mine = {**THEIRS, "stages": stages(n=integer(5))}
    redeclared = Within("stages", (Redeclare("n", integer(9), "more"),))
    (problem,) = meeting(redeclared, ours=mine, model=mine).problems
    assert problem.key == "stages.*.n"
    assert "write the step by hand" in problem.advice


def test_more_fields_inside_a_list_are_no_other_declaration_of_the_list() -> None:
    """What the parent declares anew of the list itself applies."""
    mine = {**THEIRS, "stages": stages(n=integer(1), own=integer(2))}
    redeclared = Redeclare("stages", {**stages(), "maxItems": 3}, "three at most")
    met = meeting(redeclared, ours=mine, model=mine)
    assert (met.problems, met.without) == ([], set())


def test_what_a_step_itself_has_made_is_no_conflict() -> None:
    """Renamed twice and then converted; and a key of a free-form mapping, which is no field."""
    steps = (
        Rename("a", "b", "a name"),
        Rename("b", "c", "another"),
        Convert("c", lambda value: value, "so", integer(9)),
        Promote("stages.key", "d", integer(4), "a field now"),
    )
    assert meeting(*steps, ours=THEIRS, model={"c": integer(9), "d": integer(4)}).problems == []
    (problem,) = meeting(*steps, ours={**THEIRS, "a": integer(5)}, model={"c": integer(5)}).problems
    assert (problem.key, "converted (so), and is declared here as before" in problem.message) == ("c", True)


def test_an_operation_on_a_field_that_the_family_does_not_have_is_written_by_hand() -> None:
    (problem,) = meeting(Remove("a", "unused"), ours={}, model={}).problems
    assert problem.message == "is removed, and is not a field here any more (version 1 of base)"
