"""What people see, word for word; `python -m tests.cli.regenerate` writes it anew."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tests.cli.scenes import GOLDEN, OUTPUT, SCENES, TYPER, TYPERS, perform, prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("scenes")
    prepare(made)
    return made


@pytest.mark.parametrize("name", TYPERS)
def test_help(name: str, folder: Path) -> None:
    """The help of each command is as recorded."""
    recorded = TYPER.read_text().strip()
    if importlib.metadata.version("typer") != recorded:
        pytest.skip(f"the help texts were laid out by typer {recorded}")
    assert perform(name, folder) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OUTPUT)
def test_output(name: str, folder: Path) -> None:
    """Results, findings and errors are as recorded."""
    assert perform(name, folder) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_no_golden_text_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SCENES)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_golden_texts_are_plain(path: Path) -> None:
    """No golden text holds an escape code, a folder of the machine that made it, or a traceback."""
    text = path.read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "/tmp" not in text
    assert "Traceback" not in text
