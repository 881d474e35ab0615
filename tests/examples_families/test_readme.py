"""The commands of the two pages print what the pages show."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from subprocess import STDOUT

import pytest

from tests.examples_families.conftest import IN_PLACE, VIDEO
from tests.families import install
from tests.launcher import launch

RUN = ("mkdir ", "tttcfg ")


@pytest.mark.parametrize("home", [IN_PLACE, VIDEO], ids=lambda home: home.name)
def test_the_commands_print_what_the_page_shows(home: Path, tmp_path: Path) -> None:
    """In a copy of the project, installed as pip would have installed it."""
    copy = shutil.copytree(home, tmp_path / home.name)
    package = next(copy.glob("*_config")).name
    install(tmp_path / "site", home.name, "tttcfg.families", {home.name: f"{package}.family:FAMILY"})
    path = f"{copy}:{tmp_path / 'site'}"
    blocks = re.findall(r"```sh\n(.*?)```", (home / "README.md").read_text("utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    printed, promised = "", 0
    for line in lines:
        if line.startswith("# "):
            assert line.removeprefix("# ") in printed
            promised += 1
        elif line.startswith(RUN):
            command = line.replace("tttcfg ", f"{sys.executable} -m tttcfg ", 1) if line.startswith("tttcfg") else line
            env, code = {"PYTHONPATH": path}, 1 if " diff " in line else 0
            printed = launch("sh", "-c", command, cwd=copy, env=env, stderr=STDOUT, code=code).out
    assert promised
