"""A trainer whose optimiser plug-ins may provide, and a plug-in that provides one, in two versions, as pip has them."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.cli.process import Result, run
from tests.families import install

GROUP = "trainer.optimizers"
DISTRIBUTION = "trainer-lion"
LION = "trainer_lion.config:LION"
TRAINER = '''"""A trainer's configuration."""

from typing import Literal

import tttcfg
from tttcfg import Role, Section, Whole, setting


class AdamW(Section):
    name: Literal["adamw"] = "adamw"
    lr: float = setting(0.001, role=Role.TRAINING, unit="dimensionless", gt=0, description="Learning rate.")
    beta: float = setting(0.9, role=Role.TRAINING, unit="dimensionless", gt=0, lt=1, description="Momentum.")


class Muon(Section):
    name: Literal["muon"] = "muon"
    lr: float = setting(0.02, role=Role.TRAINING, unit="dimensionless", gt=0, description="Learning rate.")


class Args(Section):
    optimizer: AdamW | Muon = setting(
        AdamW(), role=Role.TRAINING, discriminator="name", plugins="trainer.optimizers", description="Optimiser."
    )
    steps: Whole = setting(100, role=Role.TRAINING, unit="steps", ge=1, description="Steps of the run.")


TRAINER = tttcfg.Family("trainer", Args, "trainer.migrations", "trainer.schemas")
'''
FIRST = '''"""An optimiser for the trainer."""

from typing import Literal

from tttcfg import PluggedVariant, Role, Section, setting
from trainer.config import Muon  # a plug-in may import the trainer


class Lion(Section):
    name: Literal["lion"] = setting("lion", role=Role.TRAINING, description="What it is called.")
    rate: float = setting(0.0001, role=Role.TRAINING, unit="dimensionless", gt=0, description="Learning rate.")
    sign: bool = setting(True, role=Role.TRAINING, description="Whether the sign of the momentum is taken.")


LION = PluggedVariant("lion", Lion, "trainer_lion.migrations", "trainer_lion.schemas")
'''
SECOND = FIRST.replace("    rate: float", "    lr: float").replace(
    "    sign: bool",
    '    beta: float = setting(0.99, role=Role.TRAINING, unit="dimensionless", gt=0, lt=1, description="Momentum.")\n'
    "    sign: bool",
)
CHANGE = ("--rename", "rate:lr", "--absent", "beta=0.95: it was fixed")
OLD = {"name": "lion", "schema_version": 0, "rate": 0.5, "sign": False}
"""A section of the first version."""
NEW = {"name": "lion", "schema_version": 1, "lr": 0.5, "beta": 0.95, "sign": False}
"""The same in the second one."""


class Home:
    """A folder with the trainer's sources and, where it is installed, the plug-in; commands run there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *arguments: str | Path) -> Result:
        return run(*arguments, cwd=self.root, PYTHONPATH=str(self.root))

    def uninstall(self) -> None:
        for folder in (*self.root.glob(f"{DISTRIBUTION}-*"), self.root / "trainer_lion"):
            shutil.rmtree(folder)

    def write(self, text: str) -> None:
        """Write the plug-in's declaration."""
        (self.root / "trainer_lion" / "config.py").write_text(text, "utf-8")

    def schema(self, command: str, family: str, *arguments: str) -> Result:
        golden = f"tests/golden/{'lion' if family == LION else 'trainer'}"
        more = ("--golden", golden) if command in ("new", "check", "freeze") else ()
        return self.run("schema", command, *arguments, "--family", family, *more)


@cache
def _template() -> Path:
    home = Home(Path(mkdtemp(prefix="tttcfg-plugged-")) / "home")
    for package, text in (("trainer", TRAINER), ("trainer_lion", FIRST)):
        (home.root / package).mkdir(parents=True)
        (home.root / package / "__init__.py").touch()
        (home.root / package / "config.py").write_text(text, "utf-8")
    (home.root / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n", "utf-8")
    install(home.root, "trainer", "tttcfg.families", {"trainer": "trainer.config:TRAINER"})
    install(home.root, DISTRIBUTION, GROUP, {"lion": LION})
    _done(home.schema("new", "trainer", "first"))
    _done(home.schema("new", LION, "first"))
    _done(home.schema("freeze", LION))
    home.write(SECOND)
    _done(home.schema("new", LION, "momentum", *CHANGE))
    return home.root


def _done(result: Result) -> None:
    assert result.code == 0, result.err


def home_of_plug_in(root: Path) -> Home:
    """Return a folder with the trainer and the second version of the plug-in, both installed."""
    shutil.copytree(_template(), root, ignore=shutil.ignore_patterns("__pycache__"))
    return Home(root)


def document(optimizer: dict[str, Any], version: int = 0) -> dict[str, Any]:
    """Return a document of the trainer."""
    return {
        "$schema": f"urn:tttcfg:trainer:v{version:04d}",
        "schema_version": version,
        "optimizer": optimizer,
        "steps": 7,
        "provenance": {},
    }
