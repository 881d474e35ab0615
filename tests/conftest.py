"""Fixtures that several test modules share."""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

import tttcfg
from tests import launcher
from tests.extensions import write_extension
from tttcfg.family import extension as extensions

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SHARED_DATA = ROOT.parent / "shared" / "data"

MEMORY_MB = 600
"""The most memory that one process of tests may take for itself, as several run at once: 400 to 500 MB were measured.

The pages of libraries that it has mapped, 150 to 230 MB, are not counted: all processes share them.
"""
# Torch keeps what it compiles for each shape of a product in bfloat16, a thousand of them: 130 MB in `tests/nn`.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "8")
# The C library keeps freed blocks, the larger the more were freed; with a fixed M_MMAP_THRESHOLD it returns them.
if hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(-3, 256 << 10)

# The same examples on every run and on every machine, however busy it is. Nothing is shrunk: the documents
# are long, and making a failing one small takes minutes; `--hypothesis-profile=default` does it.
settings.register_profile(
    "tttcfg",
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("tttcfg")


def some(cases: Iterable[Any], one_of: int, label: Callable[[Any], str] = str) -> list[Any]:
    """Return cases for `parametrize`: every `one_of`-th is of the fast profile, the rest is for `make slow`."""
    return [
        pytest.param(case, id=label(case), marks=[] if index % one_of == 0 else [pytest.mark.slow])
        for index, case in enumerate(cases)
    ]


def pytest_configure(config: pytest.Config) -> None:
    """Have Hypothesis make its tables of characters in a process of its own: once in a checkout, it takes 200 MB."""
    if not hasattr(config, "workerinput"):
        launcher.python("-c", "from hypothesis.strategies import text; text().validate()", cwd=Path.cwd())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums of what tests recorded by `record_property`: how many faults, races and inputs were tried."""
    figures: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                figures.update(dict(report.user_properties))
    if figures:
        terminalreporter.section("figures")
        for name, value in sorted(figures.items()):
            terminalreporter.line(f"{name}: {value:,}")


@pytest.fixture(scope="session", autouse=True)
def _memory() -> Iterator[None]:
    """Fail, after its last test, a process that took too much memory; torch with CUDA and the real Moshi take it."""
    yield
    torch = sys.modules.get("torch")
    if sys.platform == "linux" and "moshi" not in sys.modules and not (torch and torch.version.cuda):
        status = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/self/status").read_text("ascii")))
        most = (int(status["VmHWM"]) - int(status["RssFile"])) >> 10
        assert most < MEMORY_MB, f"this process of tests took {most} MB of memory; {MEMORY_MB} MB are allowed"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real files beside the repository; without it the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real files in {SHARED_DATA.name}, beside the repository")
    return SHARED_DATA


@pytest.fixture
def golden() -> Any:
    """Read a golden document by name, afresh every time."""

    def read(name: str) -> Any:
        return json.loads((GOLDEN / f"{name}.json").read_bytes())

    return read


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("noise")
    write_extension(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield import_module("noise.config")


@pytest.fixture
def noise(package: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module of an extension that is registered for one test."""
    monkeypatch.setattr(extensions, "_REGISTERED", {})
    tttcfg.register(package.EXTENSION)
    return package
