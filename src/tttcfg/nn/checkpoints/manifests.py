"""The manifest of a checkpoint: which start of which run saved it, its files, and what was wrong with the model.

Of every file it has the size and a digest of a sample of its bytes, as weights are too large to be read whole; of JSON
files a digest of their values as well, which another layout of the same values leaves as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
from pathlib import Path
from typing import Any

from tttcfg.files.storage import read_bytes
from tttcfg.safetensors.header import HEADER_CAP, LENGTH_BYTES

MANIFEST_NAME = "manifest.json"
DEFECT, DOUBT = "defect", "doubt"
"""The keys of what was wrong with the model's parameters, and of what was odd beside them."""
_CAP = 1 << 20
START_BYTES, BLOCKS, BLOCK_BYTES = 1 << 20, 64, 1 << 14
"""What is compared of a file: its first MiB and the header of safetensors; beyond, blocks of 16 KiB spread evenly."""


def read_manifest(inside: Path) -> dict[str, Any]:
    """Return the manifest in a folder; empty where there is none."""
    try:
        found = json.loads(read_bytes(inside / MANIFEST_NAME, _CAP))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}


def defect(inside: Path) -> str:
    """Return what was wrong with the parameters when the checkpoint in `inside` was saved; empty if nothing was."""
    return _text(inside, DEFECT)


def doubt(inside: Path) -> str:
    """Return what was odd about a model whose parameters were sound, and may have been meant; empty if nothing was."""
    return _text(inside, DOUBT)


def _text(inside: Path, key: str) -> str:
    found = read_manifest(inside).get(key, "")
    return found if isinstance(found, str) else ""


def file_entry(path: Path) -> dict[str, Any]:
    """Return what a manifest records of a file."""
    entry: dict[str, Any] = {"size": path.lstat().st_size, "sample": _sample_digest(path)}
    return {**entry, "sha256": _values_digest(path)} if path.suffix == ".json" else entry


def is_unchanged(path: Path, entry: object) -> bool:
    """Whether a file is there with the size and the sampled bytes that a manifest records of it.

    A change of the same size between the sampled blocks of a file above a MiB is not noticed. When a file was written,
    and by whom, does not count.
    """
    try:
        found = path.lstat()
        if not isinstance(entry, dict) or not stat.S_ISREG(found.st_mode) or entry.get("size") != found.st_size:
            return False
        return bool(entry.get("sample") == _sample_digest(path))
    except FileNotFoundError:
        return False


def is_edited(path: Path) -> bool:
    """Whether a JSON file of a checkpoint, or of a copy of one, has other values than were saved.

    Another layout of the same values is no edit. Without a manifest nothing is known, and it is not edited.
    """
    entry = read_manifest(path.parent).get("files", {}).get(path.name)
    return isinstance(entry, dict) and entry.get("sha256") != _values_digest(path)


def _sample_digest(path: Path) -> str:
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        start = file.read(START_BYTES)
        digest.update(start)
        if path.suffix == ".safetensors":
            header = LENGTH_BYTES + min(int.from_bytes(start[:LENGTH_BYTES], "little"), HEADER_CAP)
            digest.update(file.read(max(0, header - START_BYTES)))
        for number in range(BLOCKS) if size > START_BYTES else ():
            file.seek(max(0, START_BYTES + (size - START_BYTES - BLOCK_BYTES) * number // (BLOCKS - 1)))
            digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def _values_digest(path: Path) -> str:
    data = path.read_bytes()
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON counts byte for byte
        data = json.dumps(json.loads(data, parse_float=_number), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _number(text: str) -> float:
    """Return a number so that 1.0 is what 1 is: programs that write JSON anew replace one by the other."""
    value = float(text)
    return int(value) if value.is_integer() else value
