"""Writing whole or not at all: killed, out of space, linked, read-only, changed meanwhile; and sweeping up."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tttcfg.errors import WriteError
from tttcfg.files import storage
from tttcfg.files.storage import TEMPORARY_SUFFIX, sweep, write_atomically

OLD, NEW = b"old\n" * 100, b"new\n" * 200
OURS = (
    "import sys; from tttcfg.files.storage import write_atomically\n"
    "write_atomically(sys.argv[1], b'new\\n' * 200, backup=sys.argv[1] + '.bak')"
)
NAIVE = "import sys\nwith open(sys.argv[1], 'wb') as file: file.write(b'new\\n' * 200)"
CALLS = "write,fsync,fchmod,rename,renameat,renameat2,unlink,link,linkat"


def strace(program: str, path: Path, inject: str) -> int:
    """Run a Python program under strace with a fault injected, and return its exit code."""
    command = ["strace", "-f", "-o", os.devnull, "-e", f"trace={CALLS}", "-e", f"inject={inject}"]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", program, str(path)], capture_output=True, timeout=120, check=False
    )
    return done.returncode


@pytest.fixture(scope="module")
def tracing(tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    path = tmp_path_factory.mktemp("trace") / "file"
    if strace(NAIVE, path, "write:error=ENOSPC:when=1") != 1:
        pytest.skip("this system does not allow tracing")


def states_after_kills(program: str, path: Path) -> list[bytes | None]:
    """Kill the program at each of its calls that change files, one by one; return what every kill left."""
    states: list[bytes | None] = []
    for call in ("write", "fchmod", "fsync", "link,linkat", "rename,renameat,renameat2"):
        for number in range(1, 10):
            path.write_bytes(OLD)
            code = strace(program, path, f"{call}:signal=SIGKILL:when={number}")
            states.append(path.read_bytes() if path.exists() else None)
            if code == 0:
                break
    return states


@pytest.mark.usefixtures("tracing")
def test_killed_at_any_call_it_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    states = states_after_kills(OURS, tmp_path / "file")
    assert len(states) >= 10
    assert set(states) == {OLD, NEW}
    assert states[-1] == NEW


@pytest.mark.usefixtures("tracing")
def test_a_naive_writer_is_caught_by_the_same_kills(tmp_path: Path) -> None:
    assert not set(states_after_kills(NAIVE, tmp_path / "file")) <= {OLD, NEW}


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("inject", ["write:error=ENOSPC:when=1", "fsync:error=EIO:when=1", "rename:error=ENOSPC"])
def test_a_failing_call_leaves_the_old_file_and_no_litter(inject: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    program = OURS.replace(", backup=sys.argv[1] + '.bak'", "")
    assert strace(program, path, inject) == 1
    assert path.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(storage, "sync_folder", failing)
    with pytest.raises(WriteError, match="cannot be written: Input/output error"):
        write_atomically(tmp_path / "file", NEW)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_the_mode_of_what_stands_there_is_kept(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    path.chmod(mode)
    write_atomically(path, NEW)
    assert path.read_bytes() == NEW
    assert path.stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_gets_what_the_umask_leaves(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", NEW)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == mode


def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(OLD)
    link.symlink_to("target")
    write_atomically(link, NEW)
    assert link.is_symlink()
    assert target.read_bytes() == NEW


def test_hard_links_part(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(OLD)
    other.hardlink_to(path)
    write_atomically(path, NEW)
    assert (path.read_bytes(), other.read_bytes()) == (NEW, OLD)


def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    path.chmod(0o444)
    with pytest.raises(WriteError, match="is read-only"):
        write_atomically(path, NEW)
    assert path.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["folder", "fifo", "loop", "absent/file", "nul\0"])
def test_what_is_no_writable_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(WriteError):
        write_atomically(tmp_path / name, NEW)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "folder", "loop"]


@pytest.mark.parametrize("meanwhile", [b"changed", None])
def test_a_file_that_changed_meanwhile_is_left_alone(meanwhile: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if meanwhile is not None:
        path.write_bytes(meanwhile)
    with pytest.raises(WriteError, match="was changed by another program meanwhile"):
        write_atomically(path, NEW, expected=OLD, backup=f"{path}.bak")
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([meanwhile] if meanwhile else [])


@pytest.mark.parametrize("linking", [True, False], ids=["link", "copy"])
@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "rewritten"])
def test_a_writer_between_the_backup_and_the_last_look_is_seen(
    linking: bool, replaced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes while the backup is made is not overwritten, and no backup of what is not replaced stays."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    link, rename = os.link, os.replace

    def theirs() -> None:
        if replaced:
            path.unlink()
        path.write_bytes(b"theirs")

    def linked(one: str, other: str) -> None:
        if not linking:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        link(one, other)
        theirs()

    def renamed(one: str, other: str) -> None:
        rename(one, other)
        if not linking:
            theirs()

    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(os, "replace", renamed)
    with pytest.raises(WriteError, match="was changed by another program meanwhile"):
        write_atomically(path, NEW, expected=OLD, backup=f"{path}.bak")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_with_several_names_is_backed_up_by_a_copy(tmp_path: Path) -> None:
    """Writing through one of its other names changes no backup."""
    path, other, backup = tmp_path / "file", tmp_path / "other", tmp_path / "file.bak"
    path.write_bytes(OLD)
    path.chmod(0o640)
    other.hardlink_to(path)
    write_atomically(path, NEW, expected=OLD, backup=str(backup))
    other.write_bytes(b"changed")
    assert (path.read_bytes(), backup.read_bytes()) == (NEW, OLD)
    assert backup.stat().st_mode & 0o7777 == 0o640
    assert backup.stat().st_nlink == other.stat().st_nlink == 1


def test_a_copied_backup_is_durable_before_the_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    (tmp_path / "other").hardlink_to(path)
    calls: list[str] = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda one, other: (calls.append(Path(other).name), rename(one, other)))
    write_atomically(path, NEW, backup=f"{path}.bak")
    assert calls == ["fsync", "fsync", "file.bak", "file", "fsync"]


def test_the_owner_of_what_stands_there_is_kept(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    path = tmp_path / "file"
    path.write_bytes(OLD)
    os.chown(path, 12345, 54321)
    path.chmod(0o2750)
    write_atomically(path, NEW)
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12345, 54321, 0o2750)


@pytest.mark.parametrize("group_too", [True, False])
def test_an_owner_that_may_not_be_given_is_no_error(
    group_too: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file may not be given away its group still is, if that may be."""
    path, given = tmp_path / "file", []
    path.write_bytes(OLD)
    status = os.stat(path)
    other = os.stat_result((*status[:4], 12345, 54321, *status[6:]))
    monkeypatch.setattr(os, "lstat", lambda _: other)

    def refusing(_: int, owner: int, group: int) -> None:
        given.append((owner, group))
        if owner != -1 or not group_too:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refusing)
    write_atomically(path, NEW)
    monkeypatch.undo()
    assert path.read_bytes() == NEW
    assert given == [(12345, 54321), (-1, 54321)]


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="is a folder; give a file name"):
        write_atomically(tmp_path, NEW)


