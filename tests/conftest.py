"""Fixtures that several test modules share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

import tttcfg
from tests.extensions import write_extension
from tttcfg.family import extension as extensions

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SHARED_DATA = ROOT.parent / "shared" / "data"

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
