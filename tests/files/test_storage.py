"""Writing durably, whole or not at all: killed, out of space, linked, read-only, changed meanwhile; and sweeping up."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.launcher import launch
from tttcfg.errors import InputError, Place, Problem, WriteError
from tttcfg.files import storage
from tttcfg.files.storage import new_file, sync_folder, write_all, write_atomically, written_beside

OLD, NEW = b"old\n" * 100, b"new\n" * 200
OURS = (
    "import sys; from tttcfg.files.storage import write_atomically\n"
    "write_atomically(sys.argv[1], b'new\\n' * 200, backup=sys.argv[1] + '.bak')"
)
NAIVE = "import sys\nwith open(sys.argv[1], 'wb') as file: file.write(b'new\\n' * 200)"
CALLS = "openat,flock,write,fsync,fchmod,rename,renameat,renameat2,unlink,link,linkat"


def strace(program: str, path: Path, inject: str) -> int:
    """Run a Python program under strace with a fault injected, and return its exit code."""
    command = ["strace", "-f", "-o", os.devnull, "-e", f"trace={CALLS}", "-e", f"inject={inject}"]
    return launch(*command, sys.executable, "-B", "-c", program, path, code=None).code


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


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("call", ["write", "fsync", "openat", "flock"])
def test_an_interrupted_call_is_made_again(call: str, tmp_path: Path) -> None:
    """A signal may interrupt any of them, on network file systems above all."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    assert strace(OURS, path, f"{call}:error=EINTR:when=1..3") == 0
    assert (path.read_bytes(), (tmp_path / "file.bak").read_bytes()) == (NEW, OLD)


@pytest.mark.usefixtures("tracing")
def test_a_file_that_was_replaced_is_never_reported_as_not_written(tmp_path: Path) -> None:
    """The folder's fsync comes after the rename."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    program = (
        "import sys; from tttcfg.files.storage import write_atomically\n"
        "try: write_atomically(sys.argv[1], b'new\\n' * 200)\n"
        "except Exception as error: sys.exit(3 if 'was written, but may be lost' in str(error) else 4)"
    )
    assert strace(program, path, "fsync:error=EIO:when=2") == 3
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_the_mode_of_the_existing_file_is_kept(mode: int, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "rewritten"])
def test_a_writer_between_the_backup_and_the_last_look_is_seen(
    replaced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process writes while the backup is made is not overwritten, and what was read is kept too."""
    path, backup = tmp_path / "file", tmp_path / "file.bak"
    path.write_bytes(OLD)
    link = os.link

    def linked(one: str, other: str) -> None:
        link(one, other)
        if replaced:
            path.unlink()
        path.write_bytes(b"theirs")

    monkeypatch.setattr(os, "link", linked)
    with pytest.raises(WriteError, match="changed by another program"):
        write_atomically(path, NEW, expected=OLD, backup=str(backup))
    assert (path.read_bytes(), backup.read_bytes()) == (b"theirs", OLD)
    assert sorted(os.listdir(tmp_path)) == ["file", "file.bak"]


def test_a_name_that_is_taken_between_two_looks_gets_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "file", os.link
    path.write_bytes(OLD)

    def taken(one: str, other: str) -> None:
        Path(other).write_bytes(b"theirs")
        monkeypatch.setattr(os, "link", link)
        link(one, other)

    monkeypatch.setattr(os, "link", taken)
    write_atomically(path, NEW, backup=f"{path}.bak")
    names = ("file", "file.bak", "file.1.bak")
    assert [(tmp_path / name).read_bytes() for name in names] == [NEW, b"theirs", OLD]


def test_a_backup_is_a_file_of_its_own(tmp_path: Path) -> None:
    """Writing to the old file through an open descriptor or another of its names changes no backup."""
    path, other, backup = tmp_path / "file", tmp_path / "other", tmp_path / "file.bak"
    path.write_bytes(OLD)
    path.chmod(0o640)
    other.hardlink_to(path)
    write_atomically(path, NEW, expected=OLD, backup=str(backup))
    other.write_bytes(b"changed")
    assert (path.read_bytes(), backup.read_bytes()) == (NEW, OLD)
    assert backup.stat().st_mode & 0o7777 == 0o640
    assert backup.stat().st_nlink == other.stat().st_nlink == 1


def test_a_backup_is_durable_before_the_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, elsewhere = tmp_path / "file", tmp_path / "backups"
    path.write_bytes(OLD)
    elsewhere.mkdir()
    calls: list[str] = []
    fsync, rename, link = os.fsync, os.replace, os.link
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "link", lambda one, other: (calls.append(Path(other).name), link(one, other)))
    monkeypatch.setattr(os, "replace", lambda one, other: (calls.append(Path(other).name), rename(one, other)))
    write_atomically(path, NEW, backup=str(elsewhere / "file.bak"))
    assert calls == ["fsync", "fsync", "file.bak", "fsync", "file", "fsync"]


