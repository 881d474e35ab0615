"""Under which name a benchmark's result goes, and exactly which data it is of.

A folder of the right layout proves nothing about what is in it, and nobody publishes digests of these data sets. So a
result carries the name that the folder declares in a `dataset.json` beside the audio, `{"name": "..."}`, and without
one it says that the data are not identified. Miniatures declare names of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tttcfg import InputError, Place, Problem

MANIFEST = "dataset.json"


def declared_name(folder: Path, layout: str) -> str:
    """Return the name that `folder` declares for its data, or one that says that it declares none.

    Raises:
        InputError: There is a manifest, and it declares no name.
    """
    manifest = folder / MANIFEST
    try:
        found = json.loads(manifest.read_bytes())
    except FileNotFoundError:
        return f"{layout} layout, data not identified"
    except (OSError, ValueError) as error:
        raise InputError(Problem("syntax", f"is no JSON: {error}", place=Place(str(manifest)))) from None
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(name, str) or not name.strip():
        message = 'declares no name; write {"name": "..."}, or remove the file'
        raise InputError(Problem("missing", message, "name", Place(str(manifest))))
    return name


def digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 of files by name and content, whatever their order and folder."""
    lines = {f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files}
    return f"sha256:{hashlib.sha256(''.join(sorted(lines)).encode()).hexdigest()}"


def digest_in_order(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the contents of files, one after the other, whatever their names."""
    whole = hashlib.sha256()
    for path in files:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{whole.hexdigest()}"


def rank(key: str) -> str:
    """Return by what `key` is sorted where only some of many are taken.

    The SHA-256 of the key: the same everywhere, spread over all kinds, and the first 100 are among the first 2000.
    """
    return hashlib.sha256(key.encode()).hexdigest()
