"""`make bench`: measure tttcfg against what it is built on and against its peers, and print the ratios.

Runs with any Python 3.10 or newer. Installs the checkout and the peers into its own environment first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-bench"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src", "migrations", "schemas")
PEERS = ("hydra-core>=1.3,<1.4", "jsonschema>=4.21", "numpy>=2", "safetensors>=0.8,<0.9")
TORCH = ("torch>=2.6",)
TORCH_PARTS = {"saving", "layers"}
"""What needs torch, which is large, and installed where one of these is asked for."""


def main() -> int:
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=True)
        (HOME / ".gitignore").write_text("*\n", "utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(dir=HOME, prefix="work-") as work:
        checkout = _copied(Path(work) / "checkout")
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        pip += ["-c", str(ROOT / "constraints.txt")]  # a torch without gigabytes of CUDA
        subprocess.run(
            [*pip, str(checkout), *PEERS, *(TORCH if TORCH_PARTS & set(sys.argv) else ())], env=environment, check=True
        )
        subprocess.run([*pip, "--force-reinstall", "--no-deps", str(checkout)], env=environment, check=True)
        suite = [str(python), str(ROOT / "benchmarks" / "suite.py"), "--work", work, *sys.argv[1:]]
        return subprocess.run(suite, env={**environment, "PYTHONHASHSEED": "0"}, check=False).returncode


def _copied(folder: Path) -> Path:
    """Copy what a wheel is built from, so that building leaves nothing in the checkout and takes nothing from it."""
    folder.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, folder / name)
    return folder


if __name__ == "__main__":
    sys.exit(main())
