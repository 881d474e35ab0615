"""Every type that a field may have, from its declaration to files, overrides, saved documents and the laws."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import run
from tests.launcher import python
from tests.schema_tools.projects import FAMILY, Project, bare_project
from tests.testing.trainer import CONFTEST

MODEL = """
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import Path

from tttcfg.family.family import Family
from tttcfg.schema.fields import Role, Section, Text, Whole, setting


class Colour(Enum):
    RED = "red"
    YES = "yes"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Args(Section):
    colour: Colour = setting(Colour.RED, role=Role.TRAINING, description="Colour.")
    level: Level = setting(Level.LOW, role=Role.TRAINING, description="Level.")
    folder: Path = setting(Path("runs/a"), role=Role.RUN, description="Folder.")
    maybe: Path | None = setting(None, role=Role.RUN, unit="path", description="Folder.")
    size: tuple[int, int] = setting((2, 3), role=Role.TRAINING, unit="pixels", description="Size.")
    tags: set[str] = setting({"b", "a"}, role=Role.RUN, unit="tags", description="Tags.")
    numbers: frozenset[int] = setting(frozenset({3, 20, 1}), role=Role.TRAINING, unit="steps", description="Numbers.")
    day: date = setting(date(2026, 1, 31), role=Role.RUN, description="Day.")
    moment: datetime | None = setting(None, role=Role.RUN, unit="date and time", description="Moment.")
    hour: time = setting(time(7, 30), role=Role.RUN, description="Hour.")
    wait: timedelta = setting(timedelta(minutes=90), role=Role.RUN, description="Wait.")
    weights: dict[str, float] = setting({"a": 1.0}, role=Role.TRAINING, unit="dimensionless", description="Weights.")


FAMILY = Family("trainer", Args, "trainer.migrations", "trainer.schemas")
"""
DEFAULTS = {
    "colour": "red",
    "level": 1,
    "folder": "runs/a",
    "maybe": None,
    "size": [2, 3],
    "tags": ["a", "b"],
    "numbers": [1, 3, 20],
    "day": "2026-01-31",
    "moment": None,
    "hour": "07:30:00",
    "wait": "PT1H30M",
    "weights": {"a": 1.0},
}
"""The one form in which each is saved."""
LAWS = """import tttcfg.testing

TestSchema = tttcfg.testing.laws("trainer.config:FAMILY", golden="tests/golden", examples=8)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = bare_project(tmp_path_factory.mktemp("types") / "project", MODEL)
    result = project.schema("new", "first")
    assert result.code == 0, result.err
    return project.root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(made, tmp_path / "project")))


def resolved(project: Project, *words: str | Path) -> Any:
    """Return the settings, or what is said where something is refused."""
    done = run("resolve", *words, "--family", FAMILY, "--output", "json", cwd=project.root)
    return done.json["training"] if done.code == 0 else done.err


def test_every_type_has_one_form_in_a_document(project: Project) -> None:
    assert project.problems() == []
    golden = project.read("tests/golden/v0000.json")
    assert {key: golden[key] for key in DEFAULTS} == DEFAULTS
    assert resolved(project) == DEFAULTS
    assert 'Declare("colour", choice("red", "red", "yes")),' in (project.migrations / "v0000.py").read_text()


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("colour=yes", "yes"),
        ("level=2", 2),
        ("folder=./x/y/", "x/y"),
        ("maybe=null", None),
        ("maybe=1", "1"),
        ("size=[4, 5]", [4, 5]),
        ("size.1=9", [2, 9]),
        ("tags=[z, a, a]", ["a", "z"]),
        ("numbers=[20, 3, 100]", [3, 20, 100]),
        ("day=2026-02-03", "2026-02-03"),
        ("moment=2026-02-03T04:05:06", "2026-02-03T04:05:06"),
        ("hour=08:15", "08:15:00"),
        ("wait=PT2H", "PT2H"),
        ("weights={b: 2}", {"b": 2.0}),
        ("weights.b=2", {"a": 1.0, "b": 2.0}),
    ],
)
def test_an_override_is_parsed_by_the_type(override: str, value: Any, project: Project) -> None:
    assert resolved(project, override)[override.partition("=")[0].partition(".")[0]] == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("colour=blue", "'blue' is refused: must be 'red' or 'yes'"),
        ("level=3", "3 is refused: must be 1 or 2"),
        ("size=[4]", "[4] is refused: must have an item 1, too"),
        ("day=2026-02-30", "'2026-02-30' is refused: must be a date"),
        ("wait=7200", "must be a duration (write it like PT1H30M)"),
        ("hour=late", "(write it like 07:30:00)"),
        ("weights.b=x", "weights.b: 'x' is refused: must be a number"),
    ],
)
def test_what_is_no_value_of_the_type_is_refused(override: str, message: str, project: Project) -> None:
    assert message in resolved(project, override)


def test_files_of_all_formats_say_the_same(project: Project) -> None:
    """TOML has dates and times of its own."""
    given = {
        "day": "2026-02-03",
        "hour": "07:31:00",
        "moment": "2026-02-03T04:05:06",
        "folder": "x",
        "tags": ["q", "b"],
    }
    (project.root / "a.json").write_text(json.dumps(given))
    (project.root / "a.yaml").write_text("".join(f"{key}: {value}\n" for key, value in given.items()))
    lines = [
        f"{key} = {value}" if key in ("day", "hour", "moment") else f"{key} = {value!r}" for key, value in given.items()
    ]
    (project.root / "a.toml").write_text("\n".join(lines) + "\n")
    for ending in ("json", "yaml", "toml"):
        assert resolved(project, "--config", f"a.{ending}") == {**DEFAULTS, **given, "tags": ["b", "q"]}


def test_values_of_python_are_taken(project: Project) -> None:
    program = """
import tttcfg
from datetime import date, timedelta
from pathlib import Path
from trainer.config import FAMILY, Colour
given = {"day": date(2026, 2, 3), "tags": {"z", "q"}, "folder": Path("x"), "colour": Colour.YES}
given["wait"] = timedelta(hours=2)
for options in ({"overrides": given}, {"config": given}):
    found = tttcfg.resolve(family=FAMILY, **options)
    print(found.training.day, found.training.colour, found.settings()["tags"], found.settings()["wait"])
again = tttcfg.load_document(tttcfg.save_document("training_config.json", found), family=FAMILY)
print(again.training == found.training, tttcfg.diff(again, found))
"""
    done = python("-c", program, cwd=project.root)
    line = "2026-02-03 Colour.YES ['q', 'z'] PT2H"
    assert done.out.splitlines() == [line, line, "True ()"]


def test_the_laws_hold_for_all_types(project: Project) -> None:
    assert project.schema("freeze").code == 0
    project.change(
        project.config,
        "    level: Level",
        '    more: Path = setting(Path("m"), role=Role.RUN, description="More.")\n    level: Level',
    )
    project.change(project.config, 'RED = "red"', 'RED = "red"\n    BLUE = "blue"')
    done = project.schema("new", "more", "--absent", 'more="none": there was none')
    assert done.code == 0, done.err
    (project.golden / "meaning").mkdir()
    (project.golden / "meaning" / "v0000.json").write_text("{}")
    (project.root / "test_schema.py").write_text(LAWS)
    (project.root / "conftest.py").write_text(CONFTEST)
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "test_schema.py")
    laws = python(*words, cwd=project.root, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, code=None)
    assert laws.code == 0, laws.out[-4000:]
    assert "skipped" not in laws.out
