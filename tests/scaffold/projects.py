"""A trainer's folder without a family yet, in which `tttcfg family` runs as a process."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.cli.process import run
from tests.launcher import Result

PYPROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "trainer"  # ours
version = "1.0"

[tool.setuptools]
packages = ["trainer"]
"""
FAMILY = ("--family", "trainer_config.family:FAMILY")


class Trainer:
    """A folder with the package `trainer`, whose module `args` has the configuration."""

    def __init__(self, root: Path, source: str, pyproject: str = PYPROJECT) -> None:
        self.root, self.models = root, root / "trainer_config" / "models.py"
        (root / "trainer").mkdir(parents=True)
        (root / "trainer" / "__init__.py").touch()
        (root / "trainer" / "args.py").write_text(textwrap.dedent(source).lstrip(), "utf-8")
        if pyproject:
            (root / "pyproject.toml").write_text(pyproject.lstrip(), "utf-8")

    def new(self, *arguments: str, name: str = "trainer", model: str = "trainer.args:Args") -> Result:
        """Run `tttcfg family new`."""
        return run("family", "new", name, "--from", model, *arguments, cwd=self.root)

    def confirm(self, *arguments: str) -> Result:
        return run("family", "confirm", *arguments, *FAMILY, cwd=self.root)

    def schema(self, command: str, *arguments: str) -> Result:
        return run("schema", command, *arguments, *FAMILY, cwd=self.root)

    def written(self) -> str:
        """Run `tttcfg family new`, and return the models."""
        result = self.new()
        assert result.code == 0, result.err
        return self.models.read_text("utf-8")

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}
