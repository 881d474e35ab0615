"""The manifest of a checkpoint: what was written in its folder, by which changes since are seen, and what was wrong.

It tells size and time of each file, and of JSON files a digest of what they say: weights are too large for one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tttcfg.files.storage import read_bytes

MANIFEST_NAME = "manifest.json"
DEFECT, DOUBT = "defect", "doubt"
"""The keys of what was wrong with the model's parameters, and of what was odd beside them."""
_CAP = 1 << 20
_TIME_UNITS = (1, 100, 1_000, 1_000_000_000, 2_000_000_000)
"""Nanoseconds between the times that a file system tells apart, here or where a folder was moved to."""


def written_in(inside: Path) -> dict[str, Any]:
    """Return what the manifest in a folder says; empty where there is none."""
    try:
        found = json.loads(read_bytes(inside / MANIFEST_NAME, _CAP))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}


def defect(inside: Path) -> str:
    """Return what was wrong with the parameters when the checkpoint in `inside` was saved; empty if nothing was."""
    return _said(inside, DEFECT)


def doubt(inside: Path) -> str:
    """Return what was odd about a model whose parameters were sound, and may have been meant; empty if nothing was."""
    return _said(inside, DOUBT)


def _said(inside: Path, key: str) -> str:
    said = written_in(inside).get(key, "")
    return said if isinstance(said, str) else ""


def told(path: Path) -> dict[str, Any]:
    """Return what a manifest says of a file."""
    found = path.lstat()
    known: dict[str, Any] = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    return {**known, "sha256": _digest(path)} if path.suffix == ".json" else known


def is_as_written(path: Path, said: object) -> bool:
    """Whether a file has the size and time that a manifest says, or is gone.

    The time may have lost digits: some file systems keep fewer of them than the memory of the machine that wrote it.
    """
    if not os.path.lexists(path):
        return True
    found = path.lstat()
    if not isinstance(said, dict) or said.get("size") != found.st_size or type(said.get("mtime_ns")) is not int:
        return False
    return found.st_mtime_ns in {said["mtime_ns"] // unit * unit for unit in _TIME_UNITS}


def is_edited(path: Path) -> bool:
    """Whether a JSON file of a checkpoint, or of a copy of one, says what was not saved; no manifest, no telling.

    Written anew in another layout it says the same.
    """
    said = written_in(path.parent).get("files", {}).get(path.name)
    return isinstance(said, dict) and said.get("sha256") != _digest(path)


def _digest(path: Path) -> str:
    data = path.read_bytes()
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is as it stands
        data = json.dumps(json.loads(data, parse_float=_number), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _number(text: str) -> float:
    """Return a number so that 1.0 is what 1 is: programs that write JSON anew take one for the other."""
    value = float(text)
    return int(value) if value.is_integer() else value
