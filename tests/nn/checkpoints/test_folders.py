"""Checkpoint folders: there whole or not at all, pruned by step, and nothing of anybody else's is touched."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tttcfg.errors import WriteError
from tttcfg.files.storage import TEMPORARY_SUFFIX
from tttcfg.nn.checkpoints.folders import RunFolder, delete_checkpoints, foreign_files, write_file, write_json
from tttcfg.nn.checkpoints.manifests import MANIFEST_NAME, defect, doubt
from tttcfg.nn.checkpoints.run_record import record_paths
from tttcfg.nn.checkpoints.tensor_file import write_tensors

_NOBODY = 65534


def written(parent: Path, step: int, content: bytes = b"tensors", wrong: str = "") -> Path:
    with RunFolder(parent).writing(step) as (inside, put):
        write_file(inside / "lora.safetensors", content)
        return put(wrong)


def is_own(folder: Path) -> bool:
    return RunFolder(folder.parent).is_own(folder)


def prune(parent: Path, step: int, keep: int | None) -> None:
    RunFolder(parent).prune(step, keep)


def names(parent: Path) -> list[str]:
    """Return what is in a folder beside the run's record."""
    return sorted({*os.listdir(parent)} - {path.name for path in record_paths(parent)})


def aged(folder: Path) -> Path:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - 7200,) * 2)
    return folder


def test_a_folder_is_there_once_it_is_put_in_its_place(tmp_path: Path) -> None:
    with RunFolder(tmp_path).writing(7) as (inside, put):
        write_file(inside / "lora.safetensors", b"tensors")
        assert not (tmp_path / "checkpoint_000007").exists()
        assert put() == tmp_path / "checkpoint_000007"
    assert (tmp_path / "checkpoint_000007" / "consolidated" / "lora.safetensors").read_bytes() == b"tensors"
    assert names(tmp_path) == ["checkpoint_000007"]


def test_what_is_not_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    with RunFolder(tmp_path).writing(7) as (inside, _):
        write_file(inside / "lora.safetensors", b"tens")
    assert names(tmp_path) == []


def test_an_error_of_the_disk_says_where(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="checkpoint_000007: cannot be written"),
        RunFolder(tmp_path).writing(7) as (inside, _),
    ):
        write_file(inside / "no" / "such", b"")


def test_a_checkpoint_of_ours_is_replaced_by_one_of_the_same_step(tmp_path: Path) -> None:
    written(tmp_path, 7)
    folder = written(tmp_path, 7, b"later")
    assert (folder / "consolidated" / "lora.safetensors").read_bytes() == b"later"
    assert names(tmp_path) == ["checkpoint_000007"]
    assert is_own(folder)


@pytest.mark.parametrize("kind", ["empty", "copy", "link", "file"])
def test_what_somebody_else_put_there_is_kept_under_another_name(
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


def test_what_was_not_written_whole_leaves_what_somebody_else_put_there(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_000007").mkdir()
    with pytest.raises(WriteError), RunFolder(tmp_path).writing(7) as (inside, _):
        write_file(inside / "no" / "such", b"")
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
    """Merged weights in place of ours, say, are nothing that pruning may remove."""
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
    """Without its training state, say, it is smaller, and what somebody wants to keep."""
    folder = written(tmp_path, 1)
    (folder / "consolidated" / "lora.safetensors").unlink()
    assert not is_own(folder)
    written(tmp_path, 2)
    prune(tmp_path, 2, 1)
    assert names(tmp_path) == ["checkpoint_000001", "checkpoint_000002"]


def test_what_a_dead_run_left_is_swept_after_an_hour(tmp_path: Path) -> None:
    stale = tmp_path / f".checkpoint_000001.123.abc{TEMPORARY_SUFFIX}"
    fresh = tmp_path / f".checkpoint_000002.123.abc{TEMPORARY_SUFFIX}"
    for folder in (stale, fresh):
        (folder / "consolidated").mkdir(parents=True)
        (folder / "consolidated" / "lora.safetensors").write_bytes(b"ten")
    aged(stale)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [fresh.name]


def test_a_folder_whose_files_still_grow_is_not_swept(tmp_path: Path) -> None:
    folder = tmp_path / f".checkpoint_000001.123.abc{TEMPORARY_SUFFIX}"
    (folder / "consolidated").mkdir(parents=True)
    aged(folder)
    (folder / "consolidated" / "lora.safetensors").write_bytes(b"ten")
    for path in (folder, folder / "consolidated"):
        os.utime(path, (1, 1))
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [folder.name]


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
    aged(tmp_path / name)
    RunFolder(tmp_path).sweep()
    assert names(tmp_path) == [name]


def test_a_link_with_our_name_is_not_swept(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "weights").write_bytes(b"mine")
    (tmp_path / f".checkpoint_000001.1.a{TEMPORARY_SUFFIX}").symlink_to(precious)
    aged(precious)
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
    assert defect(tmp_path / "checkpoint_000007" / "consolidated") == "its numbers are not finite"
    assert defect(tmp_path / "checkpoint_000003" / "consolidated") == ""
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
            write_file(inside / "lora.safetensors", content)
            put(**{kind: "its numbers are not finite"})
    made, left = names(tmp_path)
    inside, kept = tmp_path / made / "consolidated", tmp_path / left / "consolidated"
    assert (inside / "lora.safetensors").read_bytes() == b"NaN again"
    assert (kept / "lora.safetensors").read_bytes() == sound
    assert (defect(inside) or doubt(inside), defect(kept) or doubt(kept)) == ("its numbers are not finite", "")
    reason = "is sound, and the checkpoint that replaces it is not"
    assert f"{tmp_path / made} {reason}; it was renamed to {tmp_path / left}" in caplog.text
    assert written(tmp_path, 7, b"trained").name == made
    assert names(tmp_path) == [made, left]


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
        os.chown(folder, _NOBODY, -1)
        os.seteuid(_NOBODY)
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
    """And the name is, before the checkpoint is said to be there."""
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
