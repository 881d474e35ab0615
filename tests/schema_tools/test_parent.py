"""A family follows its parent: `schema new` writes the parent's next versions, and `schema check` misses none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.schema_tools.flavours import REFERENCES, Flavours

WARMUP = 'warmup: Whole = setting(100, role=Role.TRAINING, unit="steps", ge=0, description="Steps of warm-up.")'
WARMUP_ABSENT = ("--absent", "optim.warmup=0: there was no warm-up")
GAIN = 'gain: float = setting(1.0, role=Role.COMPUTATION, unit="dimensionless", description="Gain of the sound.")'
FLAVOURS = ("speech", "video")


@pytest.fixture
def project(tmp_path: Path) -> Flavours:
    return Flavours(tmp_path / "project")


@pytest.fixture
def ahead(project: Flavours) -> Flavours:
    """The base has a new field and a new name, in a version that is released."""
    project.declare("base", "Optim", WARMUP)
    project.config("base", "weight_decay", "decay")
    project.next_version("base", "--rename", "optim.weight_decay:optim.decay", *WARMUP_ABSENT)
    return project


def test_the_next_version_of_the_parent_reaches_both_families(ahead: Flavours) -> None:
    """One command each, without a question; the parent's reasons are imported, and not copied."""
    for name, head in (("speech", 5), ("video", 4)):
        (problem,) = ahead.problems(name)
        assert problem["message"] == "there is no step for version 3 of flavours_base (the next version)"
        assert problem["advice"] == f"write it: tttcfg schema new --family {REFERENCES[name]}"
        ahead.schema(name, "new")
        step = ahead.step(name, head).read_text("utf-8")
        assert "from flavours.base.migrations.v0002_to_v0003 import migration as parent\n" in step
        assert f"\nmigration = inherited(parent, version={head})\n" in step
        assert "no warm-up" not in step
        assert ahead.problems(name) == []
        upgraded = ahead.read(f"tests/golden/flavours_{name}/v0000.upgraded.json")
        assert upgraded["optim"] == {"warmup": 0, "lr": 0.0003, "decay": 0.1, "clip": 0.0}
        assert upgraded["provenance"]["filled"]["there was no warm-up"] == {"optim.warmup": 0}
        ahead.schema(name, "freeze")


def test_after_the_parents_version_only_the_familys_own_is_asked_for(ahead: Flavours) -> None:
    ahead.declare("speech", "Audio", GAIN)
    asked = ahead.schema("speech", "new", "gain", code=2).err
    assert "audio.gain: is new; state what its absence meant" in asked
    assert "warmup" not in asked
    assert "decay" not in asked
    assert not ahead.step("speech", 5).exists()
    ahead.schema("speech", "new", "gain", "--absent", "audio.gain=1.0: the sound was read as it is")
    assert "inherited(parent, version=5)" in ahead.step("speech", 5).read_text("utf-8")
    assert 'Add("audio.gain"' in ahead.step("speech", 6).read_text("utf-8")
    assert ahead.problems("speech") == []


def test_several_versions_of_the_parent_are_one_step_each(ahead: Flavours) -> None:
    ahead.declare("base", "BaseArgs", WARMUP.replace("warmup", "pause"))
    ahead.next_version("base", "--absent", "pause=0: there was none")
    assert [one["message"][:36] for one in ahead.problems("video")] == [
        "there is no step for version 3 of fl",
        "there is no step for version 4 of fl",
    ]
    ahead.schema("video", "new")
    assert [ahead.step("video", version).exists() for version in (4, 5, 6)] == [True, True, False]
    middle = ahead.read("flavours/video/schemas/v0004.schema.json")["properties"]
    assert "pause" not in middle
    assert middle["optim"]["properties"]["warmup"]["description"] == "Steps of warm-up."
    assert middle["schema_version"]["const"] == 4
    assert ahead.problems("video") == []


def test_a_description_is_needed_only_for_what_is_the_familys_own(ahead: Flavours) -> None:
    ahead.declare("speech", "Audio", GAIN)
    assert (
        "describe the change in a few words"
        in ahead.schema("speech", "new", "--absent", "audio.gain=1.0: so", code=2).err
    )


@pytest.mark.parametrize("name", FLAVOURS)
def test_a_change_of_the_parents_code_needs_a_version_there_first(project: Flavours, name: str) -> None:
    """Nothing of the parent is ever asked for, or written, as if it were the family's own."""
    project.declare("base", "Optim", WARMUP)
    (problem,) = project.problems(name)
    assert problem["message"] == "the parent flavours_base has changes that are in no version of it"
    assert problem["advice"] == f'write its version first: tttcfg schema new "message" --family {REFERENCES["base"]}'
    assert problem["message"] in project.schema(name, "new", "warm-up", *WARMUP_ABSENT, code=2).err


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("schemas/v0001.schema.json", "{"),
        ("schemas/released.json", "[]"),
    ],
)
def test_a_parent_whose_history_is_broken_cannot_be_followed(project: Flavours, path: str, text: str) -> None:
    (project.root / "flavours" / "base" / path).write_text(text, "utf-8")
    (problem,) = [one for one in project.problems("speech") if "the parent flavours_base cannot" in one["message"]]
    assert problem["advice"] == f"see tttcfg schema check --family {REFERENCES['base']}"


def test_only_released_versions_are_followed(project: Flavours) -> None:
    """Otherwise a step of the family would change with one that is still being written."""
    project.declare("base", "Optim", WARMUP)
    project.schema("base", "new", "warm-up", *WARMUP_ABSENT)
    (problem,) = project.problems("speech")
    assert problem["message"] == "version 3 of the parent flavours_base is not released, and may still change"
    assert problem["advice"] == f"release it first: tttcfg schema freeze --family {REFERENCES['base']}"
    assert problem["message"] in project.schema("speech", "new", code=2).err


