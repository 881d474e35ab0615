"""Shell completion: commands, options and their values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.process import run
from tests.launcher import python

CODE = "import sys; sys.argv = ['tttcfg']; from tttcfg.cli import main; main()"


def complete(words: str, folder: Path) -> list[str]:
    """Return what bash would offer for the last of `words`."""
    env = {"_TTTCFG_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return python("-c", CODE, cwd=folder, env=env).out.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (
            "tttcfg ",
            ["resolve", "verify", "inspect", "migrate", "scrub", "diff", "fields", "history", "family", "schema"],
        ),
        ("tttcfg re", ["resolve"]),
        ("tttcfg resolve --che", ["--checkpoint", "--checkpoint_dir", "--checkpoint-dir"]),
        ("tttcfg migrate --all", ["--allow-loss"]),
        ("tttcfg resolve --restore ", ["auto", "all", "none"]),
        ("tttcfg history --output ", ["text", "json"]),
        ("tttcfg family ", ["new", "confirm"]),
        ("tttcfg schema ", ["check", "diff", "new", "freeze"]),
    ],
)
def test_completion(words: str, offered: list[str], tmp_path: Path) -> None:
    assert complete(words, tmp_path) == offered


@pytest.mark.parametrize(
    ("shell", "line"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --command")]
)
def test_show_completion(shell: str, line: str, tmp_path: Path) -> None:
    """The script for a shell, which typer otherwise finds among the parent processes, is for the command's own name."""
    result = run("--show-completion", shell, cwd=tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert result.code == 0
    assert f"_TTTCFG_COMPLETE=complete_{shell}" in result.out
    assert line in result.out
