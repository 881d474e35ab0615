"""Checkpoint folders: there whole or not at all, pruned by step, and nothing that the run did not write is touched."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

import tttcfg
from tttcfg.documents.checkpoint import find_checkpoint
from tttcfg.errors import WriteError
from tttcfg.files import locks
from tttcfg.files.locks import TEMPORARY_SUFFIX, alone, hold, name_of_temporary, replaced_name, temporary_name
from tttcfg.nn.checkpoints import folders, manifests, places
from tttcfg.nn.checkpoints.folders import RunFolder, delete_checkpoints, foreign_files, write_json
from tttcfg.nn.checkpoints.manifests import MANIFEST_NAME, defect_and_doubt, record_paths
from tttcfg.nn.checkpoints.tensor_file import write_tensors

_UNPRIVILEGED = 65534


def written(parent: Path, step: int, content: bytes = b"tensors", wrong: str = "") -> Path:
    with RunFolder(parent).writing(step) as (inside, put):
        (inside / "lora.safetensors").write_bytes(content)
        return put(wrong)


def is_own(folder: Path) -> bool:
    return RunFolder(folder.parent).is_own(folder)


def prune(parent: Path, step: int, keep: int | None) -> None:
    RunFolder(parent).prune(step, keep)


def names(parent: Path) -> list[str]:
    """Return what is in a folder beside the run's record."""
    return sorted({*os.listdir(parent)} - {path.name for path in record_paths(parent)})


def test_a_folder_is_there_once_it_is_put_in_its_place(tmp_path: Path) -> None:
    with RunFolder(tmp_path).writing(7) as (inside, put):
        (inside / "lora.safetensors").write_bytes(b"tensors")
        assert not (tmp_path / "checkpoint_000007").exists()
        assert put() == tmp_path / "checkpoint_000007"
    assert (tmp_path / "checkpoint_000007" / "consolidated" / "lora.safetensors").read_bytes() == b"tensors"
    assert names(tmp_path) == ["checkpoint_000007"]


def test_what_is_not_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    with RunFolder(tmp_path).writing(7) as (inside, _):
        (inside / "lora.safetensors").write_bytes(b"tens")
    assert names(tmp_path) == []


def test_an_error_of_the_disk_names_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="checkpoint_000007: cannot be written"),
        RunFolder(tmp_path).writing(7) as (inside, _),
    ):
        (inside / "no" / "such").write_bytes(b"")


