"""What is on the disk once it is said to be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tttcfg.files.durable import new_file, sync_folder, write_all


def test_a_new_file_holds_what_was_written(tmp_path: Path) -> None:
    with new_file(tmp_path / "file", 0o600) as descriptor:
        write_all(descriptor, b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_new_file_is_gone_where_writing_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with new_file(tmp_path / "file") as descriptor:
            write_all(descriptor, b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError), new_file(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_folder_is_synced_as_far_as_its_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: bool
) -> None:
    def failing(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    failed = False
    try:
        sync_folder(tmp_path)
    except OSError as error:
        failed = error.errno == number
    assert failed == fails
