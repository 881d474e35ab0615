"""Giving weights other metadata: the tensors' bytes stay, memory is constant, and a crash loses nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors

from tests.launcher import python
from tests.safetensors.files import compact, framed, laid_out, many, weights_file
from tttcfg.errors import InputError, WriteError
from tttcfg.files.locks import TEMPORARY_SUFFIX
from tttcfg.safetensors import header as header_module
from tttcfg.safetensors import metadata as rewriting
from tttcfg.safetensors.header import read_header
from tttcfg.safetensors.metadata import canonicalize_header, rewrite

NOTES = {"tttcfg": '{"digest":"é"}', "format": "pt"}
TENSORS = {"b": ("F32", [3, 2]), "empty": ("BF16", [0, 4]), "a": ("I8", [7]), "é": ("BF16", [2])}
DATA = bytes(range(100, 135))
DYING = """
import os, sys
from tttcfg.safetensors import metadata as rewriting
call, left = sys.argv[2], [int(sys.argv[3])]
real = getattr(os, call)
def dying(*arguments):
    left[0] -= 1
    if left[0] < 0:
        os._exit(99)
    return real(*arguments)
setattr(os, call, dying)
rewriting.CHUNK = 16
rewriting.rewrite(sys.argv[1], {"new": "x"})
"""
PEAK = """
import sys
from tttcfg.safetensors.metadata import rewrite, canonicalize_header
rewrite(sys.argv[1], {"format": "pt"})
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def file_of(path: Path, header: bytes | None = None) -> Path:
    path.write_bytes(framed(compact(laid_out(TENSORS)) if header is None else header) + DATA)
    return path


def data_of(path: Path) -> bytes:
    return path.read_bytes()[read_header(path).data_start :]


def odd_headers() -> list[bytes]:
    """Return headers of equal meaning: with and without metadata, spaces, padding, in another order."""
    values = laid_out(TENSORS)
    turned = {name: dict(reversed(entry.items())) for name, entry in reversed(values.items())}
    return [
        compact(values),
        compact(values) + b" ",
        compact(laid_out(TENSORS, {"format": "np", "x": "y"})) + b"     ",
        json.dumps(turned, indent=1).encode(),
    ]


@pytest.mark.parametrize("header", odd_headers(), ids=["plain", "padded", "metadata", "turned"])
def test_the_tensors_bytes_stay_and_the_metadata_is_what_was_given(header: bytes, tmp_path: Path) -> None:
    path = file_of(tmp_path / "w", header)
    before = dict(safetensors.deserialize(path.read_bytes()))
    entries = read_header(path).entries
    rewrite(path, NOTES)
    after = read_header(path)
    assert data_of(path) == DATA
    assert after.metadata == NOTES
    assert after.entries == entries
    assert after.data_start % 8 == 0
    assert dict(safetensors.deserialize(path.read_bytes())) == before
    assert os.listdir(tmp_path) == ["w"]


def test_equal_tensors_and_metadata_make_equal_bytes(tmp_path: Path) -> None:
    """However the header was laid out before, and in whatever order the metadata came."""
    found = set()
    for number, header in enumerate(odd_headers()):
        path = file_of(tmp_path / str(number), header)
        rewrite(path, NOTES if number % 2 else dict(reversed(NOTES.items())))
        found.add(path.read_bytes())
        rewrite(path, NOTES)
        found.add(path.read_bytes())
    assert len(found) == 1


def test_what_is_written_is_read_by_the_formats_own_library(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "w", many(60), {"format": "np"})
    before = safetensors.deserialize(path.read_bytes())
    rewrite(path, {"format": "pt", "other": "\x7f\u2028", "quoted": '{"a": "\\\\"}'})
    assert sorted(safetensors.deserialize(path.read_bytes())) == sorted(before)
    assert len(before) == 60


def test_without_metadata_there_is_no_entry_for_it(tmp_path: Path) -> None:
    path = file_of(tmp_path / "w", compact(laid_out(TENSORS, {"x": "y"})))
    rewrite(path, {})
    assert b"__metadata__" not in path.read_bytes()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "w")
    os.truncate(path, path.stat().st_size - 1)
    before = path.read_bytes()
    with pytest.raises(InputError, match="its header promises"):
        rewrite(path, NOTES)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