def test_an_error_of_one_file_is_one_of_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose temporary folder, in which the file was, is gone when the message is read."""
    sync = os.fsync

    def failing(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.basename(path) == "consolidated" and "training_config.json" in os.listdir(path):
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    training = tttcfg.resolve(overrides={"seed": 1}).training
    message = "000007: cannot be written: training_config.json was written, but may be lost .* Input/output error$"
    with pytest.raises(WriteError, match=message), RunFolder(tmp_path).writing(7) as (inside, _):
        tttcfg.save_document(inside, training)
    assert names(tmp_path) == []


def test_a_checkpoint_of_ours_is_replaced_by_one_of_the_same_step(tmp_path: Path) -> None:
    written(tmp_path, 7)
    folder = written(tmp_path, 7, b"later")
    assert (folder / "consolidated" / "lora.safetensors").read_bytes() == b"later"
    assert names(tmp_path) == ["checkpoint_000007"]
    assert is_own(folder)


@pytest.mark.parametrize("kind", ["empty", "copy", "link", "file"])
def test_what_the_run_did_not_write_is_kept_under_another_name(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target, other = tmp_path / "checkpoint_000007", tmp_path / "other"
    other.mkdir()
    if kind == "empty":
        target.mkdir()
    elif kind == "copy":
        shutil.copytree(written(other, 7), target)
    elif kind == "link":
        target.symlink_to(written(other, 7))
    else:
        target.write_text("mine")
    weights = Path("consolidated", "lora.safetensors")
    before = (target / weights).read_bytes() if kind in ("copy", "link") else None
    assert written(tmp_path, 7, b"trained") == target
    assert is_own(target)
    assert (target / weights).read_bytes() == b"trained"
    made, left, _ = names(tmp_path)
    assert (made, left[:23]) == ("checkpoint_000007", "checkpoint_000007.left-")
    reason = "is not a checkpoint of this run, or was changed"
    assert f"{target} {reason}; it was renamed to {tmp_path / left}" in caplog.text
    if before is not None:
        assert (tmp_path / left / weights).read_bytes() == before
    assert (tmp_path / left).is_symlink() == (kind == "link")


def test_what_was_not_written_whole_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_000007").mkdir()
    with pytest.raises(WriteError), RunFolder(tmp_path).writing(7) as (inside, _):
        (inside / "no" / "such").write_bytes(b"")
    assert names(tmp_path) == ["checkpoint_000007"]


def test_copies_that_a_run_may_come_to_are_known(tmp_path: Path) -> None:
    first = written(tmp_path, 1)
    for step in (2, 10, 9):
        shutil.copytree(first, tmp_path / f"checkpoint_{step:06d}")
    assert RunFolder(tmp_path).foreign(9) == ["checkpoint_000009", "checkpoint_000010"]
    assert RunFolder(tmp_path).foreign(0) == ["checkpoint_000002", "checkpoint_000009", "checkpoint_000010"]


def test_the_newest_by_step_stay(tmp_path: Path) -> None:
    for step in (1, 2, 10, 9):
        written(tmp_path, step)
    prune(tmp_path, 10, 2)
    assert names(tmp_path) == ["checkpoint_000009", "checkpoint_000010"]


def test_none_keeps_all(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        written(tmp_path, step)
    prune(tmp_path, 3, None)
    assert len(names(tmp_path)) == 3


def test_checkpoints_of_later_steps_stay_until_the_run_comes_to_them(tmp_path: Path) -> None:
    """A run that was resumed from an earlier step never removes what it has just written."""
    for step in (100, 200, 300, 50, 60):
        written(tmp_path, step)
    prune(tmp_path, 60, 1)
    assert names(tmp_path) == ["checkpoint_000060", "checkpoint_000100", "checkpoint_000200", "checkpoint_000300"]


def test_only_what_was_written_here_is_pruned(tmp_path: Path) -> None:
    first = written(tmp_path, 1)
    shutil.copytree(first, tmp_path / "checkpoint_000002")
    shutil.copytree(first, tmp_path / "checkpoint_000001_keep")
    (tmp_path / "checkpoint_000003").mkdir()
    (tmp_path / "checkpoint_000004").symlink_to(first)
    written(tmp_path, 5).rename(tmp_path / "checkpoint_000006")
    written(tmp_path, 9)
    prune(tmp_path, 9, 1)
    kept = ["checkpoint_000001_keep", *(f"checkpoint_00000{step}" for step in (2, 3, 4, 6, 9))]
    assert names(tmp_path) == kept


def test_a_run_that_was_moved_is_still_ours(tmp_path: Path) -> None:
    written(tmp_path / "run", 1)
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    assert is_own(moved / "checkpoint_000001")


def test_what_others_put_into_a_checkpoint_stays(tmp_path: Path) -> None:
    """Results of an evaluation outlive the weights that they are of."""
    results = written(tmp_path, 1) / "consolidated" / "results.json"
    results.write_text("{}")
    written(tmp_path, 2)
    prune(tmp_path, 2, 1)
    assert names(tmp_path) == ["checkpoint_000001", "checkpoint_000002"]
    assert os.listdir(results.parent) == ["results.json"]
    assert not is_own(tmp_path / "checkpoint_000001")


def test_what_others_put_into_a_checkpoint_that_is_replaced_stays_beside_it(tmp_path: Path) -> None:
    (written(tmp_path, 1) / "notes.txt").write_text("mine")
    written(tmp_path, 1, b"later")
    kept, left = names(tmp_path)
    assert kept == "checkpoint_000001"
    assert left.startswith("checkpoint_000001.left-")
    assert (tmp_path / left / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("how", ["longer", "as long", "linked"])
def test_a_checkpoint_in_which_a_file_was_changed_is_not_pruned(how: str, tmp_path: Path) -> None:
    """Merged weights in place of ours, for example, are nothing that pruning may remove."""
    folder = written(tmp_path, 1)
    weights = folder / "consolidated" / "lora.safetensors"
    if how == "linked":
        weights.unlink()
        (tmp_path / "merged").write_bytes(b"tensors")
        weights.symlink_to(tmp_path / "merged")
    else:
        weights.write_bytes(b"TENSORS" if how == "as long" else b"more tensors")
    before = weights.read_bytes()
    assert not is_own(folder)
    assert RunFolder(tmp_path).foreign(1) == ["checkpoint_000001"]
    for step in (2, 3):
        written(tmp_path, step)
    prune(tmp_path, 3, 1)
    assert (folder.is_dir(), (tmp_path / "checkpoint_000002").exists()) == (True, False)
    assert weights.read_bytes() == before


def test_a_checkpoint_in_which_a_file_was_changed_is_renamed_where_its_step_is_saved_again(tmp_path: Path) -> None:
    (written(tmp_path, 1) / "consolidated" / "lora.safetensors").write_bytes(b"merged")
    written(tmp_path, 1, b"later")
    kept, left = names(tmp_path)
    assert (kept, left[:23]) == ("checkpoint_000001", "checkpoint_000001.left-")
    assert (tmp_path / left / "consolidated" / "lora.safetensors").read_bytes() == b"merged"


def test_a_checkpoint_of_which_a_file_is_gone_is_not_pruned(tmp_path: Path) -> None:
    """Without its training state, for example, it is smaller, and may be meant to be kept."""
    folder = written(tmp_path, 1)
    (folder / "consolidated" / "lora.safetensors").unlink()
    assert not is_own(folder)
    written(tmp_path, 2)
    prune(tmp_path, 2, 1)
    assert names(tmp_path) == ["checkpoint_000001", "checkpoint_000002"]


def unfinished(parent: Path, name: str, *, held: bool = False) -> Path:
    """Leave a temporary folder without a manifest, as a process that was killed does."""
    inside = parent / name / "consolidated"
    inside.mkdir(parents=True)
    (inside / "lora.safetensors").write_bytes(b"ten")
    if held:
        assert hold(os.open(parent / name, os.O_RDONLY), parent / name)
    return parent / name


def finished(parent: Path, step: int, content: bytes, name: Callable[[str], str], wrong: str = "") -> Path:
    """Leave a whole checkpoint under another name than its own."""
    folder = written(parent, step, content, wrong)
    return folder.rename(folder.with_name(name(folder.name)))


def content(folder: Path) -> bytes:
    return (folder / "consolidated" / "lora.safetensors").read_bytes()


def test_what_a_dead_process_did_not_finish_is_swept_at_once(tmp_path: Path) -> None:
    unfinished(tmp_path, temporary_name("checkpoint_000001"))
    used = unfinished(tmp_path, temporary_name("checkpoint_000002"), held=True)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [used.name]


def test_what_another_machine_did_not_finish_is_swept_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unfinished(tmp_path, f".checkpoint_000001.123.abc{TEMPORARY_SUFFIX}")
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [folder.name]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [temporary_name, replaced_name])
def test_a_checkpoint_that_is_finished_gets_its_place_where_that_is_free(
    name: Callable[[str], str], tmp_path: Path
) -> None:
    finished(tmp_path, 7, b"all there is", name)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == ["checkpoint_000007"]
    assert content(tmp_path / "checkpoint_000007") == b"all there is"
    assert is_own(tmp_path / "checkpoint_000007")


@pytest.mark.parametrize("name", [temporary_name, replaced_name])
def test_a_checkpoint_that_was_replaced_is_removed(name: Callable[[str], str], tmp_path: Path) -> None:
    finished(tmp_path, 7, b"old", name)
    written(tmp_path, 7, b"new")
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == ["checkpoint_000007"]
    assert content(tmp_path / "checkpoint_000007") == b"new"


def test_between_two_names_the_newer_one_gets_the_place(tmp_path: Path) -> None:
    """A process was killed after it had moved the old checkpoint out of its place, and before the new one was there."""
    finished(tmp_path, 7, b"old", replaced_name)
    finished(tmp_path, 7, b"new", temporary_name)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == ["checkpoint_000007"]
    assert content(tmp_path / "checkpoint_000007") == b"new"


@pytest.mark.parametrize("name", [temporary_name, replaced_name])
@pytest.mark.parametrize("how", ["in its place another run's", "changed", "sound"])
def test_a_checkpoint_that_was_not_provably_replaced_is_kept(
    how: str, name: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = finished(tmp_path, 7, b"precious", name)
    if how == "changed":
        (folder / "consolidated" / "lora.safetensors").write_bytes(b"PRECIOUS")
    before = content(folder)
    target = written(tmp_path, 7, b"another", "its numbers are not finite" if how == "sound" else "")
    if how == "in its place another run's":
        (target / "consolidated" / "lora.safetensors").write_bytes(b"edited")
    RunFolder(tmp_path).sweep()
    kept, left = names(tmp_path)
    assert (kept, left[:23], content(tmp_path / left)) == ("checkpoint_000007", "checkpoint_000007.left-", before)
    assert f"of {target}; it was renamed to {tmp_path / left}" in caplog.text


def test_a_removal_that_was_cut_short_is_finished_and_results_stay(tmp_path: Path) -> None:
    folder = finished(tmp_path, 7, b"old", temporary_name)
    (folder / "consolidated" / "lora.safetensors").unlink()
    (folder / "consolidated" / "results.json").write_text("{}")
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == ["checkpoint_000007"]
    assert os.listdir(tmp_path / "checkpoint_000007" / "consolidated") == ["results.json"]


def test_what_a_living_process_works_on_is_left_to_it(tmp_path: Path) -> None:
    folders = [finished(tmp_path, 7, b"old", name) for name in (temporary_name, replaced_name)]
    for folder in folders:
        assert hold(os.open(folder, os.O_RDONLY), folder)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == sorted(folder.name for folder in folders)


def test_a_manifest_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    folder = finished(tmp_path, 7, b"old", temporary_name)
    manifest = folder / "consolidated" / MANIFEST_NAME
    manifest.unlink()
    manifest.symlink_to(manifest.name)  # a loop
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [folder.name]


def followed(call: Callable[..., None], look: Callable[[], None]) -> Callable[..., None]:
    def watched(*arguments: Any, **options: Any) -> None:
        call(*arguments, **options)
        look()

    return watched


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system."""
    monkeypatch.setattr(places, "exchanged", lambda *_: False)


