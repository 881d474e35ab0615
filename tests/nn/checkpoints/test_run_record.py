"""Whose a checkpoint is: the run's that saved it, wherever it was copied, and as long as it is unchanged."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tttcfg.nn.checkpoints.folders import RunFolder, checkpoint_name
from tttcfg.nn.checkpoints.manifests import (
    BLOCK_BYTES,
    MANIFEST_NAME,
    START_BYTES,
    file_entry,
    is_unchanged,
    record_paths,
)

RUNS, STEPS = 3, 4


def saved(run: RunFolder, step: int) -> Path:
    with run.writing(step) as (inside, put):
        (inside / "lora.safetensors").write_bytes(b"tensors of step %d" % step)
        (inside / "config.json").write_bytes(b'{"step": %d}' % step)
        return put()


def copied(source: Path, target: Path) -> Path:
    """Copy a folder as another file system would have it: with inodes and times of its own."""
    return Path(shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True))


def own(folder: Path) -> list[str]:
    """Return the checkpoints that the next start of a run owns."""
    run = RunFolder(folder)
    return sorted(name for name in os.listdir(folder) if run.is_own(folder / name))


def test_every_start_of_a_run_owns_what_the_earlier_ones_saved(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        saved(RunFolder(tmp_path), step)
    assert own(tmp_path) == [checkpoint_name(step) for step in (1, 2, 3)]
    assert len(record_paths(tmp_path)) == 1


def test_a_copy_of_the_whole_folder_is_the_run_and_a_copy_of_one_checkpoint_is_not(tmp_path: Path) -> None:
    first = saved(RunFolder(tmp_path / "first"), 1)
    assert own(copied(tmp_path / "first", tmp_path / "whole")) == [first.name]
    copied(first, tmp_path / "one" / first.name)
    assert own(tmp_path / "one") == []


def test_a_run_and_its_copy_do_not_own_what_the_other_saves_later(tmp_path: Path) -> None:
    saved(RunFolder(tmp_path / "a"), 1)
    copied(tmp_path / "a", tmp_path / "b")
    copied(saved(RunFolder(tmp_path / "b"), 2), tmp_path / "a" / checkpoint_name(2))
    copied(saved(RunFolder(tmp_path / "a"), 3), tmp_path / "b" / checkpoint_name(3))
    assert own(tmp_path / "a") == [checkpoint_name(1), checkpoint_name(3)]
    assert own(tmp_path / "b") == [checkpoint_name(1), checkpoint_name(2)]


def test_two_runs_that_were_copied_into_each_other_keep_everything_until_one_goes_on(tmp_path: Path) -> None:
    running = RunFolder(tmp_path / "a")
    saved(running, 1)
    saved(RunFolder(tmp_path / "b"), 2)
    copied(tmp_path / "b", tmp_path / "a")
    assert own(tmp_path / "a") == []
    assert running.is_own(tmp_path / "a" / checkpoint_name(1))  # it has been running all the while
    assert not running.is_own(tmp_path / "a" / checkpoint_name(2))
    saved(RunFolder(tmp_path / "a"), 3)
    assert own(tmp_path / "a") == [checkpoint_name(3)]
    assert len(record_paths(tmp_path / "a")) == 1


def test_a_run_that_went_on_elsewhere_and_was_copied_back_is_one_run(tmp_path: Path) -> None:
    saved(RunFolder(tmp_path / "a"), 1)
    copied(tmp_path / "a", tmp_path / "b")
    saved(RunFolder(tmp_path / "b"), 2)
    copied(tmp_path / "b", tmp_path / "a")
    assert own(tmp_path / "a") == [checkpoint_name(1), checkpoint_name(2)]


@pytest.mark.parametrize("data", [None, b"", b"[]", b"[" * 100_000, b'{"owned": 1}', b'{"owned": [1]}'])
def test_without_a_sound_record_nothing_is_owned_and_the_next_one_counts(data: bytes | None, tmp_path: Path) -> None:
    saved(RunFolder(tmp_path), 1)
    (record,) = record_paths(tmp_path)
    if data is None:
        record.unlink()
    else:
        record.write_bytes(data)
    assert own(tmp_path) == []
    saved(RunFolder(tmp_path), 2)
    assert own(tmp_path) == [checkpoint_name(2)]


def test_a_checkpoint_whose_manifest_names_no_run_is_not_pruned(tmp_path: Path) -> None:
    """As of versions that went by inodes and times."""
    manifest = saved(RunFolder(tmp_path), 1) / "consolidated" / MANIFEST_NAME
    values = json.loads(manifest.read_bytes())
    del values["run"]
    manifest.write_text(json.dumps({**values, "inode": manifest.parent.parent.stat().st_ino}))
    run = RunFolder(tmp_path)
    saved(run, 2)
    run.prune(2, 1)
    assert manifest.exists()


@pytest.mark.parametrize("position", [0, START_BYTES - 1, START_BYTES, 2 * START_BYTES - BLOCK_BYTES, -1])
def test_a_change_in_what_is_sampled_is_noticed(position: int, tmp_path: Path) -> None:
    path, data = tmp_path / "lora.safetensors", bytearray(2 * START_BYTES)
    path.write_bytes(data)
    entry = file_entry(path)
    assert is_unchanged(path, entry)
    data[position] = 1
    path.write_bytes(data)
    assert not is_unchanged(path, entry)


def test_a_header_is_compared_as_a_whole(tmp_path: Path) -> None:
    """Names of tensors that changed between two blocks of a large header."""
    path, size = tmp_path / "lora.safetensors", 3 * START_BYTES

    def put(position: int, data: bytes) -> None:
        with path.open("r+b") as file:
            file.seek(position)
            file.write(data)

    path.write_bytes(size.to_bytes(8, "little"))
    os.truncate(path, 100 * START_BYTES)
    entry, inside = file_entry(path), 2 * START_BYTES
    put(inside, b"\1")
    assert not is_unchanged(path, entry)
    put(inside, b"\0")
    put(size + 8 + START_BYTES, b"\1")  # between two blocks of what follows
    assert is_unchanged(path, entry)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["start", "copy run"]), st.integers(0, RUNS - 1), st.integers(0, RUNS - 1)),
        st.tuples(st.just("save"), st.integers(0, RUNS - 1), st.integers(1, STEPS)),
        st.tuples(
            st.sampled_from(["copy checkpoint", "rename", "edit", "touch", "add", "remove"]),
            st.integers(0, RUNS - 1),
            st.integers(1, STEPS),
            st.integers(0, RUNS - 1),
            st.integers(1, STEPS),
        ),
    ),
    max_size=14,
)


class World:
    """Runs in folders, and of every checkpoint which start saved it under which name, and whether it was changed."""

    def __init__(self, folder: Path) -> None:
        self.folders = [folder / str(number) for number in range(RUNS)]
        self.runs = [RunFolder(path) for path in self.folders]
        self.changed = [set[str]() for _ in range(RUNS)]
        self.writer = [dict[str, tuple[str, str]]() for _ in range(RUNS)]

    def start(self, run: int, _: int = 0) -> None:
        self.runs[run] = RunFolder(self.folders[run])

    def save(self, run: int, step: int) -> None:
        name = saved(self.runs[run], step).name
        self.writer[run][name] = self.runs[run].identity.identity, name
        self.changed[run].discard(name)

    def copy_run(self, source: int, target: int) -> None:
        """Copy a run to where nothing is, and go on there."""
        if source != target and self.folders[source].exists():
            shutil.rmtree(self.folders[target], ignore_errors=True)
            copied(self.folders[source], self.folders[target])
            self.writer[target], self.changed[target] = dict(self.writer[source]), set(self.changed[source])
            self.start(target)

    def copy_checkpoint(self, source: int, step: int, target: int, to: int) -> None:
        self._placed(source, step, target, to, copied)

    def rename(self, source: int, step: int, _: int, to: int) -> None:
        if self._placed(source, step, source, to, lambda one, other: one.rename(other)):
            del self.writer[source][checkpoint_name(step)]
            self.changed[source].discard(checkpoint_name(step))

    def _placed(self, source: int, step: int, target: int, to: int, action: Callable[[Path, Path], Path]) -> bool:
        one, other = self.folders[source] / checkpoint_name(step), self.folders[target] / checkpoint_name(to)
        if not one.exists() or other.exists():
            return False
        other.parent.mkdir(exist_ok=True)
        action(one, other)
        self.writer[target][other.name] = self.writer[source][one.name]
        if one.name in self.changed[source]:
            self.changed[target].add(other.name)
        return True

    def edit(self, run: int, step: int, *_: int) -> None:
        self._change(run, step, lambda inside: (inside / "config.json").write_text('{"step": 0}'))

    def remove(self, run: int, step: int, *_: int) -> None:
        self._change(run, step, lambda inside: (inside / "lora.safetensors").unlink(missing_ok=True))

    def add(self, run: int, step: int, *_: int) -> None:
        if (inside := self.folders[run] / checkpoint_name(step) / "consolidated").exists():
            (inside / "results.json").write_text("{}")

    def touch(self, run: int, step: int, *_: int) -> None:
        for path in (self.folders[run] / checkpoint_name(step)).rglob("*"):
            os.utime(path, (1, 1))

    def _change(self, run: int, step: int, action: Callable[[Path], object]) -> None:
        if (inside := self.folders[run] / checkpoint_name(step) / "consolidated").exists():
            action(inside)
            self.changed[run].add(checkpoint_name(step))

    def owned(self, run: int) -> set[str]:
        """Return what the run may remove: unchanged, under its own name, saved by one of the run's starts."""
        starts = self.runs[run].identity.owned
        own = {name for name, (start, saved_as) in self.writer[run].items() if start in starts and saved_as == name}
        return own - self.changed[run]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@given(operations=OPERATIONS)
def test_a_run_removes_its_own_unchanged_checkpoints_and_nothing_else(operations: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for name, *arguments in operations:
            getattr(world, str(name).replace(" ", "_"))(*arguments)
        for number, run in enumerate(world.runs):
            if not run.path.exists():
                continue
            expected = world.owned(number)
            before = {path.name: contents(path) for path in run.path.iterdir() if path.is_dir()}
            assert {name for name in before if run.is_own(run.path / name)} == expected
            run.prune(STEPS + 1, 1)
            after = {path.name: contents(path) for path in run.path.iterdir() if path.is_dir()}
            added = {name for name in expected if any(file.endswith("results.json") for file in before[name])}
            assert after.keys() == (before.keys() - expected) | added
            assert all(after[name] == before[name] for name in after.keys() - added)
            assert all([*after[name]] == ["consolidated/results.json"] for name in added)
