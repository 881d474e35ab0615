"""`tttcfg family new`: what is read of a class, what is written, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders import SOURCE
from tests.cli.process import run
from tests.launcher import python
from tests.scaffold.projects import FAMILY, PYPROJECT, Trainer
from tttcfg.formats.toml import tomllib

PLAIN = """
from dataclasses import dataclass

@dataclass
class Args:
    seed: int = 0
"""
STYLES = '''
from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Optional


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


class Doc:
    def __init__(self, help: str) -> None:
        self.help = help


@dataclass
class Stage:
    """A stage of the training."""

    steps: int = 1
    lr: float = 1


@dataclass
class Hub:
    repo: str = "a"


@dataclass
class Optim:
    """How it learns.

    Attributes:
        momentum: share of the step before,
            which goes on
    """

    lr: float = 1e-3  # learning rate, by default for Adam
    # Decay of all weights
    weight_decay: float = 0.1
    """Not the comment above:

    but the text below.
    """
    momentum: float = 0.9
    dampening: float = field(default=0.0, metadata={"help": "Of simple-parsing's kind"})
    nesterov: bool = field(default=False, metadata={"custom_args": {"help": "as draccus has it."}})
    rho: Annotated[float, Doc("tyro's")] = 0.5
    name: Literal["adam", "sgd"] = "adam"  # noqa: F821


@dataclass
class Args:
    data: str
    out: Path = Path("runs/a")
    mode: Mode = Mode.SLOW
    sizes: tuple[int, int] = (2, 3)
    tags: list[str] = field(default_factory=lambda: ["a"])
    weights: dict[str, float] = field(default_factory=dict)
    seeds: set[int] = field(default_factory=lambda: {2, 1})
    limit: int | str | None = None
    warmup_steps: int = None
    optim: Optim = field(default_factory=Optim)
    inner: Optim = field(default_factory=lambda: Optim(lr=16.0))
    stages: list[Stage] = field(default_factory=lambda: [Stage(steps=5)])
    named: dict[str, Stage] = field(default_factory=dict)
    hub: Optional[Hub] = None
    wandb_key: str = "geheim"
    version: ClassVar[int] = 3
    device: InitVar[str] = "cpu"
    total: int = field(init=False)

    def __post_init__(self, device: str) -> None:
        self.total = 1
'''
PYDANTIC = """
from typing import Annotated, Optional

from pydantic import BaseModel, Field, SecretStr, field_validator


class Optim(BaseModel):
    lr: float = Field(1e-3, gt=0, le=1, description="Learning rate")
    betas: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2)] = [0.9, 0.95]


class Args(BaseModel):
    optim: Optim = Optim()
    steps: Annotated[int, Field(ge=1)] = 10
    name: str = Field("a", pattern="[a-z]+", alias="Name")
    key: Optional[SecretStr] = None
    needed: int = Field(ge=2, description="Number of layers.")

    @field_validator("steps")
    @classmethod
    def even(cls, value: int) -> int:
        return value
"""
ODD = """
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Callable, Union

class Dtype:
    def __repr__(self):
        return "torch.bfloat16"

@dataclass
class A:
    x: int = 1

@dataclass
class B:
    y: int = 1

@dataclass
class Hub:
    token: str = ""
    repo: str = ""

@dataclass
class Args:
    act: Callable = print
    dtype: Dtype = field(default_factory=Dtype)
    price: Decimal = Decimal("1.5")
    bound: float = float("inf")
    auto: int = "auto"
    kind: Union[A, B] = field(default_factory=A)
    missing: "Nowhere" = None
    by_number: dict[int, str] = field(default_factory=dict)
    schema: str = "x"
    schema_version: int = 1
    hub: "Hub | None" = None
    seed: int = 0
