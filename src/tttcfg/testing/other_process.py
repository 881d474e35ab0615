"""Upgrades in a process with another clock, another environment and another hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import body_of
from tttcfg.schema.paths import Tree

_PROGRAM = """
import datetime, json, sys, time
given = json.load(sys.stdin)
sys.path[:] = given["path"]
from importlib import import_module
from tttcfg.migration.chain import Chain
from tttcfg.testing.other_process import upgraded
import_module(given["package"])
class Date(datetime.date):
    @classmethod
    def today(cls): return cls(2077, 7, 7)
class Moment(datetime.datetime):
    @classmethod
    def now(cls, tz=None): return cls(2077, 7, 7, 7, tzinfo=tz)
    @classmethod
    def utcnow(cls): return cls(2077, 7, 7, 7)
    @classmethod
    def today(cls): return cls(2077, 7, 7, 7)
datetime.date, datetime.datetime = Date, Moment
time.time, time.time_ns = (lambda: 3392694000.0), (lambda: 3392694000 * 10**9)
chain = Chain([import_module(f"{given['package']}.{name}").migration for name in given["steps"]])
documents = given["documents"].items()
print(json.dumps({version: [upgraded(one, int(version), chain) for one in ones] for version, ones in documents}))
"""


def upgraded_in_other_process(documents: Mapping[int, Sequence[Tree]], family: Family) -> dict[int, list[str]]:
    """Return the result of `upgraded`, from a process with another environment, for the documents of each version."""
    given = {
        "path": [os.path.abspath(folder) for folder in sys.path],
        "package": family.migrations,
        "steps": list(family.steps),
        "documents": documents,
    }
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if key in os.environ}
    other = {**kept, "PYTHONHASHSEED": "7", "TZ": "Pacific/Kiritimati", "USER": "other", "HOME": os.sep}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _PROGRAM]
        done = subprocess.run(
            command, input=json.dumps(given), env=other, cwd=folder, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, f"the migrations do not run in another process: {done.stderr[-2000:]}"
    return {int(version): texts for version, texts in json.loads(done.stdout.splitlines()[-1]).items()}


def upgraded(document: Tree, version: int, chain: Chain) -> str:
    """Return the upgraded document and the record of the upgrade as JSON text; the order of keys is kept."""
    record = Record()
    return json.dumps([chain.up(body_of(document), version, record), record.saved()])
