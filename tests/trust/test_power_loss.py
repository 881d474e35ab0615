"""The power fails: what a disk holds at every call of a command, mounted as it would be after the next start.

A file system in a file is copied while the command is stopped. The copy has what was given to the disk until then,
and not what was only in memory; mounting it replays its journal. Only root may mount.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.launcher import launch
from tests.trust.faults import watch
from tests.trust.test_crashes import COMMANDS, contents, is_contradicted, lost, naive, old

MEGABYTES = 8
OPTIONS = "loop,noauto_da_alloc,commit=300"
"""Without what ext4 does for programs that forget to make a file durable, and without its own regular commits."""


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    launch("mount", "-t", "ext4", "-o", OPTIONS, image, place)
    try:
        yield
    finally:
        launch("umount", place)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in the file `disk.img`, mounted."""
    if os.geteuid() != 0 or not (shutil.which("mkfs.ext4") and shutil.which("mount")):
        pytest.skip("mounting a file system takes root, mkfs.ext4 and mount")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    launch("mkfs.ext4", "-q", "-F", image)
    place = tmp_path / "disk"
    place.mkdir()
    if launch("mount", "-t", "ext4", "-o", OPTIONS, image, place, code=None).code:
        pytest.skip("this system does not allow mounting")
    try:
        yield place
    finally:
        launch("umount", place)


def after_power_losses(action: Callable[[Path], object], run: Path, look: Callable[[Path], object]) -> dict[str, bytes]:
    """Run a command that writes in `run`; have the state after a power loss at each call looked at; return the last."""
    disk = run.parent
    image, copy, place = disk.with_suffix(".img"), disk.with_name("copy.img"), disk.with_name("copy")

    def lose(look: Callable[[Path], object]) -> None:
        shutil.copyfile(image, copy)
        with mounted(copy, place):
            look(place / run.name)

    last: list[dict[str, bytes]] = []
    assert watch(partial(action, run), partial(lose, look)).how == "done"
    lose(lambda found: last.append(contents(found)))
    return last[0]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "migrate" else [pytest.mark.slow]) for name in COMMANDS]
)
def test_nothing_is_lost_and_what_is_done_is_durable(
    name: str, disk: Path, record_property: Callable[[str, object], None]
) -> None:
    command, run, bad, tried = COMMANDS[name], disk / "run", [], 0
    command.make(run)
    os.sync()
    before = contents(run)

    def look(found: Path) -> None:
        nonlocal tried
        tried += 1
        bad.extend(lost(before, contents(found), command.keeps))
        bad.extend(["contradicted"] * is_contradicted(found))

    assert after_power_losses(command.run, run, look) == contents(run)
    record_property("disks after a power loss", tried)
    assert not bad
    assert tried >= 10


def test_a_naive_writer_is_caught(disk: Path) -> None:
    run = disk / "run"
    old(run)
    os.sync()
    before = contents(run)
    after = after_power_losses(naive, run, lambda _: None)
    assert after != contents(run) or lost(before, after, keeps=False)
