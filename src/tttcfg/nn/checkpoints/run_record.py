"""Which checkpoints of a folder are a run's own: every start of a run has a random identity.

A start writes its identity into the manifest of every checkpoint that it saves. Its record, `run_IDENTITY.json` beside
the checkpoints, lists the earlier starts whose checkpoints belong to the run as well, and replaces theirs. A copy of
the whole folder has the record, so the run continues there with what was copied. A copy of a single checkpoint has
none, and after a copy of the folder both sides have new starts, so that neither owns what the other saves.
Where a folder has several records of which none continues all others, as after copying two runs into each other, the
next start owns nothing of what is there, and its own record replaces them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg.errors import InputError
from tttcfg.files.storage import read_bytes
from tttcfg.version import __version__

_RECORD = re.compile(r"run_([0-9a-f]{32})\.json")
_CAP = 1 << 24


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
            values = json.loads(read_bytes(path, _CAP))
        yield RunIdentity(path.stem.removeprefix("run_"), _texts(values, "owned"), _texts(values, "replaced"))


def _texts(values: Any, key: str) -> frozenset[str]:
    found = values.get(key) if isinstance(values, dict) else None
    return frozenset(one for one in found if isinstance(one, str)) if isinstance(found, list) else frozenset()
