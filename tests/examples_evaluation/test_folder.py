"""The folder of the benchmarks can be read in order and copied."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

import ttt_moshi.evaluation

from tests.launcher import python

FOLDER = Path(ttt_moshi.evaluation.__file__).parent
README = (FOLDER / "README.md").read_text("utf-8")
LISTED = re.findall(r"^\| `(\w+)\.py` \|", README, re.MULTILINE)


def imports(path: Path) -> set[str]:
    """Return what a file imports: packages, and files of the folder with a dot before them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + str(node.module).partition(".")[0])
    return found


def test_the_readme_lists_every_file_after_those_that_it_imports() -> None:
    assert sorted(LISTED) == sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    for at, name in enumerate(LISTED):
        assert {one[1:] for one in imports(FOLDER / f"{name}.py") if one.startswith(".")} <= set(LISTED[:at])


def test_the_readme_links_to_files() -> None:
    assert all((FOLDER / target).exists() for target in re.findall(r"\]\(([^)#]+)", README))


def test_it_imports_the_standard_library_torch_and_tttcfg_only() -> None:
    packages = {one for path in FOLDER.glob("*.py") for one in imports(path) if not one.startswith(".")}
    assert packages - set(sys.stdlib_module_names) == {"torch", "tttcfg"}


def test_a_copy_under_another_name_can_be_imported(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "benchmarks_of_mine", ignore=shutil.ignore_patterns("__pycache__"))
    program = "from benchmarks_of_mine import exit_code; print(exit_code({'standard': {}, 'paper_metrics': None}))"
    assert python("-c", program, cwd=tmp_path).out == "0\n"
