"""The families of `examples/flavours` in a folder of their own, on which the schema commands run as processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.builders import ROOT
from tests.cli.process import Result, run

EXAMPLE = ROOT / "examples" / "flavours"
REFERENCES = {name: f"flavours.{name}.config:{name.upper()}" for name in ("base", "speech", "video")}


class Flavours:
    """A copy of the project: a base of three versions, and two families that inherit from it."""

    def __init__(self, root: Path) -> None:
        self.root = Path(shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("__pycache__", ".*")))

    def schema(self, name: str, command: str, *arguments: str, code: int = 0) -> Result:
        """Run `tttcfg schema COMMAND` for one of the families, which has to exit with `code`."""
        done = run("schema", command, *arguments, "--family", REFERENCES[name], cwd=self.root)
        assert done.code == code, done.out + done.err
        return done

    def tttcfg(self, *arguments: str | Path, family: str, code: int = 0) -> Result:
        done = run(*arguments, "--family", REFERENCES[family], cwd=self.root)
        assert done.code == code, done.out + done.err
        return done

    def problems(self, name: str) -> list[dict[str, Any]]:
        """Return what the check of one of the families finds, notes left out."""
        done = run("schema", "check", "--output", "json", "--family", REFERENCES[name], cwd=self.root)
        return [one for one in json.loads(done.out) if one["severity"] == "error"]

    def change(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text("utf-8")
        assert old in text, text
        file.write_text(text.replace(old, new), "utf-8")

    def config(self, name: str, old: str, new: str) -> None:
        """Change the declarations of one of the families."""
        self.change(f"flavours/{name}/config.py", old, new)

    def declare(self, name: str, section: str, declaration: str) -> None:
        """Declare one more field in a section of one of the families."""
        text = (self.root / f"flavours/{name}/config.py").read_text("utf-8")
        start = next(line for line in text.splitlines() if line.startswith(f"class {section}("))
        self.config(name, f"{start}\n", f"{start}\n    {declaration}\n")

    def next_version(self, name: str, *arguments: str) -> None:
        """Write and release a version of one of the families."""
        self.schema(name, "new", "the next version", *arguments)
        self.schema(name, "freeze")

    def step(self, name: str, version: int) -> Path:
        return self.root / "flavours" / name / "migrations" / f"v{version - 1:04d}_to_v{version:04d}.py"

    def read(self, path: str) -> Any:
        return json.loads((self.root / path).read_bytes())
