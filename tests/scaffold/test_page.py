"""docs/adopt.md on a family of one's own is followed in the miniature, command by command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.builders import ROOT
from tests.test_tutorial import Reader, section

pytest.importorskip("hypothesis")
pytestmark = [pytest.mark.program, pytest.mark.skipif(shutil.which("git") is None, reason="a reader has a repository")]


def test_everything_that_the_page_shows_is_so(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "adopt.md").read_text("utf-8")
    reader = Reader(tmp_path)
    shutil.copytree(ROOT / "examples" / "adopting", reader.home, dirs_exist_ok=True)
    followed = list(reader.follow(section(page, "A family from your dataclass")))
    assert len(followed) == 7
    for command in followed:
        assert command.holds, f"$ {command.line}\n{command.output}(exit {command.code})"
