"""What the two pages say that commands say, they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.process import environment
from tests.examples_families.conftest import IN_PLACE, VIDEO
from tests.families import install

RUN = ("mkdir ", "tttcfg ")


@pytest.mark.parametrize("home", [IN_PLACE, VIDEO], ids=lambda home: home.name)
def test_the_commands_say_what_the_page_says(home: Path, tmp_path: Path) -> None:
    """In a copy of the project, installed as pip would have installed it."""
    copy = shutil.copytree(home, tmp_path / home.name)
    package = next(copy.glob("*_config")).name
    install(tmp_path / "site", home.name, "tttcfg.families", {home.name: f"{package}.family:FAMILY"})
    path = f"{copy}:{tmp_path / 'site'}"
    blocks = re.findall(r"```sh\n(.*?)```", (home / "README.md").read_text("utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    said, promised = "", 0
    for line in lines:
        if line.startswith("# "):
            assert line.removeprefix("# ") in said
            promised += 1
        elif line.startswith(RUN):
            command = line.replace("tttcfg ", f"{sys.executable} -m tttcfg ", 1) if line.startswith("tttcfg") else line
            done = subprocess.run(
                command,
                shell=True,
                cwd=copy,
                env=environment(PYTHONPATH=path),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            said = done.stdout
            assert done.returncode == (1 if " diff " in line else 0), said
    assert promised