"""


def statement(models: str, name: str) -> str:
    """Return the declaration of a setting in one line, with the comment above it."""
    found = re.search(
        rf"(?m)^(?:    # EDIT.*\n(?:    # (?!EDIT).*\n)*)?    (?:# )?{name}: (?:.*\n)+?(?=    \w|    # EDIT|\n|\Z)",
        models,
    )
    assert found, models
    return re.sub(r"\(\s+", "(", re.sub(r",?\s+\)", ")", " ".join(found[0].split())))


def test_a_dataclass_is_read_with_types_defaults_and_descriptions(tmp_path: Path) -> None:
    models = Trainer(tmp_path, STYLES).written()
    for name, expected in {
        "data": 'data: Text = setting(role=guessed(Role.COMPUTATION), description="Data.")',
        "out": 'out: Path = setting(Path("runs/a"), role=guessed(Role.RUN), description="Out.")',
        "mode": 'mode: Literal["fast", "slow"] = setting("slow", role=',
        "sizes": "sizes: tuple[Whole, Whole] = setting((2, 3), role=",
        "tags": 'tags: list[Text] = setting(["a"], role=',
        "weights": "weights: dict[str, float] = setting({}, role=",
        "seeds": "seeds: set[Whole] = setting({1, 2}, role=",
        "limit": "limit: Whole | Text | None = setting(None, role=",
        "warmup_steps": "warmup_steps: Whole | None = setting(None, role=",
        "stages": "stages: list[Stage] = setting([Stage(steps=5)], role=",
        "hub": "hub: Hub | None = setting(None, role=",
        "wandb_key": "wandb_key: SecretStr | None = setting(None, role=guessed(Role.SECRET)",
        "optim": "optim: Optim = Optim()",
        "inner": "inner: InnerOptim = InnerOptim()",
    }.items():
        assert statement(models, name).startswith(expected)
    assert 'class Stage(Section):\n    """A stage of the training."""\n' in models
    for description in (
        "Learning rate, by default for Adam.",
        "Not the comment above.",
        "Share of the step before, which goes on.",
        "Of simple-parsing's kind.",
        "As draccus has it.",
        "Tyro's.",
        "Name.",
    ):
        assert f'description="{description}"' in models
    assert "geheim" not in models
    assert "EDIT" in statement(models, "limit")


def test_what_is_not_carried_over_is_listed(tmp_path: Path) -> None:
    notes = Trainer(tmp_path, STYLES).new().err
    for note in (
        "note: Args.device is left out: it is a ClassVar or an InitVar",
        "note: Args.version is left out: it is a ClassVar or an InitVar",
        "note: Args.total is left out: the program computes it (init=False)",
        "note: Args.__post_init__ is not carried over",
        "note: the default of wandb_key is not copied: it may be a secret",
    ):
        assert note in notes


def test_a_pydantic_model_keeps_its_constraints(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, PYDANTIC)
    result = trainer.new()
    models = trainer.models.read_text("utf-8")
    assert 'gt=0, le=1, description="Learning rate."' in statement(models, "lr")
    assert statement(models, "betas").startswith("betas: list[Annotated[float, Field(ge=0)]] = setting([0.9, 0.95]")
    assert "min_length=2" in statement(models, "betas")
    assert 'unit="steps", ge=1' in statement(models, "steps")
    assert 'pattern="[a-z]+"' in statement(models, "name")
    assert statement(models, "key").startswith("key: SecretStr | None = setting(None, role=guessed(Role.SECRET)")
    assert statement(models, "needed").startswith("needed: Whole = setting(role=")
    assert "Args.name has the alias 'Name'" in result.err
    assert "Args: even are not carried over" in result.err


def test_one_odd_field_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is written as text, or as a comment, with what to do; `schema check` refuses the line until that is done."""
    trainer = Trainer(tmp_path, ODD)
    models = trainer.written()
    for name, edit in {
        "act": "documents have no values of Callable; declare its name as text",
        "dtype": "documents have no values of trainer.args.Dtype; declare what is in the file",
        "price": "documents have no values of decimal.Decimal; declare a float, or text",
        "bound": "its default inf is no number of a document",
        "auto": 'its default "auto" is not of its type Whole',
        "kind": "it is one of several, with the section A or B",
        "missing": "its type Nowhere cannot be evaluated here",
        "by_number": "the keys of a mapping are text in a file",
        "schema": "schema is a name that models have for themselves",
        "schema_version": "schema_version is a key that every saved document has of its own",
        "token": "a secret inside of what another field holds would be saved with it",
    }.items():
        assert edit in statement(models, name).replace(" # ", " ")
    assert 'act: Text | None = setting("print"' in models
    assert 'dtype: Text | None = setting("bfloat16"' in models
    found = trainer.schema("check").out
    assert found.count("contains a line # EDIT with work that is not done") == 11