@pytest.mark.parametrize(
    ("metadata", "message"), [({"x": "\ud800"}, "cannot be written"), ({"x": "y" * 10_000}, "header of")]
)
def test_metadata_that_could_not_be_read_again_is_refused(
    metadata: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_module, "HEADER_CAP", 10_000)
    path = file_of(tmp_path / "w")
    before = path.read_bytes()
    with pytest.raises(InputError, match=message):
        rewrite(path, metadata)
    assert path.read_bytes() == before


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "readv", "fchmod"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_failing_call_leaves_the_old_file_and_no_litter(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path / "w")
    before, left, real = path.read_bytes(), [number], getattr(os, call)

    def failing(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    monkeypatch.setattr(os, call, failing)
    monkeypatch.setattr(rewriting, "CHUNK", 16)
    if number >= {"replace": 1, "fchmod": 1, "fsync": 2}.get(call, 3):
        rewrite(path, NOTES)
    else:
        with pytest.raises(WriteError, match="No space left on device"):
            rewrite(path, NOTES)
        if (call, number) != ("fsync", 1):  # the folder's: the rename has happened
            assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]
    assert data_of(path) == DATA


@pytest.mark.parametrize(("call", "number"), [("write", 0), ("write", 2), ("fsync", 0), ("replace", 0), ("fsync", 1)])
def test_a_kill_leaves_the_old_file_or_the_new(call: str, number: int, tmp_path: Path) -> None:
    path = file_of(tmp_path / "w")
    before = path.read_bytes()
    python("-c", DYING, path, call, str(number), code=99)
    if (call, number) == ("fsync", 1):
        assert read_header(path).metadata == {"new": "x"}
        assert data_of(path) == DATA
    else:
        assert path.read_bytes() == before
    assert all(name.endswith(TEMPORARY_SUFFIX) for name in os.listdir(tmp_path) if name != "w")


def test_what_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = file_of(tmp_path / "w")
    with rewriting.rewriting(path, NOTES) as put:
        path.write_bytes(b"theirs")
        with pytest.raises(WriteError, match="changed by another program"):
            put()
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["w"]


