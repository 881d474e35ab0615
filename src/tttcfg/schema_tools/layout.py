"""Where the parts of a family's history lie: its steps, frozen schemas, golden documents, and what is released."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tttcfg.errors import InputError, Problem
from tttcfg.family.family import Family, schema_name

UPGRADED = ".upgraded.json"


@dataclass(frozen=True)
class Sources:
    """A family and the folders of its history.

    Attributes:
        golden: The folder with a document of each version as it was written, and what each upgrades to.
        options: How a command names this family and its golden documents, for the commands that mend.
    """

    family: Family
    golden: Path
    options: str = ""

    @property
    def migrations(self) -> Path:
        return package_folder(self.family.migrations)

    @property
    def schemas(self) -> Path:
        return package_folder(self.family.schemas)

    @property
    def released(self) -> Path:
        return self.schemas / "released.json"

    def step(self, version: int) -> Path:
        return self.migrations / f"{step_name(version)}.py"

    def schema(self, version: int) -> Path:
        return self.schemas / schema_name(version)

    def document(self, version: int) -> Path:
        return self.golden / f"v{version:04d}.json"

    def documents(self) -> list[Path]:
        """Return the golden documents as they were written, by name."""
        return sorted(path for path in self.golden.glob("*.json") if not path.name.endswith(UPGRADED))

    def command(self, words: str) -> str:
        """Return the command `tttcfg schema …` for this family."""
        return f"tttcfg schema {words}{self.options}"


def step_name(version: int) -> str:
    """Return the name of the module that leads to `version`."""
    return f"v{version - 1:04d}_to_v{version:04d}" if version else "v0000"


def upgraded_of(document: Path) -> Path:
    """Return the file with what a golden document upgrades to."""
    return document.with_name(f"{document.stem}{UPGRADED}")


def package_folder(name: str) -> Path:
    """Return the folder of a package, there or to be made inside its parent.

    Raises:
        InputError: Neither the package nor its parent can be imported.
    """
    try:
        return Path(import_module(name).__path__[0])
    except Exception as error:  # whatever a package of somebody's raises
        parent, _, last = name.rpartition(".")
        if not parent or not isinstance(error, ModuleNotFoundError) or error.name != name:
            message = f"the package {name} cannot be imported: {type(error).__name__}: {error}"
            raise InputError(Problem("plugin", message, name)) from None
        return package_folder(parent) / last


def shown(path: Path) -> str:
    """Return a path as a person in the current folder would write it."""
    absolute, here = os.path.abspath(path), os.getcwd()
    return os.path.relpath(absolute, here) if absolute.startswith(here + os.sep) else absolute