def test_a_bare_name_is_written_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically("file", OLD)
    write_atomically("file", NEW, backup="file.bak")
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "file.bak").read_bytes()) == (NEW, OLD)


def test_backups_are_numbered_and_never_overwritten(tmp_path: Path) -> None:
    path, backup = tmp_path / "file", tmp_path / "file.v3.bak"
    for content in (b"1", b"2", b"3"):
        path.write_bytes(content)
        write_atomically(path, NEW, backup=str(backup))
        path.unlink()
    assert backup.read_bytes() == b"1"
    assert (tmp_path / "file.v3.1.bak").read_bytes() == b"2"
    assert (tmp_path / "file.v3.2.bak").read_bytes() == b"3"


def test_an_equal_backup_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for _ in range(2):
        path.write_bytes(OLD)
        write_atomically(path, NEW, backup=f"{path}.bak")
        path.unlink()
    assert os.listdir(tmp_path) == ["file.bak"]


@pytest.mark.parametrize("taken", ["folder", "link", "large"])
def test_a_backup_name_taken_by_anything_else_is_passed_over(taken: str, tmp_path: Path) -> None:
    path, name = tmp_path / "file", tmp_path / "file.bak"
    path.write_bytes(OLD)
    {
        "folder": name.mkdir,
        "link": lambda: name.symlink_to("nowhere"),
        "large": lambda: name.write_bytes(b"x" * 200_000),
    }[taken]()
    write_atomically(path, NEW, backup=str(name))
    assert (tmp_path / "file.1.bak").read_bytes() == OLD


def test_where_there_are_no_hard_links_a_backup_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refusing)
    path = tmp_path / "file"
    path.write_bytes(OLD)
    write_atomically(path, NEW, backup=f"{path}.bak")
    assert (path.read_bytes(), (tmp_path / "file.bak").read_bytes()) == (NEW, OLD)


def test_only_our_own_old_temporary_files_are_swept(tmp_path: Path) -> None:
    ours = f".training_config.json.123.abc{TEMPORARY_SUFFIX}"
    kept = [f".mine{TEMPORARY_SUFFIX}", f"a.1.2{TEMPORARY_SUFFIX}", ".x.123.abc.tmp", "training_config.json"]
    old = time.time() - 7200
    for name in (ours, *kept):
        (tmp_path / name).write_bytes(OLD)
        os.utime(tmp_path / name, (old, old))
    young = f".training_config.json.9.f{TEMPORARY_SUFFIX}"
    (tmp_path / young).write_bytes(OLD)
    (tmp_path / f".folder.1.2{TEMPORARY_SUFFIX}").mkdir()
    sweep(tmp_path)
    assert set(os.listdir(tmp_path)) == {*kept, young, f".folder.1.2{TEMPORARY_SUFFIX}"}


def test_what_a_kill_leaves_behind_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(os, "unlink", lambda *_: None)
    with pytest.raises(SystemExit):
        write_atomically(tmp_path / "file", NEW)
    monkeypatch.undo()
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_listed_is_not_swept(tmp_path: Path) -> None:
    sweep(tmp_path / "absent")
