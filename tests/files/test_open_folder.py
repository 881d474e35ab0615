"""A folder that is open: what is read is what was there, whatever takes its place."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path

import pytest

import tttcfg
from tests.builders import trained
from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint, opened_checkpoint
from tttcfg.errors import InputError
from tttcfg.files import open_folder as module
from tttcfg.files.open_folder import OpenFile, beside, inside, is_there, open_folder
from tttcfg.files.storage import opened, read_bytes


def folder_of(parent: Path, name: str, **files: str) -> Path:
    folder = parent / name
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    return folder


def replace(folder: Path, by: Path) -> None:
    """Put another folder in the place of one, and remove that."""
    folder.rename(folder.with_name("old"))
    by.rename(folder)
    shutil.rmtree(folder.with_name("old"))


def test_what_is_read_is_what_was_opened(tmp_path: Path) -> None:
    path = folder_of(tmp_path, "a", one="old", gone="old")
    with open_folder(str(path)) as folder:
        assert folder is not None
        replace(path, folder_of(tmp_path, "b", one="new", more="new"))
        for _ in range(2):
            assert read_bytes(inside(folder, "one")) == b"old"
        assert read_bytes(beside(inside(folder, "one"), "gone")) == b"old"
        assert not is_there(inside(folder, "more"))
        with pytest.raises(InputError, match="more: there is no such file"):
            read_bytes(inside(folder, "more"))
        kept = inside(folder, "one")
    assert read_bytes(kept) == b"new", "a path like any other"
    assert is_there(beside(kept, "more"))


def test_a_file_that_is_read_twice_at_once_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = folder_of(tmp_path, "a", one="text")
    with open_folder(str(path)) as folder:
        assert folder is not None
        with opened(inside(folder, "one")) as (first, _):
            assert first.read(2) == b"te"
        with opened(inside(folder, "one")) as (second, size):
            assert (second.read(), size) == (b"text", 4)


def test_a_folder_that_lost_its_name_meanwhile_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, by = folder_of(tmp_path, "a", one="old"), folder_of(tmp_path, "b", one="new")
    listdir = os.listdir

    def late(descriptor: int) -> list[str]:
        names = listdir(descriptor)
        if by.exists():
            replace(path, by)
        return names

    monkeypatch.setattr(os, "listdir", late)
    with open_folder(str(path)) as folder:
        assert folder is None


def test_of_many_files_the_others_are_read_from_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 1)
    path = folder_of(tmp_path, "a", a="old", b="old")
    with open_folder(str(path)) as folder:
        assert folder is not None
        path.rename(tmp_path / "moved")
        folder_of(tmp_path, "a", a="new", b="new")
        assert [read_bytes(inside(folder, name)) for name in "ab"] == [b"old", b"old"]


@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling"])
def test_what_is_no_file_is_refused_when_it_is_read(kind: str, tmp_path: Path) -> None:
    path = folder_of(tmp_path, "a")
    if kind == "fifo":
        os.mkfifo(path / "one")
    elif kind == "folder":
        (path / "one").mkdir()
    else:
        (path / "one").symlink_to("nowhere")
    with open_folder(str(path)) as folder:
        assert folder is not None
        assert is_there(inside(folder, "one"))
        with pytest.raises(InputError, match=r"not a regular file|is a folder|there is no such file"):
            read_bytes(inside(folder, "one"))


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    path = folder_of(tmp_path, "a", one="text")
    before = os.listdir("/proc/self/fd")
    with open_folder(str(path)) as folder:
        assert folder is not None
        read_bytes(inside(folder, "one"))
        assert len(os.listdir("/proc/self/fd")) == len(before) + 2
    assert os.listdir("/proc/self/fd") == before


def test_a_copy_of_a_path_is_plain_text(tmp_path: Path) -> None:
    path = folder_of(tmp_path, "a", one="text")
    with open_folder(str(path)) as folder:
        for one in (folder, inside(str(folder), "one")):
            assert type(copy.deepcopy(one)) is str
            assert json.loads(json.dumps([one])) == [str(one)]


def opened_paths(found: Checkpoint) -> tuple[object, ...]:
    return (found.folder, found.document, found.model_config, found.weights)


def test_a_checkpoint_is_opened_by_every_path_that_leads_to_it(tmp_path: Path) -> None:
    run = trained(tmp_path)
    plain = find_checkpoint(run)
    paths = [run, plain.folder, *plain.weights, *filter(None, (plain.document, plain.model_config))]
    for path in paths:
        with opened_checkpoint(path) as found:
            assert opened_paths(found) == opened_paths(find_checkpoint(path))
            with opened_checkpoint(found.folder) as again:
                assert again.weights[:1] == plain.weights[:1]
            assert all(isinstance(one, OpenFile) for one in (found.document, *found.weights))
        assert opened_paths(find_checkpoint(found.folder)) == opened_paths(plain)


def test_what_was_opened_is_resolved_whatever_takes_its_place(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    folder = Path(find_checkpoint(run).folder).parent
    expected = tttcfg.resolve(run).digest
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for path in (other / "consolidated").iterdir():
        path.write_bytes(b"of another save")
    with opened_checkpoint(run) as found:
        replace(folder, other)
        effective = tttcfg.resolve(found.folder)
    assert effective.digest == expected
    tttcfg.save_document(tmp_path, effective)
    with pytest.raises(InputError):
        tttcfg.resolve(run)
