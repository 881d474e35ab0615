"""No command imports anything from the current folder, except a module that `--family` names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.builders import trained
from tests.cli.process import TTTCFG
from tests.conftest import some
from tests.families import REFERENCE, install, write_family
from tests.launcher import launch, python

SCRIPT = (str(Path(sys.executable).with_name("tttcfg")),)
COMMANDS = (
    "--version",
    "--help",
    "resolve --checkpoint run --config any.yaml",
    "resolve --config any.toml --output json",
    "resolve --checkpoint file://run --explain",
    "verify run",
    "inspect run",
    "migrate run --workers 2",
    "scrub run",
    "diff run any.yaml",
    "fields",
    "history",
    "schema check",
    "schema diff 6",
)
COMPLETION = {"_TTTCFG_COMPLETE": "complete_bash", "COMP_WORDS": "tttcfg resolve --restore ", "COMP_CWORD": "3"}
PLANTED = "import pathlib\npathlib.Path(r'{marker}').open('a').write('{name}\\n')\nraise ImportError('{name}')\n"
LOADED = "import sys\n{before}\nprint(*(one.partition('.')[0] for one in sys.modules))"
SPAWNED = """
import multiprocessing, sys
from tttcfg.cli import main
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
"""


def names_of(before: str) -> set[str]:
    """Return the modules of the top level that are loaded after some statements."""
    return set(python("-c", LOADED.format(before=before)).out.split())


@pytest.fixture(scope="module")
def current_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module of the name of every one that commands import, all of which report that they run."""
    folder = tmp_path_factory.mktemp("current") / "in"
    trained(folder / "run")
    (folder / "any.yaml").write_text("seed: 1\n")
    (folder / "any.toml").write_text("seed = 1\n")
    every = "from tttcfg.cli.app import COMMANDS, build; build(COMMANDS)\n"
    every += (
        "import typer.completion, ruamel.yaml, fsspec, jsonschema, tomllib, tttcfg.files.remote, importlib.metadata\n"
    )
    every += (
        "import multiprocessing.pool, multiprocessing.spawn, multiprocessing.resource_tracker, tttcfg.testing.suite"
    )
    names = names_of(every if sys.version_info >= (3, 11) else every.replace("tomllib", "tomli"))
    for name in sorted(names - names_of("import runpy") - {"tttcfg"}):
        (folder / f"{name}.py").write_text(PLANTED.format(marker=folder.parent / "marker", name=name))
    return folder


def imported_there(folder: Path) -> list[str]:
    marker = folder.parent / "marker"
    return marker.read_text().split() if marker.exists() else []


def test_python_itself_runs_what_is_planted(current_folder: Path) -> None:
    """The control: Python itself imports it."""
    python("-c", "import typing", cwd=current_folder, code=1)
    assert imported_there(current_folder) == ["typing"]
    (current_folder.parent / "marker").unlink()


@pytest.mark.parametrize("words", COMMANDS)
def test_no_command_imports_what_lies_there(words: str, current_folder: Path) -> None:
    done = launch(*TTTCFG, *words.split(), cwd=current_folder, code=None)
    assert imported_there(current_folder) == []
    assert "Traceback" not in done.err


@pytest.mark.parametrize("words", ["--help", "resolve --checkpoint run --config any.yaml"])
def test_neither_does_the_script(words: str, current_folder: Path) -> None:
    (current_folder / "tttcfg.py").write_text(PLANTED.format(marker=current_folder.parent / "marker", name="tttcfg"))
    try:
        launch(*SCRIPT, *words.split(), cwd=current_folder)
    finally:
        (current_folder / "tttcfg.py").unlink()
    assert imported_there(current_folder) == []


def test_neither_does_completion(current_folder: Path) -> None:
    assert launch(*TTTCFG, cwd=current_folder, env=COMPLETION).out.split() == ["auto", "all", "none"]
    assert imported_there(current_folder) == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no -P, which processes of a pool inherit")
def test_neither_do_processes_of_a_pool(current_folder: Path, tmp_path: Path) -> None:
    """They are started afresh on some systems, and Python would search the folder before all others."""
    (tmp_path / "program.py").write_text(SPAWNED)
    done = python(tmp_path / "program.py", "migrate", "run", "--workers", "2", cwd=current_folder)
    assert "1 already current" in done.out
    assert imported_there(current_folder) == []


def gone(folder: Path, group: str) -> dict[str, str]:
    """Install a distribution outside `folder` whose module is in `folder` only; return the environment to run in."""
    install(folder.parent / "site", "gone-trainer", group, {"gone": "gone.config:GONE"})
    package = folder / "gone"
    package.mkdir(parents=True)
    for name in ("__init__", "config"):
        (package / f"{name}.py").write_text(PLANTED.format(marker=folder.parent / "marker", name=name))
    (folder / "any.yaml").write_text("seed: 1\n")
    trained(folder / "run")
    return {"PYTHONPATH": os.fspath(folder.parent / "site")}


@pytest.mark.parametrize("words", some(COMMANDS[2:], 3))
@pytest.mark.parametrize("group", ["tttcfg.families", "tttcfg.extensions"])
def test_an_entry_point_whose_module_is_gone_is_not_found_there(group: str, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    env = gone(folder, group)
    (folder / "any.toml").write_text("seed = 1\n")
    named = ["--family", "gone"] if group == "tttcfg.families" else []
    done = launch(*TTTCFG, *words.split(), *named, cwd=folder, env=env, code=None)
    assert imported_there(folder) == []
    assert "Traceback" not in done.err
    if named:
        assert done.code
        assert "gone.config cannot be imported" in done.err
        assert "reinstall gone-trainer, or uninstall it" in done.err


def test_naming_another_module_there_does_not_change_that(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    env = gone(folder, "tttcfg.extensions")
    write_family(folder)
    config = (folder / "other" / "config.py").read_text().replace('name="other"', 'name="ttt_moshi"')
    (folder / "other" / "config.py").write_text(config)
    done = launch(*TTTCFG, "fields", "--family", REFERENCE, cwd=folder, env=env, code=2)
    assert imported_there(folder) == []
    assert "No module named 'gone'" in done.err


def test_what_is_declared_there_is_not_installed(tmp_path: Path) -> None:
    """The metadata of a distribution declares nothing where it is only in the current folder."""
    write_family(tmp_path)
    install(tmp_path, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    done = launch(*TTTCFG, "fields", "--family", "other", cwd=tmp_path, code=2)
    assert "there is no family of this name (there are: ttt_moshi)" in done.err


def test_a_program_that_imports_from_there_still_has_no_entry_points_there(tmp_path: Path) -> None:
    write_family(tmp_path)
    install(tmp_path, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    code = "import sys; assert sys.path[0] == ''; from tttcfg.cli import main; main()"
    assert "there is no family" in python("-c", code, "fields", "--family", "other", cwd=tmp_path, code=2).err


def test_a_module_that_is_named_is_found_there_with_what_it_imports(tmp_path: Path) -> None:
    """Also a module beside it that it imports later, but never in the place of one that is installed."""
    write_family(tmp_path)
    (tmp_path / "helper.py").write_text("FOUND = []\n")
    (tmp_path / "typer.py").write_text("raise ImportError('planted')\n")
    path = tmp_path / "other" / "config.py"
    late = "def check(training):\n    import helper\n    return helper.FOUND\n\n\nFAMILY"
    path.write_text(
        path.read_text().replace("FAMILY", late, 1).replace('"other.schemas"', '"other.schemas", check=check')
    )
    done = launch(*TTTCFG, "resolve", "width=8", "--family", REFERENCE, cwd=tmp_path)
    assert "width: 8" in done.out