def test_a_released_family_notices_a_change_of_an_inherited_step(project: Flavours) -> None:
    """Even where the parent's own record was rewritten too."""
    step = "flavours/base/migrations/v0001_to_v0002.py"
    project.change(step, '"there was no bound"', '"no bound"')
    (problem,) = [one for one in project.problems("speech") if one["code"] == "released"]
    assert problem["place"] == step
    assert problem["message"] == "was changed after versions of flavours_speech that take it over were released"


def test_layout_and_comments_of_an_inherited_step_may_change(project: Flavours) -> None:
    project.change("flavours/base/migrations/v0001_to_v0002.py", "migration = ", "# laid out anew\n\nmigration = ")
    assert project.problems("speech") == []


def test_an_unreleased_own_version_is_no_obstacle(ahead: Flavours) -> None:
    """The parent's next version comes after it; amending it has to wait."""
    ahead.declare("video", "Frames", GAIN)
    ahead.schema("video", "new", "gain", "--absent", "frames.gain=1.0: so")
    ahead.schema("video", "freeze")
    ahead.declare("base", "BaseArgs", WARMUP.replace("warmup", "pause"))
    ahead.next_version("base", "--absent", "pause=0: there was none")
    ahead.declare("video", "Frames", GAIN.replace("gain", "loss"))
    refused = ahead.schema("video", "new", "--amend", code=2).err
    assert "flavours_base has a version that is not followed: tttcfg schema new" in refused
    ahead.schema("video", "new", "loss", "--absent", "frames.loss=1.0: so")
    assert ahead.problems("video") == []


def test_own_changes_after_an_unreleased_inherited_version_are_a_version(ahead: Flavours) -> None:
    ahead.schema("video", "new")
    ahead.declare("video", "Frames", GAIN)
    assert "makes the next version" in ahead.schema("video", "new", "--amend", code=2).err
    ahead.schema("video", "new", "gain", "--absent", "frames.gain=1.0: so")
    assert 'Add("frames.gain"' in ahead.step("video", 5).read_text("utf-8")
    assert ahead.problems("video") == []


def test_amending_an_inherited_version_writes_what_follows_from_it(ahead: Flavours) -> None:
    ahead.schema("video", "new")
    (ahead.root / "tests/golden/flavours_video/v0004.json").unlink()
    ahead.schema("video", "new", "--amend")
    assert ahead.problems("video") == []


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        ("v0002_to_v0003.py", "migrations.v0001_to_v0002 ", "migrations.v0000_to_v0001 ", "takes over version 1 of"),
        ("v0000.py", "inherited(parent, version=0)", "replace(parent)", "is a step of its own, and the history of"),
    ],
)
def test_every_version_of_the_parent_is_taken_over_once_and_in_order(
    project: Flavours, path: str, old: str, new: str, message: str
) -> None:
    step = f"flavours/video/migrations/{path}"
    project.change(step, old, new)
    project.change(step, "from tttcfg", "from dataclasses import replace  # noqa\nfrom tttcfg")
    assert any(message in one["message"] and one["place"] == step for one in project.problems("video"))


def test_a_family_without_its_parents_history_starts_with_all_of_it(project: Flavours) -> None:
    """The first `schema new` writes the parent's steps, and what the family itself has as one more."""
    for path in ("flavours/speech/migrations", "flavours/speech/schemas", "tests/golden/flavours_speech"):
        for file in (project.root / path).glob("*.*"):
            file.unlink()
    asked = project.schema("speech", "new", "speech", code=2).err
    own = ["inner.carry", "audio.sample_rate", "audio.codebooks", "audio.chunk"]
    meant = [f"{key}={'false' if key == 'inner.carry' else 1}: so" for key in own]
    assert [line.partition(":")[0] for line in asked.splitlines() if "is new;" in line] == own
    project.schema("speech", "new", "speech", *(word for one in meant for word in ("--absent", one)))
    assert project.step("speech", 3).exists()
    assert not project.step("speech", 4).exists()
    assert project.problems("speech") == []
    assert project.read("tests/golden/flavours_speech/v0000.json")["inner"] == {
        "lr": 1.0,
        "mini_batch": 16,
        "activation": "gelu",
    }


def test_the_difference_of_the_code_knows_the_renames_of_the_parent(ahead: Flavours) -> None:
    found = ahead.tttcfg("schema", "diff", family="speech", code=1).out
    assert "optim.decay" in found
    assert "was optim.weight_decay; the migration carries the value over" in found


def test_history_and_fields_name_the_parents_version(project: Flavours) -> None:
    shown = project.tttcfg("history", family="speech").out
    assert "version 1  2026-11-30  audio, and an inner state that is carried\n" in shown
    assert "GELU by its name, and a bound of the gradient  (version 2 of flavours_base)\n" in shown
    assert (
        "version 4 (version 2 of flavours_base): converted inner.activation: "
        in project.tttcfg("fields", "inner.activation", family="speech").out
    )
    first, second, *_ = project.tttcfg("history", "--output", "json", family="speech").json
    assert first["parent"] == {"family": "flavours_base", "version": 0}
    assert "parent" not in second


def test_the_changelog_says_what_is_taken_over(ahead: Flavours) -> None:
    (ahead.root / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n", "utf-8")
    ahead.schema("speech", "new")
    text = " ".join((ahead.root / "CHANGELOG.md").read_text("utf-8").split())
    assert "- Schema version 5 of flavours_speech: the next version. It takes over version 3 of the parent." in text
