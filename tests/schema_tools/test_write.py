"""Several files written together."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tttcfg.errors import WriteError
from tttcfg.files.locks import TEMPORARY_SUFFIX
from tttcfg.schema_tools.write import write_together


def test_files_and_their_folders_are_made(tmp_path: Path) -> None:
    files = {tmp_path / "a" / "b" / "one": b"1", tmp_path / "two": b"2"}
    assert write_together(files) == list(files)
    assert {path: path.read_bytes() for path in files} == files
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "b", "one", "two"}, "no temporary file stays"


def test_what_is_as_it_should_be_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    before = (tmp_path / "one").stat()
    assert write_together({tmp_path / "one": b"1"}) == []
    after = (tmp_path / "one").stat()
    # Not the whole of it: reading the file may change when it was last read.
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("order", [1, -1])
def test_one_that_cannot_be_written_keeps_all_from_being_written(tmp_path: Path, order: int) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "in the way").mkdir()
    wanted = [tmp_path / "new" / "one", tmp_path / "old", tmp_path / "in the way"]
    with pytest.raises(WriteError):
        write_together(dict.fromkeys(wanted[::order], b"new"))
    assert (tmp_path / "old").read_bytes() == b"old"
    assert {path.name for path in tmp_path.rglob("*")} == {"old", "in the way"}


def test_a_file_in_place_of_a_folder_keeps_all_from_being_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError):
        write_together({tmp_path / "one": b"1", tmp_path / "file" / "two": b"2"})
    assert not (tmp_path / "one").exists()


def test_what_took_its_place_already_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails after the first file has its place."""
    from tttcfg.schema_tools import write as writing

    (tmp_path / "one").write_bytes(b"old")
    put, calls = writing.put_in_place, iter(range(9))

    def failing(temporary: str, target: str) -> None:
        if next(calls):
            raise OSError(5, "Input/output error", target)
        put(temporary, target)

    monkeypatch.setattr(writing, "put_in_place", failing)
    with pytest.raises(WriteError, match="Input/output error"):
        write_together({tmp_path / "one": b"new", tmp_path / "folder" / "two": b"new"})
    assert (tmp_path / "one").read_bytes() == b"old"
    assert [path.name for path in tmp_path.rglob("*")] == ["one"]


def test_an_error_of_a_temporary_file_names_the_file_that_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refusing(name: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if str(name).endswith(TEMPORARY_SUFFIX):
            raise OSError(errno.ENOSPC, "No space left on device", str(name))
        return opened(name, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(WriteError) as caught:
        write_together({tmp_path / "one": b"1"})
    assert str(caught.value) == f"{tmp_path / 'one'}: cannot be written: No space left on device"
