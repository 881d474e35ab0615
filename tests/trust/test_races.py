"""Processes that write in one folder at the same time, with seeded pauses: none fails, nothing is lost or mixed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import tttcfg
from tests.builders import HEAD, document_file
from tests.conftest import some
from tests.trust.faults import together
from tests.trust.test_crashes import contents, litter, lost, migrate, old, other_settings
from tests.verification.bound import changed, sidecar

ROUNDS = 200
"""How many seeds are tried for each; the fast profile has every twentieth."""


def rounds() -> list[int]:
    return some(range(ROUNDS), 20)


@pytest.fixture(autouse=True)
def _counted(record_property: Callable[[str, object], None]) -> None:
    record_property("interleavings of processes", 1)


@pytest.mark.parametrize("seed", rounds())
def test_migrations_of_one_tree(seed: int, tmp_path: Path) -> None:
    folder = old(tmp_path)
    before = contents(tmp_path)
    for end in together([partial(migrate, tmp_path)] * 3, seed):
        assert end.how == "done", end.message
    assert tttcfg.load_document(document_file(folder)).version == HEAD
    assert not lost(before, contents(tmp_path), keeps=True)
    assert sorted(path.name for path in (folder / "consolidated").iterdir()) == [
        "config.json",
        "training_config.json",
        "training_config.json.v3.bak",
    ]
    assert (folder / "consolidated" / "training_config.json.v3.bak").read_bytes() in before.values()


@pytest.mark.parametrize("seed", rounds())
def test_bindings_to_two_configurations(seed: int, tmp_path: Path) -> None:
    """One is bound in the end, and the other's document and the one before are kept."""
    other_settings(tmp_path)
    inside = sidecar(next(tmp_path.rglob("*.safetensors"))).parent
    wanted = [changed(tmp_path / "own.json", {"ttt.base_lr": rate}) for rate in (0.25, 0.125)]
    before = contents(tmp_path)
    for end in together([partial(tttcfg.bind, tmp_path, one, embed=bool(seed % 2)) for one in wanted], seed):
        assert end.how == "done", end.message
    assert tttcfg.verify(tmp_path).binding == "bound"
    assert not lost(before, contents(tmp_path), keeps=True)
    assert not litter(tmp_path)
    found = [tttcfg.load_document(path).training.ttt.base_lr for path in inside.glob("training_config.json*")]
    assert sorted(found) == [0.125, 0.25, 0.5]


@pytest.mark.parametrize("seed", rounds())
def test_reading_while_it_is_bound(seed: int, tmp_path: Path) -> None:
    """Who reads gets the one configuration or the other, with weights that it belongs to."""
    other_settings(tmp_path)
    other = changed(tmp_path / "own.json", {"ttt.base_lr": 0.25})
    own = tttcfg.load_document(tmp_path / "own.json")

    def read() -> None:
        for _ in range(20):
            assert tttcfg.resolve(tmp_path).training.ttt.base_lr in (0.5, 0.25)

    def bind() -> None:
        for one in (other, own):
            tttcfg.bind(tmp_path, one)

    for end in together([read, bind], seed):
        assert end.how == "done", end.message


@pytest.mark.parametrize("seed", rounds())
def test_saving_while_it_is_migrated(seed: int, tmp_path: Path) -> None:
    folder = old(tmp_path)
    new = tttcfg.resolve(overrides={"ttt.base_lr": 0.25}).training
    before = contents(tmp_path)
    document = document_file(folder)
    ends = together([partial(migrate, tmp_path), partial(tttcfg.save_document, document, new)], seed)
    for end in ends:
        assert end.how == "done", end.message
    assert tttcfg.load_document(document).training == new
    assert not litter(tmp_path)
    assert not lost(before, contents(tmp_path), keeps=False)
