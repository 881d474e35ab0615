"""Every public function that takes a path: whatever the path is, an error of ours, and nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import tttcfg
from tests.builders import MODEL, ROOT, write_json
from tests.launcher import python
from tttcfg.errors import TttcfgError

DOORS: dict[str, Callable[[str], object]] = {
    "find_checkpoint": tttcfg.find_checkpoint,
    "load_document": tttcfg.load_document,
    "read_model_config": tttcfg.read_model_config,
    "inspect_weights": tttcfg.inspect_weights,
    "verify": tttcfg.verify,
    "bind": tttcfg.bind,
    "adopt": tttcfg.adopt,
    "canonicalize_header": tttcfg.canonicalize_header,
    "save_document": lambda path: tttcfg.save_document(path, tttcfg.TrainingArgs()),
    "save_document inside": lambda path: tttcfg.save_document(f"{path}/training_config.json", tttcfg.TrainingArgs()),
    "resolve a checkpoint": tttcfg.resolve,
    "resolve a file": lambda path: tttcfg.resolve(config=path),
    "resolve a model": lambda path: tttcfg.resolve(model_config=path),
    "override from a file": lambda path: tttcfg.resolve(overrides=[f"ttt.layers=@{path}"]),
}
NAMES = {
    "a null character": "a\0b",
    "too long a name": "a" * 300,
    "too long a path": "a/" * 3000,
    "below a file": "file/below",
    "a link to itself": "loop",
    "below a link to itself": "loop/below",
    "a lone surrogate": "\ud800",
    "not there": "none/below",
    "a pipe": "pipe",
    "below a pipe": "pipe/below",
    "a device": "/dev/full",
    "a URL of no protocol": "x\0://y",
    "a URL with a null character": "file:///a\0b",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("door", DOORS)
def test_an_odd_path_is_bad_input(door: str, name: str, folder: Path) -> None:
    before = sorted(os.listdir(folder))
    with pytest.raises(TttcfgError):
        DOORS[door](NAMES[name])
    assert sorted(os.listdir(folder)) == before


AS_ANOTHER_USER = """
import os, sys
from tests.test_odd_paths import DOORS
from tttcfg.errors import TttcfgError
import tttcfg.formats.yaml, tttcfg.formats.json, tttcfg.verification.bind, tttcfg.safetensors.metadata
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for path in ("closed", "closed/inside", "closed/training_config.json", "readonly/model.safetensors"):
    for name, door in DOORS.items():
        try:
            door(path)
        except TttcfgError:
            continue
        except OSError as error:
            print(name, path, repr(error))
"""


def test_without_permission(tmp_path: Path) -> None:
    """What may not be entered, listed or read is an error of ours, never a bare PermissionError."""
    closed = write_json(tmp_path / "closed" / "training_config.json", MODEL).parent
    write_json(tmp_path / "readonly" / "model.safetensors", MODEL).chmod(0)
    tmp_path.chmod(0o755)
    closed.chmod(0)
    try:
        assert python("-c", AS_ANOTHER_USER, tmp_path, cwd=ROOT).out == ""
    finally:
        closed.chmod(0o755)