@pytest.mark.parametrize("when", ["before the copy is read again", "before it is put in place"])
def test_a_folder_that_is_moved_meanwhile_keeps_no_copy_and_is_reported_by_the_name_of_the_weights(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, moved, open_regular = tmp_path / "folder", tmp_path / "moved", rewriting.open_regular
    folder.mkdir()
    path = file_of(folder / "w")
    before = path.read_bytes()

    def moving(name: str) -> Any:
        if name.endswith(TEMPORARY_SUFFIX) and when == "before the copy is read again":
            folder.rename(moved)
        return open_regular(name)

    def write() -> None:
        with rewriting.rewriting(path, NOTES) as put:
            folder.rename(moved)
            put()

    monkeypatch.setattr(rewriting, "open_regular", moving)
    with pytest.raises(WriteError) as caught:
        write()
    assert str(caught.value) == f"{path}: was moved or removed by another program meanwhile; run again"
    assert (os.listdir(moved), (moved / "w").read_bytes()) == (["w"], before)


def test_a_copy_that_cannot_be_read_again_is_reported_by_the_name_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path / "w")
    opened = os.open

    def refusing(name: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if str(name).endswith(TEMPORARY_SUFFIX) and not flags & os.O_CREAT:
            raise OSError(errno.EIO, "Input/output error")
        return opened(name, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(WriteError) as caught:
        rewrite(path, NOTES)
    message = "cannot be written: its temporary copy cannot be read: Input/output error"
    assert str(caught.value) == f"{path}: {message}"
    assert os.listdir(tmp_path) == ["w"]


def test_nothing_changes_until_it_is_put_in_place(tmp_path: Path) -> None:
    path = file_of(tmp_path / "w")
    before = path.read_bytes()
    with rewriting.rewriting(path, NOTES):
        assert len(os.listdir(tmp_path)) == 2
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


def test_a_copy_that_is_not_the_original_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory or disk may change a byte under way; what was read is compared with what was written."""
    path = file_of(tmp_path / "w")
    before, real = path.read_bytes(), rewriting.write_all

    def faulty(out: int, data: bytes | memoryview) -> None:
        real(out, bytes([data[0] ^ 1]) + bytes(data[1:]) if isinstance(data, memoryview) else data)

    monkeypatch.setattr(rewriting, "write_all", faulty)
    with pytest.raises(WriteError, match="was not copied correctly"):
        rewrite(path, NOTES)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


def test_a_full_disk_is_seen_before_anything_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(tmp_path / "w")
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=100, f_blocks=9))
    with pytest.raises(WriteError, match=r"takes [0-9]+ bytes, and the disk has 100 free$"):
        rewrite(path, NOTES)
    assert os.listdir(tmp_path) == ["w"]


def test_a_file_system_that_does_not_report_its_size_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(tmp_path / "w")
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=100, f_blocks=0))
    rewrite(path, NOTES)
    assert read_header(path).metadata == NOTES


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_the_mode_stays_and_links_are_followed(mode: int, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    path, link = file_of(tmp_path / "blobs" / "w"), tmp_path / "link"
    path.chmod(mode)
    link.symlink_to(path)
    rewrite(link, NOTES)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert read_header(path).metadata == NOTES


def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "w")
    path.chmod(0o444)
    with pytest.raises(WriteError, match="is read-only"):
        rewrite(path, NOTES)


def peak(path: Path) -> int:
    """Return the most memory, in KiB, that a process takes which rewrites `path`."""
    return int(python("-c", PEAK, path).out)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux to measure peak memory")
def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    small = weights_file(tmp_path / "small", {"a": ("F32", [8 << 20])})
    large = weights_file(tmp_path / "large", {"a": ("F32", [96 << 20])})
    assert peak(large) < peak(small) + (8 << 10)
    assert large.stat().st_size > 384 << 20
    large.unlink()


def test_blocks_of_any_length_are_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = weights_file(tmp_path / "w", {"a": ("U8", [10_000])})
    with path.open("r+b") as file:
        file.seek(read_header(path).data_start)
        file.write(bytes(number % 251 for number in range(10_000)))
    before = hashlib.sha256(data_of(path)).digest()
    for chunk in (1, 999, 10_000, 10_001):
        monkeypatch.setattr(rewriting, "CHUNK", chunk)
        rewrite(path, {"chunk": str(chunk)})
        assert hashlib.sha256(data_of(path)).digest() == before


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("padding", [b"", b" "])
def test_the_header_of_a_saved_file_is_canonical_whatever_the_order_of_its_metadata(
    turned: bool, padding: bytes, tmp_path: Path
) -> None:
    """It is rewritten in place if the header has the length already, and else by a copy."""
    notes = dict(reversed(NOTES.items())) if turned else NOTES
    header = compact(laid_out(TENSORS, notes))
    path = file_of(tmp_path / "w", header + b" " * (-len(header) % 8) + padding)
    canonicalize_header(path)
    canonical, file = path.read_bytes(), path.stat()
    rewrite(path, NOTES)
    assert path.read_bytes() == canonical
    canonicalize_header(path)
    assert path.read_bytes() == canonical
    assert data_of(path) == DATA
    assert file.st_mode == path.stat().st_mode


def test_settling_costs_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = compact(laid_out(TENSORS, dict(sorted(NOTES.items(), reverse=True))))
    path = file_of(tmp_path / "w", header + b" " * (-len(header) % 8))
    before = path.read_bytes()
    monkeypatch.delattr(rewriting, "rewrite")
    canonicalize_header(path)
    assert path.read_bytes() != before
    assert len(path.read_bytes()) == len(before)


def test_a_header_that_cannot_be_rewritten_is_a_write_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = compact(laid_out(TENSORS, dict(sorted(NOTES.items(), reverse=True))))
    path = file_of(tmp_path / "w", header + b" " * (-len(header) % 8))

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(WriteError, match="Input/output error"):
        canonicalize_header(path)
