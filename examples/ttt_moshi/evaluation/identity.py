"""The name of the data in a result, and exactly which data it is of.

The layout of a folder does not prove its content, and no digests of these data sets are published. So a result has the
name that the folder declares in a `dataset.json` beside the audio, `{"name": "..."}`; without one, it has that of the
layout, as not identified. Miniatures declare names of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tttcfg import InputError, Place, Problem

MANIFEST = "dataset.json"


def declared_name(folder: Path, layout: str) -> str:
    """Return the name that `folder` declares for its data, or that of the layout, as not identified.

    Raises:
        InputError: There is a `dataset.json`, and it declares no name.
    """
    manifest = folder / MANIFEST
    try:
        found = json.loads(manifest.read_bytes())
    except FileNotFoundError:
        return f"{layout} layout, data not identified"
    except (OSError, ValueError) as error:
        raise InputError(Problem("syntax", f"is not valid JSON: {error}", place=Place(str(manifest)))) from None
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
    """Return the sort key by which a sample is taken: the SHA-256 of `key`.

    It is the same everywhere and spreads over all kinds, and the first 100 are among the first 2000.
    """
    return hashlib.sha256(key.encode()).hexdigest()
