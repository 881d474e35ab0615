"""The laws of a family with a parent: each way to break what the parent's documents mean breaks its law."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.builders import ROOT
from tests.cli.process import run
from tests.launcher import python
from tests.schema_tools.flavours import Flavours

SAME = "a_document_of_the_parent_means_the_same"
FIRST = "a_document_of_the_parent_may_be_upgraded_first"
NAMES = "every_name_of_the_parent_is_read"


@pytest.fixture
def project(tmp_path: Path) -> Flavours:
    return Flavours(tmp_path / "project")


def broken(project: Flavours) -> set[str]:
    """Return the laws about the parent that do not hold for the family for speech."""
    words = ("-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--tb=short", "tests/test_schema.py")
    chosen = ("-k", f"TestSpeech and ({SAME} or {FIRST} or {NAMES})")
    done = python(*words, *chosen, cwd=project.root, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, code=None)
    assert re.search(r"\d+ (passed|failed)", done.out), done.out + done.err
    return set(re.findall(r"^FAILED .*::test_(\w+)", done.out, re.MULTILINE))


def by_hand(project: Flavours, version: int, old: str, new: str) -> None:
    """Change a step of the family for speech."""
    path = f"flavours/speech/migrations/v{version - 1:04d}_to_v{version:04d}.py"
    project.change(path, old, new)


def test_the_laws_hold_for_a_sound_history(project: Flavours) -> None:
    assert broken(project) == set()


def test_an_operation_that_is_left_out_is_noticed(project: Flavours) -> None:
    """Where the parent converts values, the family's stay what they were; where it renames, the name is lost."""
    by_hand(project, 4, "inherited(parent, version=4)", 'inherited(parent, version=4, without=["inner.activation"])')
    assert {SAME, NAMES} <= broken(project)


def test_another_fill_than_the_parents_is_noticed(project: Flavours) -> None:
    by_hand(
        project,
        2,
        "migration = inherited(parent, version=2)",
        "from dataclasses import replace\n\n"
        "taken = inherited(parent, version=2)\n"
        'changed = [replace(one, fill="sequence") if one.kind == "added" else one for one in taken.operations]\n'
        "migration = replace(taken, operations=tuple(changed))",
    )
    assert SAME in broken(project)


def test_an_own_step_that_depends_on_what_the_parent_changes_later_is_noticed(project: Flavours) -> None:
    """What the absence of a field meant is read from a name which a document that is younger does not have."""
    by_hand(
        project,
        1,
        'Add("audio.codebooks", integer(8, minimum=1), 8,',
        'Add("audio.codebooks", integer(8, minimum=1), By("inner.lr", lambda lr: 8 if lr is None else 4, "so"),',
    )
    by_hand(project, 1, "import Add", "import Add, By")
    assert broken(project) == {FIRST}


MINE = """from tttcfg import Family, Role, Section, TrainingArgs, Whole, setting
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.ttt_moshi.training_args import OptimArgs


class MyOptim(OptimArgs):
    clip: float = setting(1.0, role=Role.TRAINING, unit="dimensionless", ge=0, description="Bound of the norm.")


class MyArgs(TrainingArgs):
    optim: MyOptim = MyOptim()
    seed: Whole = setting(7, role=Role.TRAINING, unit="dimensionless", ge=0, description="Seed.")


MINE = Family("mine", MyArgs, "mine.migrations", "mine.schemas", parent=TTT_MOSHI, derive=TTT_MOSHI.derive)
"""
LAWS = """import tttcfg.testing
from tests.migration import test_laws
from tests.strategies import overrides, settled

TestMine = tttcfg.testing.laws(
    "mine.config:MINE",
    golden="tests/golden",
    overrides=lambda version: overrides(min(version, 7)),
    settled=settled,
    parent=test_laws.TestSchema,
    examples=2,
)
"""


def test_the_laws_hold_for_a_family_below_the_built_in_one(tmp_path: Path) -> None:
    """Whose history has every kind of operation, versions without a number, and secrets."""
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "config.py").write_text(MINE, "utf-8")
    (tmp_path / "test_schema.py").write_text(LAWS, "utf-8")
    family = ("--family", "mine.config:MINE")
    made = run("schema", "new", "mine", "--absent", "optim.clip=0.0: none", *family, cwd=tmp_path)
    assert made.code == 0, made.err
    checked = run("schema", "check", *family, cwd=tmp_path)
    assert (checked.code, checked.out) == (0, "")
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "test_schema.py", "-k", "parent")
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    done = python(*words, cwd=tmp_path, env=env, code=None)
    assert done.code == 0, done.out + done.err
    assert " passed" in done.out
