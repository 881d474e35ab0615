"""Write what every case of the corpus ends with: `python -m tests.hostile.regenerate`."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from tests.hostile.corpus import build, cases
from tests.hostile.outcome import GOLDEN, outcome


def main() -> None:
    found = {}
    for name, case in cases().items():
        with tempfile.TemporaryDirectory() as folder:
            build(case, Path(folder))
            os.chdir(folder)
            found[name] = outcome(case.arguments)
            os.chdir("/")
    lines = (f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(found.items()))
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    print(len(found), "cases")  # noqa: T201


if __name__ == "__main__":
    main()
