"""The manifest: which files are as they were written, and which were changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tttcfg.nn.checkpoints.folders import RunFolder
from tttcfg.nn.checkpoints.manifests import MANIFEST_NAME, is_edited

CONFIG = {"dim": 64, "scale": 1.0, "rate": 1e-5, "name": "Käfer", "delays": [0, 0, 1]}


def written(parent: Path) -> Path:
    """Return a file of a checkpoint."""
    with RunFolder(parent).writing(1) as (inside, put):
        (inside / "a.json").write_bytes(json.dumps(CONFIG, indent=2).encode() + b"\n")
        return put() / "consolidated" / "a.json"


@pytest.mark.parametrize("data", [b"", b"[]", b'{"files": ["a.json"]}', b'{"files": {"a.json": 1}}', b"[" * 100_000])
def test_a_manifest_that_is_none_claims_nothing(data: bytes, tmp_path: Path) -> None:
    file = written(tmp_path)
    file.with_name(MANIFEST_NAME).write_bytes(data)
    assert not RunFolder(tmp_path).is_own(file.parent.parent)
    assert not is_edited(file)


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(CONFIG).encode(),
        json.dumps(CONFIG, indent="\t", sort_keys=True, ensure_ascii=False).encode(),
        json.dumps(CONFIG).replace("1.0", "1").replace("1e-05", "0.00001").encode(),
    ],
    ids=["compact", "sorted", "numbers"],
)
def test_a_file_in_another_layout_is_not_edited(data: bytes, tmp_path: Path) -> None:
    file = written(tmp_path)
    assert data != file.read_bytes()
    file.write_bytes(data)
    assert not is_edited(file)


@pytest.mark.parametrize("data", [json.dumps({**CONFIG, "dim": 65}).encode(), b"[]", b"{", b"\xff", b"[" * 100_000])
def test_an_edited_file_is_noticed_in_copies_too(data: bytes, tmp_path: Path) -> None:
    file = written(tmp_path)
    copy = Path(shutil.copytree(file.parent, tmp_path / "copy")) / file.name
    assert not is_edited(copy)
    copy.write_bytes(data)
    assert is_edited(copy)
    assert not is_edited(file)