@pytest.mark.parametrize("exchange", [True, False])
def test_a_checkpoint_is_found_at_every_instant_while_it_is_replaced(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "checkpoints", 6, b"earlier")
    target = written(tmp_path / "checkpoints", 7, b"old")
    if not exchange:
        without_exchange(monkeypatch)
    seen: list[bytes] = []

    def look() -> None:
        found = {Path(find_checkpoint(path).weights[0]) for path in (tmp_path, target, target / "consolidated")}
        seen.extend(path.read_bytes() for path in found)

    for name in ("rename", "fsync", "unlink"):
        monkeypatch.setattr(os, name, followed(getattr(os, name), look))
    written(tmp_path / "checkpoints", 7, b"new")
    assert seen == sorted(seen, reverse=True), "first the old one, then the new one"
    assert {*seen} == {b"old", b"new"}
    assert names(tmp_path / "checkpoints") == ["checkpoint_000006", "checkpoint_000007"]


def test_a_place_that_cannot_be_taken_leaves_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = written(tmp_path, 7, b"old")
    without_exchange(monkeypatch)
    rename = os.rename

    def refused(one: Path, other: Path) -> None:
        if other == target and name_of_temporary(one.name):
            raise OSError(errno.EIO, "Input/output error")
        rename(one, other)

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(WriteError, match="checkpoint_000007: cannot be written: Input/output error"):
        written(tmp_path, 7, b"new")
    assert (names(tmp_path), content(target)) == ([target.name], b"old")


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_was_put_in_its_place_is_not_reported_as_not_written(
    is_first: bool, exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it replaced stays: after a loss of power that may be what is there."""
    target = tmp_path / "checkpoint_000007"
    if not is_first:
        written(tmp_path, 7, b"old")
    if not exchange:
        without_exchange(monkeypatch)
    sync = places.sync_folder

    def failing(folder: Path) -> None:
        if folder == tmp_path and target.exists() and content(target) == b"new":
            raise OSError(errno.EIO, "Input/output error")
        sync(folder)

    with monkeypatch.context() as broken:
        broken.setattr(places, "sync_folder", failing)
        with pytest.raises(WriteError, match="_000007: was written, but may be lost if the machine fails now: Input"):
            written(tmp_path, 7, b"new")
    assert content(target) == b"new"
    assert [content(tmp_path / name) for name in names(tmp_path) if name != target.name] == [b"old"] * (not is_first)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == ["checkpoint_000007"]
    assert content(target) == b"new"


def test_a_checkpoint_of_a_foreign_run_is_found_at_every_instant_while_it_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = written(tmp_path / "checkpoints", 7, b"old")
    (target / "consolidated" / "lora.safetensors").write_bytes(b"bound")

    def look() -> None:
        assert Path(find_checkpoint(tmp_path).weights[0]).read_bytes() in (b"bound", b"new")

    monkeypatch.setattr(os, "rename", followed(os.rename, look))
    written(tmp_path / "checkpoints", 7, b"new")
    kept, left = names(tmp_path / "checkpoints")
    assert (kept, content(target)) == (target.name, b"new")
    assert content(tmp_path / "checkpoints" / left) == b"bound"


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint_000001",
        ".checkpoint_000001",
        "tmp.consolidated",
        f"checkpoint_000001{TEMPORARY_SUFFIX}",
        f".mine.123.abc{TEMPORARY_SUFFIX}",
        f".checkpoint_000001.123.abc{TEMPORARY_SUFFIX}.bak",
    ],
)
def test_nothing_else_is_ever_swept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [name]


def test_a_link_with_our_name_is_not_swept(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "weights").write_bytes(b"mine")
    (tmp_path / temporary_name("checkpoint_000001")).symlink_to(precious)
    RunFolder(tmp_path).sweep()
    assert len(names(tmp_path)) == 2
    assert (precious / "weights").exists()


def test_what_has_a_defect_is_counted_apart(tmp_path: Path) -> None:
    """A run that diverges removes nothing of what it had before, and does not fill the disk either."""
    for step in (1, 2, 3):
        written(tmp_path, step)
        prune(tmp_path, step, 2)
    for step in (4, 5, 6, 7):
        written(tmp_path, step, wrong="its numbers are not finite")
        prune(tmp_path, step, 2)
    assert names(tmp_path) == [f"checkpoint_00000{step}" for step in (2, 3, 6, 7)]
    assert defect_and_doubt(tmp_path / "checkpoint_000007" / "consolidated") == ("its numbers are not finite", "")
    assert defect_and_doubt(tmp_path / "checkpoint_000003" / "consolidated") == ("", "")
    for step in (8, 9):
        written(tmp_path, step)
        prune(tmp_path, step, 2)
    assert names(tmp_path) == [f"checkpoint_00000{step}" for step in (6, 7, 8, 9)]


@pytest.mark.parametrize("kind", ["defect", "doubt"])
def test_what_has_a_defect_never_takes_the_place_of_what_is_sound(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound = (written(tmp_path, 7) / "consolidated" / "lora.safetensors").read_bytes()
    for content in (b"NaN", b"NaN again"):
        with RunFolder(tmp_path).writing(7) as (inside, put):
            (inside / "lora.safetensors").write_bytes(content)
            put(**{kind: "its numbers are not finite"})
    made, left = names(tmp_path)
    inside, kept = tmp_path / made / "consolidated", tmp_path / left / "consolidated"
    assert (inside / "lora.safetensors").read_bytes() == b"NaN again"
    assert (kept / "lora.safetensors").read_bytes() == sound
    assert "its numbers are not finite" in defect_and_doubt(inside)
    assert not any(defect_and_doubt(kept))
    reason = "is sound, and the checkpoint that replaces it is not"
    assert f"{tmp_path / made} {reason}; it was renamed to {tmp_path / left}" in caplog.text
    assert written(tmp_path, 7, b"trained").name == made
    assert names(tmp_path) == [made, left]


def left_by_a_writer(folder: Path, *, lives: bool = False) -> Path:
    """Leave what a program that writes beside the weights, such as bind, has written so far."""
    path = folder / "consolidated" / temporary_name("lora.safetensors")
    path.write_bytes(b"tens")
    if lives:
        assert hold(os.open(path, os.O_RDONLY), path)
    return path


@pytest.mark.parametrize("step", [1, 2])
def test_what_a_dead_writer_left_in_a_checkpoint_goes_with_it(step: int, tmp_path: Path) -> None:
    """Where it is pruned, and where its step is saved again."""
    left_by_a_writer(written(tmp_path, 1))
    written(tmp_path, step, b"later")
    prune(tmp_path, step, 1)
    assert names(tmp_path) == [f"checkpoint_00000{step}"]
    assert content(tmp_path / f"checkpoint_00000{step}") == b"later"


def test_what_a_dead_writer_left_in_a_checkpoint_that_is_being_removed_goes_as_well(tmp_path: Path) -> None:
    left_by_a_writer(finished(tmp_path, 7, b"old", temporary_name))
    written(tmp_path, 7, b"new")
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == ["checkpoint_000007"]


@contextmanager
def alone_in(folder: Path, change: Callable[[], object] = lambda: None) -> Iterator[threading.Event]:
    """Write in a checkpoint's folder, in a thread of its own; yield what lets it make a last change and end."""
    inside, end = threading.Event(), threading.Event()

    def write() -> None:
        with alone(folder / "consolidated"):
            inside.set()
            end.wait(60)
            change()

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait()
    try:
        yield end
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("how", ["it is alone there", "its file is held"])
def test_a_checkpoint_in_which_a_program_writes_is_pruned_the_next_time(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(folders, "REMOVING_SECONDS", 0.0)
    folder = written(tmp_path, 1)
    written(tmp_path, 2)
    path = left_by_a_writer(folder, lives=True) if how == "its file is held" else None
    with nullcontext() if path else alone_in(folder):
        prune(tmp_path, 2, 1)
    assert names(tmp_path) == ["checkpoint_000001", "checkpoint_000002"]
    reason = "another program writes in it" if path else "has been written to by another process for 0 s"
    assert f"{folder} is not pruned: {reason}" in caplog.messages
    if path:
        path.unlink()
    prune(tmp_path, 2, 1)
    assert names(tmp_path) == ["checkpoint_000002"]


def test_a_checkpoint_that_was_changed_while_it_was_to_be_pruned_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = written(tmp_path, 1)
    written(tmp_path, 2)
    bound = folder / "consolidated" / "lora.safetensors"
    with alone_in(folder, lambda: bound.write_bytes(b"bound")) as end:
        threading.Timer(0.2, end.set).start()
        prune(tmp_path, 2, 1)
    assert names(tmp_path) == ["checkpoint_000001", "checkpoint_000002"]
    assert f"{folder} is not pruned: was changed by another program meanwhile" in caplog.messages


def test_a_save_waits_for_a_program_that_writes_in_what_it_replaces(tmp_path: Path) -> None:
    """What that has changed is none of the run's own then, and is kept."""
    folder = written(tmp_path, 1)
    bound = folder / "consolidated" / "lora.safetensors"
    with alone_in(folder, lambda: bound.write_bytes(b"bound")) as end:
        threading.Timer(0.2, end.set).start()
        written(tmp_path, 1, b"later")
    made, left = names(tmp_path)
    assert (content(tmp_path / made), content(tmp_path / left)) == (b"later", b"bound")


def test_a_save_does_not_fail_where_a_program_goes_on_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes there is removed once it has ended."""
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    folder = written(tmp_path, 1)
    path = left_by_a_writer(folder, lives=True)
    with alone_in(folder):
        written(tmp_path, 1, b"later")
    replaced, made = names(tmp_path)
    assert (name_of_temporary(replaced), content(tmp_path / made)) == (made, b"later")
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [replaced, made]
    (tmp_path / replaced / "consolidated" / path.name).unlink()
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [made]


def test_a_writer_that_waited_for_a_checkpoint_which_was_removed_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, 1)
    written(tmp_path, 2)
    errors: list[WriteError] = []
    thread = threading.Thread(target=lambda: errors.append(refused(folder)))
    rename = os.rename

    def waited_for(one: Path, other: Path) -> None:
        if one == folder:
            thread.start()
            time.sleep(0.3)  # it has the folder open, and waits
        rename(one, other)

    def refused(folder: Path) -> WriteError:
        with pytest.raises(WriteError) as caught:
            tttcfg.save_document(folder / "consolidated", tttcfg.TrainingArgs())
        return caught.value

    monkeypatch.setattr(os, "rename", waited_for)
    prune(tmp_path, 2, 1)
    thread.join()
    assert names(tmp_path) == ["checkpoint_000002"]
    message = f"{folder / 'consolidated'}: was moved or removed by another program meanwhile; run again"
    assert [str(error) for error in errors] == [message]


def test_what_is_not_pruned_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (written(tmp_path, 1) / "consolidated" / "lora.safetensors").write_bytes(b"merged")
    for step in (2, 3, 4):
        written(tmp_path, step)
        prune(tmp_path, step, 1)
    warning = f"{tmp_path}: not pruned, as they are not checkpoints of this run, or were changed: checkpoint_000001"
    assert caplog.messages.count(warning) == 1


def test_all_of_ours_go_where_none_stays(tmp_path: Path) -> None:
    """As where an earlier run is deleted."""
    written(tmp_path, 1)
    written(tmp_path, 2, wrong="its numbers are not finite")
    prune(tmp_path, sys.maxsize, 1)
    assert names(tmp_path) == []


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user who cannot write everywhere, and the right of that user alone."""
    folder = Path(tempfile.mkdtemp())
    own = os.geteuid()
    if own == 0:
        os.chown(folder, _UNPRIVILEGED, -1)
        os.seteuid(_UNPRIVILEGED)
    yield folder
    os.seteuid(own)
    for path in folder.rglob("*/"):
        path.chmod(0o755)
    shutil.rmtree(folder)


def protected(folder: Path) -> Path:
    for path in (folder / "consolidated", folder):
        path.chmod(0o555)
    return folder


def test_what_is_write_protected_stays_as_it_is(unprivileged: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = protected(written(unprivileged, 1))
    for step in (2, 3):
        written(unprivileged, step)
        prune(unprivileged, step, 1)
    assert names(unprivileged) == ["checkpoint_000001", "checkpoint_000003"]
    assert names(kept / "consolidated") == ["lora.safetensors", MANIFEST_NAME]
    assert f"{kept} is not pruned: it is write-protected" in caplog.text


def test_what_is_write_protected_makes_room_under_another_name(
    unprivileged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    protected(written(unprivileged, 1))
    written(unprivileged, 1, b"later")
    kept, left = names(unprivileged)
    assert (kept, left[:23]) == ("checkpoint_000001", "checkpoint_000001.left-")
    assert names(unprivileged / left / "consolidated") == ["lora.safetensors", MANIFEST_NAME]
    assert "checkpoint_000001 is write-protected; it was renamed to " in caplog.text


def test_what_cannot_be_removed_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(path: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", path)

    written(tmp_path, 1)
    written(tmp_path, 2)
    monkeypatch.setattr(os, "unlink", busy)
    prune(tmp_path, 2, 1)
    assert names(tmp_path) == ["checkpoint_000001", "checkpoint_000002"]
    assert "checkpoint_000001 is not pruned: Device or resource busy" in caplog.text


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prune(tmp_path / "gone", 1, 1)
    assert "nothing more is pruned" in caplog.text


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the name is, before the checkpoint is reported as saved."""
    seen: list[tuple[bool, Path]] = []
    target = tmp_path / "checkpoint_000001"
    sync = os.fsync

    def recorded(descriptor: int) -> None:
        sync(descriptor)
        seen.append((target.exists(), Path(os.readlink(f"/proc/self/fd/{descriptor}"))))

    monkeypatch.setattr(os, "fsync", recorded)
    with RunFolder(tmp_path).writing(1) as (inside, put):
        write_tensors(str(inside / "lora.safetensors"), {"a": torch.ones(3)}, {})
        write_json(inside / "config.json", {})
        put()
    before = {path for there, path in seen if not there}
    assert {inside / name for name in os.listdir(target / "consolidated")} | {inside, inside.parent} <= before
    assert seen[-1] == (True, tmp_path)


def test_foreign_files_of_a_run_are_what_no_save_wrote(tmp_path: Path) -> None:
    parent = tmp_path / "checkpoints"
    parent.mkdir()
    folder = written(parent, 7)
    copy = shutil.copytree(folder, parent / "checkpoint_000008")
    notes = folder / "consolidated" / "notes.txt"
    assert foreign_files(tmp_path) == [copy]
    notes.write_text("mine")
    assert foreign_files(tmp_path) == [notes, copy]
    assert foreign_files(tmp_path / "no_run") == []


def test_deleting_the_checkpoints_of_a_run_leaves_what_no_save_wrote(tmp_path: Path) -> None:
    parent = tmp_path / "checkpoints"
    parent.mkdir()
    shutil.copytree(written(parent, 7), parent / "checkpoint_000008")
    delete_checkpoints(tmp_path)
    assert names(parent) == ["checkpoint_000008"]
    delete_checkpoints(tmp_path / "no_run")


def test_what_a_killed_save_left_is_no_foreign_file_and_is_deleted_with_its_run(tmp_path: Path) -> None:
    parent = tmp_path / "checkpoints"
    finished(parent, 7, b"old", replaced_name)
    finished(parent, 7, b"new", temporary_name)
    unfinished(parent, temporary_name("checkpoint_000008"))
    (parent / temporary_name("run_0.json")).write_text("{")
    assert foreign_files(tmp_path) == []
    delete_checkpoints(tmp_path)
    assert names(parent) == []


def test_a_checkpoint_with_a_file_that_cannot_be_read_is_not_the_runs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays, saving goes on, and the rest is pruned."""
    for step in (1, 2):
        written(tmp_path, step)

    def refused(path: Path) -> str:
        if path.parent.parent.name == "checkpoint_000002":
            raise PermissionError(errno.EACCES, "Permission denied")
        return sample(path)

    sample = vars(manifests)["_sample_digest"]
    monkeypatch.setattr(manifests, "_sample_digest", refused)
    assert RunFolder(tmp_path).foreign(1) == ["checkpoint_000002"]
    written(tmp_path, 2)
    written(tmp_path, 3)
    prune(tmp_path, 3, 1)
    kept = [name for name in names(tmp_path) if "left-" not in name]
    assert kept == ["checkpoint_000002", "checkpoint_000003"]
    assert any("left-" in name for name in names(tmp_path))
