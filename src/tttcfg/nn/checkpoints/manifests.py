"""Which checkpoints of a folder are a run's own: every start of a run has a random identity.

A start writes its identity into the manifest of every checkpoint that it saves. Its record, `run_IDENTITY.json` beside
the checkpoints, lists the earlier starts whose checkpoints belong to the run as well, and replaces theirs. A copy of
the whole folder has the record, so the run continues there with what was copied. A copy of a single checkpoint has
none. Copy the folder of a run that is not running: the starts after that are new on both sides, so that neither owns
what the other saves; what a running start saves later would count as the copy's own as well.
Where a folder has several records of which none continues all others, as after copying two runs into each other, the
next start owns nothing of what is there, and its own record replaces them.

A manifest also has the files of its checkpoint, and what was wrong with the model. Of every file it has the size and
a digest of a sample of its bytes, as weights are too large to be read whole; of JSON files a digest of their values as
well, which another layout of the same values leaves as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg.errors import InputError
from tttcfg.files.open_folder import OpenFile, inside
from tttcfg.files.storage import opened, read_bytes
from tttcfg.safetensors.header import HEADER_CAP, LENGTH_BYTES
from tttcfg.version import __version__

MANIFEST_NAME = "manifest.json"
DEFECT, DOUBT = "defect", "doubt"
"""The keys of what was wrong with the model's parameters, and of what was odd beside them."""
MANIFEST_CAP = 1 << 20
_RECORD = re.compile(r"run_([0-9a-f]{32})\.json")
_RECORD_CAP = 1 << 24
START_BYTES, BLOCKS, BLOCK_BYTES = 1 << 20, 64, 1 << 14
"""What is compared of a file: its first MiB and the header of safetensors; beyond, blocks of 16 KiB spread evenly."""


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the manifest in a folder; empty where there is none."""
    try:
        found = json.loads(read_bytes(inside(folder, MANIFEST_NAME), MANIFEST_CAP))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}


def is_known(folder: Path) -> bool:
    """Whether it is known what manifest is in a folder, or that there is none: whether it can be read at all."""
    try:
        read_bytes(folder / MANIFEST_NAME, MANIFEST_CAP)
    except InputError as error:
        return error.problems[0].code == "not_found"
    return True


def defect_and_doubt(folder: str | os.PathLike[str]) -> tuple[str, str]:
    """Return what was wrong with the parameters when the checkpoint in `folder` was saved, and what was odd.

    Each is empty if nothing was. What was odd about a model whose parameters were sound may have been meant.
    """
    found = read_manifest(folder)
    defect, doubt = (text if isinstance(text := found.get(key), str) else "" for key in (DEFECT, DOUBT))
    return defect, doubt


def file_entry(path: Path) -> dict[str, Any]:
    """Return what a manifest records of a file."""
    entry: dict[str, Any] = {"size": path.lstat().st_size, "sample": _sample_digest(path)}
    return {**entry, "sha256": _values_digest(path.read_bytes())} if path.suffix == ".json" else entry


def is_unchanged(path: Path, entry: object) -> bool:
    """Whether a file is there with the size and the sampled bytes that a manifest records of it.

    A change of the same size between the sampled blocks of a file above a MiB is not noticed. When a file was written,
    and by whom, does not count. A file that cannot be read counts as changed.
    """
    try:
        found = path.lstat()
        if not isinstance(entry, dict) or not stat.S_ISREG(found.st_mode) or entry.get("size") != found.st_size:
            return False
        return bool(entry.get("sample") == _sample_digest(path))
    except OSError:
        return False


def is_edited(path: str) -> bool:
    """Whether a JSON file of a checkpoint, or of a copy of one, has other values than were saved.

    Another layout of the same values is no edit. Without a manifest nothing is known, and it is not edited.
    """
    folder = path.folder if isinstance(path, OpenFile) else os.path.dirname(path)
    entry = read_manifest(folder).get("files", {}).get(os.path.basename(path))
    if not isinstance(entry, dict):
        return False
    with opened(path) as (file, _):
        return bool(entry.get("sha256") != _values_digest(file.read()))


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


def _values_digest(data: bytes) -> str:
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON counts byte for byte
        data = json.dumps(json.loads(data, parse_float=_number), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _number(text: str) -> float:
    """Return a number so that 1.0 is what 1 is: programs that rewrite JSON replace one by the other."""
    value = float(text)
    return int(value) if value.is_integer() else value


class RunIdentity(NamedTuple):
    """One start of a run, as its record has it.

    Attributes:
        identity: Of this start.
        owned: The starts whose checkpoints are the run's own, this one among them.
        replaced: The starts of other runs whose records this one replaces; their checkpoints are not its own.
    """

    identity: str
    owned: frozenset[str]
    replaced: frozenset[str]

    @property
    def name(self) -> str:
        """The name of the record's file."""
        return f"run_{self.identity}.json"

    @property
    def values(self) -> dict[str, Any]:
        """What the record's file holds, as JSON values."""
        owned, replaced = sorted(self.owned), sorted(self.replaced)
        return {"written_by": f"tttcfg {__version__}", "owned": owned, "replaced": replaced}

    def continues(self, other: RunIdentity) -> bool:
        """Whether the record of another start is to be removed once this one's is written."""
        return other.identity != self.identity and other.identity in self.owned | self.replaced


def identity_in(folder: Path) -> RunIdentity:
    """Return the identity of a new start of the run whose checkpoints are in `folder`; nothing is written."""
    records = list(_records(folder))
    newest = [one for one in records if not any(other.continues(one) for other in records)]
    owned: frozenset[str] = newest[0].owned if len(newest) == 1 else frozenset()
    known = {identity for one in records for identity in (one.identity, *one.owned, *one.replaced)}
    identity = secrets.token_hex(16)
    return RunIdentity(identity, owned | {identity}, frozenset(known - owned))


def record_paths(folder: Path) -> list[Path]:
    """Return the files in `folder` that have the name of a record."""
    with contextlib.suppress(OSError):
        return [folder / name for name in sorted(os.listdir(folder)) if _RECORD.fullmatch(name)]
    return []


def remove_continued(folder: Path, current: RunIdentity) -> None:
    """Remove the records that `current`, whose record was written, continues or replaces."""
    for record in filter(current.continues, list(_records(folder))):
        with contextlib.suppress(OSError):
            (folder / record.name).unlink()


def _records(folder: Path) -> Iterator[RunIdentity]:
    """Yield all records; one that cannot be read owns nothing, and is continued by none that does not name it."""
    for path in record_paths(folder):
        values: Any = None
        with contextlib.suppress(InputError, ValueError, RecursionError):
            values = json.loads(read_bytes(path, _RECORD_CAP))
        yield RunIdentity(path.stem.removeprefix("run_"), _texts(values, "owned"), _texts(values, "replaced"))


def _texts(values: Any, key: str) -> frozenset[str]:
    found = values.get(key) if isinstance(values, dict) else None
    return frozenset(one for one in found if isinstance(one, str)) if isinstance(found, list) else frozenset()