def test_written_are_a_first_version_a_test_and_the_entry_point(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, PLAIN)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    result = trainer.new()
    made = result.out.split()
    assert {*made} == {
        "CHANGELOG.md",
        "pyproject.toml",
        "tests/golden/v0000.json",
        "tests/golden/v0000.upgraded.json",
        "tests/test_trainer_schema.py",
        *(f"trainer_config/{name}.py" for name in ("__init__", "family", "models")),
        *(f"trainer_config/migrations/{name}.py" for name in ("__init__", "v0000")),
        *("trainer_config/schemas/__init__.py", "trainer_config/schemas/v0000.schema.json"),
    }
    text = (tmp_path / "pyproject.toml").read_text()
    assert 'name = "trainer"  # ours' in text
    project: Any = tomllib.loads(text)
    assert project["project"]["entry-points"]["tttcfg.families"] == {"trainer": "trainer_config.family:FAMILY"}
    assert project["tool"]["setuptools"]["package-data"] == {"trainer_config.schemas": ["*.json"]}
    assert project["tool"]["setuptools"]["packages"][1:] == [
        *("trainer_config", "trainer_config.migrations", "trainer_config.schemas")
    ]
    assert "add to pyproject.toml" not in result.err


def test_it_works_before_roles_are_confirmed_and_is_not_released(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, PLAIN)
    trainer.new()
    assert run("resolve", "seed=3", "--output", "json", *FAMILY, cwd=tmp_path).json["training"]["seed"] == 3
    for command in ("check", "freeze"):
        refused = trainer.schema(command)
        assert refused.code == 1
        assert "1 role is guessed: training: seed" in refused.out
    assert trainer.confirm("seed").code == 0
    assert trainer.schema("check").code == 0
    assert trainer.schema("freeze").code == 0


def test_a_package_in_src_and_another_name(tmp_path: Path) -> None:
    (tmp_path / "src" / "lib").mkdir(parents=True)
    (tmp_path / "src" / "lib" / "__init__.py").touch()
    trainer = Trainer(tmp_path, PLAIN)
    result = trainer.new("--package", "lib.settings")
    assert (tmp_path / "src" / "lib" / "settings" / "models.py").is_file()
    assert "1. pip install --editable ." in result.err
    assert "--family trainer  #" in result.err


def test_golden_documents_of_another_family_are_left_alone(tmp_path: Path) -> None:
    """The second family of a project has a folder of its own, and its test reads that."""
    trainer = Trainer(tmp_path, PLAIN)
    trainer.new()
    before = trainer.files()
    second = trainer.new(name="other")
    assert second.code == 0, second.err
    assert "tests/golden/other/v0000.json" in second.out
    assert 'with_name("golden") / "other"' in (tmp_path / "tests" / "test_other_schema.py").read_text()
    after = trainer.files()
    assert {name: after[name] for name in before if name != "pyproject.toml"} == {
        name: data for name, data in before.items() if name != "pyproject.toml"
    }


RECURSIVE = PLAIN + "    inner: 'Args | None' = None\n"
REFUSED = {
    "no module": (PLAIN, ("trainer", "nowhere.args:Args"), "nowhere.args cannot be imported"),
    "no class": (PLAIN, ("trainer", "trainer.args:Nothing"), "trainer.args has no Nothing"),
    "no reference": (PLAIN, ("trainer", "trainer.args"), "'trainer.args' is not of the form module:NAME"),
    "a function": (PLAIN, ("trainer", "trainer.args:dataclass"), "is a function, not a type"),
    "another class": (PLAIN, ("trainer", "pathlib:Path"), "neither a dataclass nor a pydantic model"),
    "a section": (PLAIN, ("trainer", "tttcfg:TrainingArgs"), "is a Section already"),
    "no fields": (PLAIN.replace("seed: int = 0", "pass"), ("trainer", "trainer.args:Args"), "has no fields"),
    "recursion": (RECURSIVE, ("trainer", "trainer.args:Args"), "inner is a Args inside a Args"),
    "a bad name": (PLAIN, ("My-Trainer", "trainer.args:Args"), "is not a name of a family"),
    "a name in use": (PLAIN, ("ttt_moshi", "trainer.args:Args"), "there is a family ttt_moshi already"),
}


