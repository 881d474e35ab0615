"""A small trainer with a family of its own, written to disk, on which the schema commands run as processes."""

from __future__ import annotations

import json
import shutil
import textwrap
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.cli.process import Result, run

FAMILY = "trainer.config:FAMILY"
CONFIG = """
from typing import Annotated, Literal

from pydantic import Field

from tttcfg.family.family import Family
from tttcfg.schema.fields import Role, Section, Text, Whole, setting


class Optim(Section):
    lr: float = setting(0.001, role=Role.TRAINING, unit="dimensionless", gt=0, description="Learning rate.")
    name: Literal["adam", "sgd"] = setting("adam", role=Role.TRAINING, description="Optimiser.")


class Args(Section):
    steps: Whole = setting(100, role=Role.TRAINING, unit="steps", ge=1, description="Steps of the run.")
    out: Text | None = setting(None, role=Role.RUN, unit="path", description="Folder of the run.")
    optim: Optim = Optim()


FAMILY = Family("trainer", Args, "trainer.migrations", "trainer.schemas")
"""
WARMUP = 'warmup: Whole = setting(10, role=Role.TRAINING, unit="steps", ge=0, description="Steps of warm-up.")'
WARMUP_ABSENT = "warmup=0: there was no warm-up"


class Project:
    """A trainer's folder: its package, its golden documents and its changelog."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "trainer" / "config.py"
        self.migrations = root / "trainer" / "migrations"
        self.schemas = root / "trainer" / "schemas"
        self.golden = root / "tests" / "golden"
        self.changelog = root / "CHANGELOG.md"

    def schema(self, command: str, *arguments: str | Path, family: str = FAMILY, **env: str) -> Result:
        """Run `tttcfg schema COMMAND` in the trainer's folder."""
        return run("schema", command, *arguments, "--family", family, cwd=self.root, **env)

    def problems(self) -> list[dict[str, Any]]:
        """Return what the check finds, and check that the exit code is 1 where it found anything."""
        result = self.schema("check", "--output", "json")
        found: list[dict[str, Any]] = result.json
        assert result.code == (1 if found else 0), result.err
        return found

    def change(self, path: Path, old: str, new: str) -> None:
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    def add_field(self, declaration: str = WARMUP) -> None:
        self.change(self.config, "    out: Text", f"    {declaration}\n    out: Text")

    def read(self, path: str) -> Any:
        return json.loads((self.root / path).read_bytes())

    def contents(self) -> dict[str, bytes]:
        """Return every file with its bytes."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }


def bare_project(root: Path, config: str = CONFIG) -> Project:
    """Write a trainer that has a model and no version yet."""
    project = Project(root)
    project.config.parent.mkdir(parents=True)
    (project.config.parent / "__init__.py").write_text("")
    project.config.write_text(textwrap.dedent(config).lstrip(), "utf-8")
    project.changelog.write_text("# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n\n- The first.\n", "utf-8")
    return project


@cache
def _templates() -> tuple[Path, Path]:
    """Make a trainer with version 0 released, and one that has version 1 besides, once for all tests."""
    first = bare_project(Path(mkdtemp(prefix="tttcfg-trainer-")) / "first")
    _run(first, "new", "first version")
    _run(first, "freeze")
    second = Project(first.root.parent / "second")
    shutil.copytree(first.root, second.root)
    second.add_field()
    _run(second, "new", "warm-up", "--absent", WARMUP_ABSENT)
    return first.root, second.root


def _run(project: Project, *arguments: str) -> None:
    result = project.schema(*arguments)
    assert result.code == 0, result.err


def released_project(root: Path) -> Project:
    """Return a trainer with one version, released."""
    shutil.copytree(_templates()[0], root)
    return Project(root)


def project_of_two(root: Path) -> Project:
    """Return a trainer with version 0 released and version 1 not yet."""
    shutil.copytree(_templates()[1], root)
    return Project(root)
