"""The files of a family's history: where they are, and how a problem in one is reported."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.family import Family, schema_name
from tttcfg.schema.paths import Tree

UPGRADED = ".upgraded.json"
RESTORE = "bring it back from git"
EDIT = "# EDIT"
"""Marks what a generated migration leaves to its author; nothing is released while it is there."""
_INSTALLED = {"site-packages", "dist-packages"}
_CONFLICT = re.compile(r"^(<<<<<<< |=======$|>>>>>>> )", re.MULTILINE)
_EDIT = re.compile(rf"^[^\S\n]*{EDIT}\b", re.MULTILINE)


@dataclass(frozen=True)
class History:
    """A family and the folders of its history.

    Attributes:
        golden: The folder with a document of each version as it was written, and what each upgrades to.
        options: How a command names this family and its golden documents, for the commands in advice.
        named: How a command names this family alone.
    """

    family: Family
    golden: Path
    options: str = ""
    named: str = ""

    @property
    def migrations(self) -> Path:
        return package_folder(self.family.migrations)

    @property
    def schemas(self) -> Path:
        return package_folder(self.family.schemas)

    @property
    def elsewhere(self) -> str:
        """Why the sources of the family are not those of the checkout that one stands in; empty where they are.

        A checkout is a working tree of git, of which there may be several of one project; outside of any, the nearest
        folder with a pyproject.toml.
        """
        home, here = Path(os.path.realpath(self.migrations)), Path.cwd()
        theirs, ours = _checkout_of(home), _checkout_of(here)
        if _INSTALLED & {*home.parts}:
            return f"its sources are imported from {home}, an installed copy"
        if theirs == ours and (ours is not None or home.is_relative_to(_nearest_with(here, "pyproject.toml") or here)):
            return ""
        return f"its sources are imported from {home}, which is not in {ours or here}, where you stand"

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


def _checkout_of(path: Path) -> Path | None:
    return _nearest_with(path, ".git")


def _nearest_with(path: Path, name: str) -> Path | None:
    """Return the nearest folder at or above a path that has a file or folder of a name."""
    return next((one for one in (path, *path.parents) if (one / name).exists()), None)


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
    except Exception as error:  # whatever the package raises
        parent, _, last = name.rpartition(".")
        if not parent or not isinstance(error, ModuleNotFoundError) or error.name != name:
            message = f"the package {name} cannot be imported: {type(error).__name__}: {error}"
            raise InputError(Problem("plugin", message, name)) from None
        return package_folder(parent) / last


def class_name(model: type) -> str:
    """Return where a model is declared, as a problem's place: its module and name."""
    return f"{model.__module__}.{model.__qualname__}"


def shown(path: Path) -> str:
    """Return a path as a person in the current folder would write it."""
    absolute, here = os.path.abspath(path), os.getcwd()
    return os.path.relpath(absolute, here) if absolute.startswith(here + os.sep) else absolute


def problem_in(path: Path, code: str, message: str, advice: str, line: int = 0) -> Problem:
    """Return a problem whose place is a file of the history, or a line of it."""
    return Problem(code, message, place=Place(shown(path), line), advice=advice)


def leftovers(path: Path, code: str, text: str, remake: str = "") -> list[Problem]:
    """Return a problem for the conflict markers of a merge in a file, and one for every line that is to be edited."""
    found = []
    if conflict := _CONFLICT.search(text):
        message, advice = "has conflict markers of a merge", "keep one side, and remove the markers"
        found.append(problem_in(path, code, message, advice, _line(text, conflict.start())))
    for match in _EDIT.finditer(text):
        message, advice = f"contains a line {EDIT} with work that is not done", f"do it, remove the line, then {remake}"
        found.append(problem_in(path, code, message, advice, _line(text, match.end())))
    return found


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def read_json(path: Path, code: str) -> tuple[Tree | None, list[Problem]]:
    """Return the JSON object in a file, or None and the problems: the conflict markers of a merge, if it has any."""
    text = path.read_text("utf-8", errors="replace")
    try:
        tree = json.loads(text)
    except ValueError as error:
        return None, leftovers(path, code, text) or [problem_in(path, code, f"is not valid JSON: {error}", RESTORE)]
    if isinstance(tree, dict):
        return tree, []
    return None, [problem_in(path, code, "is not a JSON object", RESTORE)]
