"""`tttcfg family confirm`: which roles and units become confirmed, and what of the source stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.scaffold.projects import Trainer

SOURCE = '''
from dataclasses import dataclass, field


@dataclass
class Optim:
    lr: float = 1e-3
    """Learning rate, with a text that makes a line of the declaration longer than it is without a guess"""
    weight_decay: float = 0.1
    buffer: int = 3


@dataclass
class Stage:
    steps: int = 1


@dataclass
class Args:
    seed: int = 0
    workers: int = 1
    first: Optim = field(default_factory=Optim)
    second: Optim = field(default_factory=Optim)
    stages: list[Stage] = field(default_factory=list)
'''


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trainer = Trainer(tmp_path_factory.mktemp("confirm") / "made", SOURCE)
    trainer.written()
    return trainer.root


@pytest.fixture
def trainer(made: Path, tmp_path: Path) -> Trainer:
    """A trainer with a family whose roles are guesses."""
    root = tmp_path / "home"
    shutil.copytree(made, root)
    found = Trainer.__new__(Trainer)
    found.root, found.models = root, root / "trainer_config" / "models.py"
    return found


def confirmed(trainer: Trainer, *arguments: str) -> str:
    """Run `tttcfg family confirm`, which has to succeed, and return the models."""
    result = trainer.confirm(*arguments)
    assert result.code == 0, result.err
    return trainer.models.read_text("utf-8")


def test_without_any_it_lists_what_is_open_and_the_commands(trainer: Trainer) -> None:
    before = trainer.files()
    result = trainer.confirm()
    assert result.code == 1
    assert "first: 3 roles are guessed: training: lr, weight_decay; computation: buffer" in result.out
    assert "tttcfg family confirm 'first.*' --family trainer_config.family:FAMILY" in result.out
    assert "tttcfg family confirm --unit first.buffer=UNIT" in result.out
    assert trainer.files() == before


def test_a_pattern_confirms_the_guesses_and_the_rest_stays(trainer: Trainer) -> None:
    before = trainer.models.read_text("utf-8").splitlines()
    after = confirmed(trainer, "seed").splitlines()
    assert "role=Role.TRAINING" in "".join(line for line in after if "seed" in line)
    assert [line for line in after if line not in before] == [line for line in after if " seed:" in line]


def test_the_last_pattern_counts_and_gives_the_role(trainer: Trainer) -> None:
    models = confirmed(trainer, "*", "first.*=run", "first.lr=computation")
    assert "lr: float = setting(" in models
    assert models.count("role=Role.COMPUTATION") == 3
    assert "guessed" not in models
    assert "from tttcfg import Role, Section, Whole, setting\n" in models


def test_a_declaration_that_two_sections_share_is_confirmed_under_either_name(trainer: Trainer) -> None:
    models = confirmed(trainer, "second.buffer=run")
    assert 'buffer: Whole = setting(3, role=Role.RUN, unit="EDIT", description="Buffer.")' in models


def test_a_secret_stays_one_and_nothing_becomes_one(trainer: Trainer) -> None:
    """The type goes with that role: it is for the author to change both."""
    args = trainer.root / "trainer_config" / "models.py"
    secret = '    key: SecretStr | None = setting(None, role=guessed(Role.SECRET), description="Key.")\n'
    text = args.read_text("utf-8").replace("from tttcfg", "from pydantic import SecretStr\nfrom tttcfg", 1)
    args.write_text(text.replace("    seed: Whole", f"{secret}    seed: Whole"), "utf-8")
    result = trainer.confirm("key=run", "seed=secret")
    assert result.code == 2
    assert result.err.count("the type of a secret is SecretStr; change both in trainer_config/models.py") == 2
    models = confirmed(trainer, "*=run")
    assert "role=Role.SECRET" in models
    assert models.count("role=Role.RUN") == 7


def test_units_are_stated(trainer: Trainer) -> None:
    models = confirmed(trainer, "--unit", "first.buffer=entries of it")
    assert 'role=guessed(Role.COMPUTATION), unit="entries of it"' in models


def test_a_role_that_is_confirmed_stays(trainer: Trainer) -> None:
    confirmed(trainer, "seed=run")
    models = confirmed(trainer, "*=training")
    assert "role=Role.RUN" in models
    again = trainer.confirm("seed=training")
    assert again.code == 2
    assert "seed: the role is not open; change it in trainer_config/models.py" in again.err


def test_comments_inside_of_a_declaration_stay(trainer: Trainer) -> None:
    models = trainer.models.read_text("utf-8")
    old = "role=guessed(Role.RUN), "
    assert old in models
    trainer.models.write_text(models.replace(old, f"{old} # ä comment\n        ", 1), "utf-8")
    assert "role=Role.RUN,  # ä comment\n" in confirmed(trainer, "*")


def test_everything_that_is_wrong_is_reported_at_once_and_nothing_is_written(trainer: Trainer) -> None:
    before = trainer.files()
    result = trainer.confirm("sed", "first.lr=fast", "nothing.*", "--unit", "seed=x", "--unit", "first.buffer")
    assert result.code == 2
    assert result.err.splitlines() == [
        "sed: is no setting (did you mean seed?)",
        "first.lr: 'fast' is no role; there are: architecture, computation, training, run, secret",
        "nothing.*: is no setting",
        "seed: the unit is not open; change it in trainer_config/models.py",
        "first.buffer: states no unit: it follows a =",
    ]
    assert trainer.files() == before


def test_a_declaration_of_another_form_is_for_its_author(trainer: Trainer) -> None:
    models = trainer.models.read_text("utf-8")
    start = models.index("    seed: Whole = ")
    end = models.index("\n    workers", start)
    helper = "\n\ndef own() -> Any:\n    return setting(0, role=guessed(Role.RUN), description='A.')\n\n\nclass Args"
    edited = f"{models[:start]}    seed: Whole = own(){models[end:]}".replace("\n\nclass Args", helper)
    trainer.models.write_text(edited.replace("from tttcfg", "from typing import Any\n\nfrom tttcfg", 1), "utf-8")
    result = trainer.confirm("seed")
    assert result.code == 2
    assert "seed: is not declared as seed: … = setting(…, role=guessed(Role.…), …); edit it by hand" in result.err


def test_changed_roles_come_into_the_version_by_amending_it(trainer: Trainer) -> None:
    confirmed(trainer, "*", "seed=run", "--unit", "first.buffer=entries")
    assert (
        'seed differs between v0000.schema.json and the code: role "training" -> "run"' in trainer.schema("check").out
    )
    assert trainer.schema("new", "--amend").code == 0
    assert trainer.schema("check").code == 0