@pytest.mark.parametrize(("source", "given", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_and_nothing_is_written(
    tmp_path: Path, source: str, given: tuple[str, str], message: str
) -> None:
    trainer = Trainer(tmp_path, source)
    before = trainer.files()
    result = trainer.new(name=given[0], model=given[1])
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert trainer.files() == before


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, PLAIN)
    (tmp_path / "taken").mkdir()
    result = trainer.new("--package", "taken", name="X", model="nowhere:Args")
    assert len(result.err.strip().splitlines()) == 3


@pytest.mark.parametrize("taken", ["tests/test_trainer_schema.py", "tests/golden/v0000.json", "trainer_config/a.py"])
def test_no_file_is_overwritten(tmp_path: Path, taken: str) -> None:
    trainer = Trainer(tmp_path, PLAIN)
    (tmp_path / taken).parent.mkdir(parents=True)
    (tmp_path / taken).write_text("{}\n")
    before = trainer.files()
    result = trainer.new()
    assert result.code == 2
    assert re.search("is there already|is not overwritten", result.err)
    assert trainer.files() == before


PROJECTS = {
    "no file": ("", ("entry",)),
    "no project": ("[tool.poetry]\nname = 'a'\n", ("entry",)),
    "no TOML": ("[project\n", ("entry",)),
    "dynamic": ('[project]\nname = "a"\ndynamic = ["entry-points"]\n', ("entry",)),
    "inline": ('[project]\nname = "a"\nentry-points = { "tttcfg.families" = { b = "b:B" } }\n', ("entry", "packages")),
    "there": (f'{PYPROJECT}\n[project.entry-points."tttcfg.families"]\nb = "b:B"\n', ()),
    "automatic": ('[project]\nname = "a"\n', ("packages",)),
    "hatch": ('[project]\nname = "a"\n[build-system]\nbuild-backend = "hatchling.build"\n', ("schemas",)),
}
ADVICE = {
    "entry": 'trainer = "trainer_config.family:FAMILY"',
    "packages": 'add to the packages of [tool.setuptools]: "trainer_config"',
    "schemas": "the package trainer_config has to be installed with its schemas/*.json",
}


@pytest.mark.parametrize(("pyproject", "advised"), PROJECTS.values(), ids=PROJECTS)
def test_a_pyproject_is_edited_where_that_is_safe(tmp_path: Path, pyproject: str, advised: tuple[str, ...]) -> None:
    result = Trainer(tmp_path, PLAIN, pyproject).new()
    assert result.code == 0, result.err
    assert [name for name, text in ADVICE.items() if text in result.err] == [*advised]
    if "entry" not in advised:
        families = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["entry-points"]
        assert families["tttcfg.families"]["trainer"] == "trainer_config.family:FAMILY"
    elif pyproject:
        assert "trainer_config.family" not in (tmp_path / "pyproject.toml").read_text()


@pytest.mark.parametrize("source", [STYLES, PYDANTIC, ODD], ids=["dataclass", "pydantic", "odd"])
def test_what_is_written_can_be_resolved_and_amended(tmp_path: Path, source: str) -> None:
    """Confirming every role leaves what is to be edited; the version then follows the code."""
    trainer = Trainer(tmp_path, source)
    trainer.written()
    assert trainer.confirm("*").code == 0
    amended = trainer.schema("new", "--amend")
    assert amended.code == 0, amended.err
    left = trainer.schema("check").out
    assert "guessed" not in left
    python("-c", "import trainer_config.family", cwd=tmp_path, env={"PYTHONPATH": str(SOURCE.parent)})


TRAINER = """
import dataclasses
import tttcfg
from trainer.args import Args, Mode
from trainer_config.family import FAMILY

values = dataclasses.asdict(Args(data="a", device="cpu", mode=Mode.FAST, wandb_key="geheim"))
del values["total"]
config = tttcfg.from_any(values, family=FAMILY)
assert (config.mode, str(config.out), config.sizes, config.seeds) == ("fast", "runs/a", (2, 3), {1, 2})
assert (config.stages[0].steps, config.inner.lr, config.optim.lr) == (5, 16.0, 0.001)
assert config.wandb_key.get_secret_value() == "geheim"
assert tttcfg.resolve(config={"data": "b"}, family=FAMILY).training.stages == config.stages
"""


def test_the_trainer_converts_its_dataclass(tmp_path: Path) -> None:
    """Enumerations, paths, tuples, sets, sections in lists and secrets; what `__init__` does not take is left out."""
    Trainer(tmp_path, STYLES).written()
    python("-c", TRAINER, cwd=tmp_path, env={"PYTHONPATH": str(SOURCE.parent)})