def test_the_owner_of_the_existing_file_is_kept(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("taken", ["folder", "link", "link to the file", "link to a copy", "large"])
def test_a_backup_name_taken_by_anything_else_is_passed_over(taken: str, tmp_path: Path) -> None:
    path, name = tmp_path / "file", tmp_path / "file.bak"
    path.write_bytes(OLD)
    {
        "folder": name.mkdir,
        "link": lambda: name.symlink_to("nowhere"),
        "link to the file": lambda: name.symlink_to("file"),
        "link to a copy": lambda: name.symlink_to(shutil.copy(path, tmp_path / "copy")),
        "large": lambda: name.write_bytes(b"x" * 200_000),
    }[taken]()
    led_to = name.resolve() if name.is_symlink() else None
    write_atomically(path, NEW, backup=str(name))
    assert (tmp_path / "file.1.bak").read_bytes() == OLD
    assert (path.read_bytes(), name.resolve() if name.is_symlink() else None) == (NEW, led_to)
    assert not (tmp_path / "nowhere").exists()


def test_another_hard_link_of_the_file_is_a_backup_already(tmp_path: Path) -> None:
    path, name = tmp_path / "file", tmp_path / "file.bak"
    path.write_bytes(OLD)
    name.hardlink_to(path)
    write_atomically(path, NEW, backup=str(name))
    assert (path.read_bytes(), name.read_bytes(), sorted(os.listdir(tmp_path))) == (NEW, OLD, ["file", "file.bak"])


def test_where_there_are_no_hard_links_a_backup_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refusing)
    path = tmp_path / "file"
    path.write_bytes(OLD)
    write_atomically(path, NEW, backup=f"{path}.bak")
    assert (path.read_bytes(), (tmp_path / "file.bak").read_bytes()) == (NEW, OLD)


@pytest.mark.usefixtures("tracing")
def test_what_a_kill_leaves_behind_is_swept_by_the_next_write(tmp_path: Path) -> None:
    assert strace(OURS, tmp_path / "file", "rename:signal=SIGKILL:when=1") != 0
    assert len(os.listdir(tmp_path)) == 1
    write_atomically(tmp_path / "other", NEW)
    assert os.listdir(tmp_path) == ["other"]


def test_what_is_being_written_is_not_swept(tmp_path: Path) -> None:
    with written_beside(str(tmp_path / "file"), lambda out: write_all(out, NEW), None) as temporary:
        launch(sys.executable, "-c", f"from tttcfg.files.locks import sweep; sweep({str(tmp_path)!r})")
        assert Path(temporary).read_bytes() == NEW
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("becomes", [b"longer" + OLD, b"short", None])
def test_a_file_that_is_changed_before_it_is_read_for_the_backup_is_reported_as_that(
    becomes: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its size is then."""
    path, read = tmp_path / "file", storage.read_bytes
    path.write_bytes(OLD)

    def changed(name: str, cap: int) -> bytes:
        monkeypatch.setattr(storage, "read_bytes", read)
        path.write_bytes(becomes) if becomes is not None else path.unlink()
        return read(name, cap)

    monkeypatch.setattr(storage, "read_bytes", changed)
    with pytest.raises(WriteError) as caught:
        write_atomically(path, NEW, expected=OLD, backup=f"{path}.bak")
    assert str(caught.value) == f"{path}: was changed by another program meanwhile; run again"
    assert [one.read_bytes() for one in tmp_path.iterdir()] == ([becomes] if becomes is not None else [])


def test_a_file_that_cannot_be_read_for_the_backup_is_reported_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    problem = Problem("unreadable", "cannot be read: Input/output error", place=Place(str(path)))

    def failing(*_: object) -> None:
        raise InputError(problem)

    monkeypatch.setattr(storage, "read_bytes", failing)
    with pytest.raises(WriteError) as caught:
        write_atomically(path, NEW, backup=f"{path}.bak")
    assert caught.value.problems == (problem,)
    assert path.read_bytes() == OLD


def test_a_folder_that_is_removed_right_after_its_file_was_written_is_reported_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "folder" / "file", os.replace
    path.parent.mkdir()

    def removing(one: str, other: str) -> None:
        replace(one, other)
        shutil.rmtree(path.parent)

    monkeypatch.setattr(os, "replace", removing)
    with pytest.raises(WriteError) as caught:
        write_atomically(path, NEW)
    message = "was written, and its folder was moved or removed by another program right after that"
    assert str(caught.value) == f"{path}: {message}; look where that is now"


@pytest.mark.parametrize("there", ["nothing", "another folder"])
def test_a_folder_that_is_moved_while_it_is_written_in_keeps_nothing(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, moved, replace = tmp_path / "folder" / "file", tmp_path / "moved", os.replace
    path.parent.mkdir()
    path.write_bytes(OLD)

    def moving(one: str, other: str) -> None:
        path.parent.rename(moved)
        if there == "another folder":
            path.parent.mkdir()
            path.write_bytes(b"theirs")
        replace(one, other)

    monkeypatch.setattr(os, "replace", moving)
    with pytest.raises(WriteError, match=r"file: was moved or removed by another program meanwhile; run again$"):
        write_atomically(path, NEW)
    assert (os.listdir(moved), (moved / "file").read_bytes()) == (["file"], OLD)
    assert not path.exists() or path.read_bytes() == b"theirs"


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
