"""The project that a new family is written into: where its package goes, and what its pyproject.toml gets.

A pyproject.toml is edited as text, so that its comments and layout stay; an edit counts only where the file then
means what it is meant to mean. Where it cannot be edited, there are lines for its author to add.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg.plugins import FAMILY_GROUP
from tttcfg.scaffold.sources import Names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path("pyproject.toml")


class Edited(NamedTuple):
    """A pyproject.toml with what a new family needs.

    Attributes:
        text: The file; None where it stays as it is.
        lines: What its author has to add.
        packages: The notes on packages that are not installed yet.
    """

    text: str | None
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def source_root() -> Path:
    """Return the folder in which the project that one stands in has its packages: src, or the current folder."""
    src = Path("src")
    has_packages = src.is_dir() and not (src / "__init__.py").exists() and any(src.glob("*/__init__.py"))
    return src if has_packages else Path()


def edited_pyproject(text: str, names: Names, root: Path) -> Edited:
    """Return a pyproject.toml with the entry point, the packages and the schemas of a new family."""
    schemas = f"{names.package}.schemas"
    entry, data = f'{names.family} = "{names.reference}"', f'"{schemas}" = ["*.json"]'
    groups: list[tuple[tuple[str, ...], str, str, Any]] = [
        (("project", "entry-points", FAMILY_GROUP), entry, names.family, names.reference)
    ]
    tree = _parsed(text)
    if tree is None or "project" not in tree or "entry-points" in tree["project"].get("dynamic", ()):
        return Edited(None, (f'[project.entry-points."{FAMILY_GROUP}"]', entry))
    notes = []
    if _is_setuptools(tree):
        groups.append((("tool", "setuptools", "package-data"), data, schemas, ["*.json"]))
    else:
        notes.append(f"the package {names.package} has to be installed with its schemas/*.json")
    lines: list[str] = []
    for table, line, key, value in groups:
        made = _with_line(text, table, line, key, value)
        lines += [] if made else [_header(table), line]
        text = made or text
    text, note = _with_packages(text, names, root)
    return Edited(text, tuple(lines), (*notes, *note))


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _is_setuptools(tree: dict[str, Any]) -> bool:
    build = tree.get("build-system", {}).get("build-backend", "setuptools.build_meta")
    return str(build).startswith("setuptools")


def _header(table: tuple[str, ...]) -> str:
    return f"[{'.'.join(f'{chr(34)}{one}{chr(34)}' if '.' in one else one for one in table)}]"


def _with_line(text: str, table: tuple[str, ...], line: str, key: str, value: Any) -> str | None:
    """Return `text` with a line in a table, which is made where there is none; None where that cannot be done."""

    def set_value(tree: dict[str, Any]) -> None:
        for name in table:
            tree = tree.setdefault(name, {})
        tree[key] = value

    escaped = [rf"""["']?{re.escape(one)}["']?""" for one in table]
    name = r"\s*\.\s*".join(escaped)
    header = re.search(rf"^\[\s*{name}\s*\][^\n]*\n", text, re.MULTILINE)
    if header is None:
        made = f"{text.rstrip()}\n\n{_header(table)}\n{line}\n"
    else:
        made = f"{text[: header.end()]}{line}\n{text[header.end() :]}"
    return made if _means(made, text, set_value) else None


def _means(made: str, before: str, change: Callable[[dict[str, Any]], None]) -> bool:
    """Whether an edited file means what it did before, with a change."""
    tree = copy.deepcopy(_parsed(before) or {})
    try:
        change(tree)
    except (AttributeError, TypeError):  # something else is where a table is expected
        return False
    return _parsed(made) == tree


def _with_packages(text: str, names: Names, root: Path) -> tuple[str, list[str]]:
    """Return `text` with the packages in its list, where it has one; and what else is to be done for them."""
    tree = _parsed(text) or {}
    packages = [names.package, f"{names.package}.migrations", f"{names.package}.schemas"]
    settings = tree.get("tool", {}).get("setuptools", {})
    listed = settings.get("packages")
    if isinstance(listed, list):
        opening = re.search(r"^packages\s*=\s*\[", text, re.MULTILINE)
        closing = text.find("]", opening.end()) if opening else -1
        if opening and closing > 0:
            own = ", ".join(f'"{one}"' for one in packages)
            before = text[opening.end() : closing].rstrip()
            lines = "\n" in before or "\n" in text[opening.end() : closing]
            joint = "" if not before.strip() or before.endswith(",") else ","
            new = "".join(f'\n    "{one}",' for one in packages) + "\n" if lines else f" {own}" if before else own
            made = f"{text[: opening.end()]}{before}{joint}{new}{text[closing:]}"
            if _means(made, text, lambda tree: tree["tool"]["setuptools"]["packages"].extend(packages)):
                return made, []
    if isinstance(listed, list) or (_is_setuptools(tree) and listed is None and root == Path() and _others(names)):
        every = ", ".join(f'"{one}"' for one in packages)
        return text, [f"add to the packages of [tool.setuptools]: {every}"]
    return text, []


def _others(names: Names) -> list[Path]:
    """Return the other packages beside a new one: setuptools finds a package automatically only where it is alone."""
    here = (path.parent for path in Path().glob("*/__init__.py"))
    return [one for one in here if one.name not in (names.package.partition(".")[0], "tests", "docs", "examples")]
