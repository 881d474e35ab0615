"""Shell completion: commands, options and their values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.process import environment, run

CODE = "import sys; sys.argv = ['tttcfg']; from tttcfg.cli import main; main()"


def complete(words: str, folder: Path) -> list[str]:
    """Return what bash would offer for the last of `words`."""
    env = environment(_TTTCFG_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1))
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tttcfg ", ["resolve", "verify", "inspect", "migrate", "diff", "fields", "history", "schema"]),
        ("tttcfg re", ["resolve"]),
        ("tttcfg resolve --che", ["--checkpoint", "--checkpoint_dir", "--checkpoint-dir"]),
        ("tttcfg migrate --all", ["--allow-loss"]),
        ("tttcfg resolve --restore ", ["auto", "all", "none"]),
        ("tttcfg history --output ", ["text", "json"]),
        ("tttcfg schema ", ["check", "diff", "new", "freeze"]),
    ],
)
def test_completion(words: str, offered: list[str], tmp_path: Path) -> None:
    assert complete(words, tmp_path) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_show_completion(shell: str, tmp_path: Path) -> None:
    """The script for a shell is shown for the command's own name."""
    result = run("--show-completion", shell, cwd=tmp_path)
    assert result.code == 0
    assert "_TTTCFG_COMPLETE" in result.out
