"""docs/tutorial.md is done from its first line to its last: files, changes, commands, and what they show.

`python -m tests.test_tutorial` writes what commands print now into the page, where nothing is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from subprocess import STDOUT
from typing import NamedTuple

import pytest

from tests.launcher import launch
from tttcfg.formats.toml import tomllib

pytest.importorskip("numpy")
pytest.importorskip("safetensors")
pytest.importorskip("setuptools", minversion="77", reason="what is installed is built by it")
pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(shutil.which("git") is None, reason="changes are applied by git"),
]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
FENCE = re.compile(r"^(?:\*\*(?P<file>[\w./]+)\*\*\n)?```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (?P<line>(?:.*\\\n)*.*)\n(?P<shown>(?:(?!\$ ).*\n)*)", re.MULTILINE)
PROGRAMS = {
    "tttcfg": "import sys; from tttcfg.cli import main; sys.exit(main())",
    "pytest": "import sys, pytest; sys.exit(pytest.main())",
    "pip": "from setuptools.build_meta import build_wheel; build_wheel({site!r})",
}
"""What the commands of the page run, as scripts that pip would have installed; pip itself only builds a wheel."""
INSTALL = "pip install -q -e ."


class Ran(NamedTuple):
    """A command of the page, what the page shows of it, and its output; `place` is where the page shows that."""

    line: str
    shown: str
    code: int
    output: str
    place: int = 0

    @property
    def promised(self) -> int:
        match = re.search(r"# exit (\d)$", self.line)
        return int(match.group(1)) if match else 0

    @property
    def holds(self) -> bool:
        """Whether the page shows the real output; … replaces lines that are left out, or a part of one."""
        shown = [re.escape(line).replace("…", ".+") + r"\n" for line in self.shown.splitlines()]
        lines = [r"(?:.*\n)+" if line == r".+\n" else line for line in shown]
        return self.code == self.promised and re.fullmatch("".join(lines), self.output) is not None


class Reader:
    """A reader who follows the page, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.home, self.site, programs = folder / "home", folder / "site", folder / "bin"
        for one in (self.home, self.site, programs):
            one.mkdir()
        for name, source in PROGRAMS.items():
            script = programs / name
            script.write_text(f"#!{sys.executable}\n{source.format(site=str(self.site))}\n", "utf-8")
            script.chmod(0o755)
        python = programs / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "utf-8")
        python.chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "GIT_CEILING_DIRECTORIES": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        self.run("git init -q . && git config user.name reader && git config user.email reader@example.org")

    def follow(self, page: str) -> Iterator[Ran]:
        """Follow a page in its order, and yield each command with its output."""
        for block in FENCE.finditer(page):
            if block["file"]:
                path = self.home / block["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block["body"], "utf-8")
            elif block["kind"] == "diff":
                code, output = self.run("git apply --unidiff-zero -", block["body"])
                assert code == 0, output + block["body"]
            elif block["kind"] == "console":
                for command in COMMAND.finditer(block["body"]):
                    place = block.start("body") + command.start("shown")
                    yield Ran(command["line"], command["shown"], *self.run(command["line"]), place)
            else:
                assert block["kind"] in ("sh", "python"), block[0]  # what comes before, and what is only shown

    def run(self, line: str, given: str = "") -> tuple[int, str]:
        done = launch("sh", "-c", line, cwd=self.home, env=self.environment, given=given, stderr=STDOUT, code=None)
        if line == INSTALL and done.code == 0:
            self.install()
            return 0, ""
        return done.code, done.out

    def install(self) -> None:
        """Do with the wheel what pip does for `--editable`: take its metadata, and the modules where they are."""
        with zipfile.ZipFile(next(self.site.glob("*.whl"))) as wheel:
            names = wheel.namelist()
            wheel.extractall(self.site, [name for name in names if ".dist-info/" in name])
        files = [path for path in self.home.glob("trainer/**/*") if path.suffix in (".py", ".json")]
        packaged = {path.relative_to(self.home).as_posix() for path in files}
        assert packaged <= set(names), f"would not be installed: {packaged - set(names)}"
        self.environment["PYTHONPATH"] += f":{self.home}"


def section(page: str, heading: str) -> str:
    """Return what follows a heading of the second level, down to the next."""
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def refreshed(page: str, followed: Iterable[Ran]) -> str:
    """Return a page with the current output of its commands, where nothing of that is left out."""
    for command in sorted(followed, key=lambda command: command.place, reverse=True):
        if "…" not in command.shown:
            page = page[: command.place] + command.output + page[command.place + len(command.shown) :]
    return page


def test_everything_that_the_page_shows_is_so(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    followed = list(Reader(tmp_path).follow(page))
    assert len(followed) == len(re.findall(r"^\$ ", page, re.MULTILINE))
    for command in followed:
        assert command.holds, f"$ {command.line}\n{command.output}(exit {command.code})"


def test_what_is_needed_is_listed_first() -> None:
    """What the page's programs import is tttcfg's own requirement, or is in the command that installs; so is pytest."""
    page = PAGE.read_text("utf-8")
    install = re.search(
        r"^pip install '/path/to/tttcfg\[(\w+)\]' (.*)$", section(page, "Before you start"), re.MULTILINE
    )
    assert install is not None
    project = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"][install[1]], *install[2].split()]
    listed = {re.split(r"[<>=.]", one)[0] for one in required}
    code = "\n".join(block["body"] for block in FENCE.finditer(page) if (block["file"] or "").endswith(".py"))
    names = {name.partition(".")[0] for name in re.findall(r"^(?:from|import) (\S+)", code, re.MULTILINE)}
    own = {"tttcfg", "trainer", *sys.stdlib_module_names}
    assert names - own <= listed
    assert {"pytest", "hypothesis", "jsonschema"} <= listed


@pytest.mark.parametrize(
    ("shown", "output", "holds"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("", "a\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", False),
        ("… passed in …\n", "21 passed in 1.5s\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_only_what_is_marked_as_left_out_may_be_left_out(shown: str, output: str, holds: bool) -> None:
    assert Ran("tttcfg", shown, 0, output).holds is holds


def test_a_page_is_refreshed_where_nothing_is_left_out() -> None:
    commands = [Ran("a", "old\n", 0, "new\nnewer\n", 4), Ran("b", "…\n", 0, "new\n", 12)]
    assert refreshed("$ a\nold\n$ b\n…\n", commands) == "$ a\nnew\nnewer\n$ b\n…\n"


def test_an_exit_code_is_promised_or_zero() -> None:
    assert Ran("tttcfg  # exit 1", "", 1, "").holds
    assert not Ran("tttcfg", "", 1, "").holds
    assert not Ran("tttcfg  # exit 1", "", 0, "").holds


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        text = PAGE.read_text("utf-8")
        PAGE.write_text(refreshed(text, Reader(Path(home)).follow(text)), "utf-8")
