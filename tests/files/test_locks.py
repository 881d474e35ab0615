"""Locks of files and folders: whose process lives, keeps them; whose died, does not."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from tests.launcher import started
from tttcfg.errors import WriteError
from tttcfg.files import locks
from tttcfg.files.locks import TEMPORARY_SUFFIX, abandoned, alone, hold, name_of_temporary, sweep, temporary_name

HOLDS = """
import os, sys
from tttcfg.files.locks import alone, hold
what, path = sys.argv[1:]
if what == "alone":
    context = alone(path)
    context.__enter__()
else:
    assert hold(os.open(path, os.O_RDONLY), path)
print("ready", flush=True)
sys.stdin.read()
"""

FORKS = """
import os, sys
from pathlib import Path
from tttcfg.files.locks import alone
from tttcfg.files.storage import written_beside
what, path = sys.argv[1:]
def fork(*_):
    if not os.fork():
        print("ready", flush=True)
        sys.stdin.read()
        os._exit(0)
if what == "written_beside":
    context = written_beside(path + "/file", fork, None)
elif what == "alone":
    context = alone(path)
else:
    from tttcfg.nn.checkpoints.places import held
    context = held(Path(path))
context.__enter__()
if what != "written_beside":
    fork()
sys.stdin.read()
"""
"""Forks a process while it holds something: that one lives on, as a worker that reads data does."""


@contextmanager
def other(what: str, path: Path) -> Iterator[Callable[[], object]]:
    """A process that holds a lock; yield what kills it."""
    command = (sys.executable, "-c", HOLDS, what, path)
    with started(*command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"

        def kill() -> None:
            process.kill()
            process.wait()

        yield kill


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_a_folder_that_is_another_one_once_it_is_locked_is_not_written_in(how: str, tmp_path: Path) -> None:
    folder, errors = tmp_path / "folder", list[str]()
    folder.mkdir()

    def write() -> None:
        with pytest.raises(WriteError) as caught, alone(folder):
            raise AssertionError
        errors.append(str(caught.value))

    with alone(folder):
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.2)
        folder.rename(tmp_path / "elsewhere") if how == "moved" else folder.rmdir()
        if how == "replaced":
            folder.mkdir()
    thread.join()
    assert errors == [f"{folder}: was moved or removed by another program meanwhile; run again"]


@contextmanager
def forking(what: str, path: Path) -> Iterator[Callable[[], object]]:
    """A process that holds a lock, and has forked another one meanwhile; yield what kills the first alone."""
    with started(sys.executable, "-c", FORKS, what, path, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"

        def kill() -> None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

        yield kill


def is_abandoned(path: Path, age: float = 0.0) -> bool:
    with abandoned(path, time.time() - age) as found:
        return found


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "folder"])
def test_what_a_living_process_holds_is_in_use_and_of_a_dead_one_is_not(tmp_path: Path, make: Any) -> None:
    path = tmp_path / temporary_name("a")
    make(path)
    with other("hold", path) as kill:
        assert not is_abandoned(path)
        assert not is_abandoned(path, age=7200), "however old it is"
        kill()
        assert is_abandoned(path)


@pytest.mark.parametrize("name", [".a.123.4f.tttcfg-tmp", "a"])
def test_what_another_machine_or_an_older_version_made_is_known_by_its_age(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    assert not is_abandoned(path, age=60)
    assert is_abandoned(path, age=7200)


def test_without_locks_what_was_left_is_known_by_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / temporary_name("a")
    path.touch()
    assert not is_abandoned(path)
    assert is_abandoned(path, age=7200)
    with alone(tmp_path):
        pass


def test_what_is_gone_or_a_link_is_nobodys_to_remove(tmp_path: Path) -> None:
    link = tmp_path / temporary_name("a")
    assert not is_abandoned(link, age=7200)
    link.symlink_to(tmp_path)
    assert not is_abandoned(link, age=7200)


def test_the_result_shows_that_the_file_was_removed_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / temporary_name("a")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    path.unlink()
    assert not hold(descriptor, path)
    os.close(descriptor)


def test_names_are_recognised_and_never_the_same() -> None:
    names = {temporary_name("lora.safetensors") for _ in range(100)}
    assert len(names) == 100
    assert {name_of_temporary(name) for name in names} == {"lora.safetensors"}
    assert name_of_temporary("lora.safetensors") is None


def test_one_process_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    with other("alone", tmp_path) as kill:
        with pytest.raises(WriteError, match="another process"), alone(tmp_path):
            raise AssertionError
        kill()
        with alone(tmp_path), alone(f"{tmp_path}/."):
            pass
    with alone(tmp_path):
        pass


def test_a_forked_process_does_not_keep_the_lock_of_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    with forking("alone", tmp_path) as kill:
        with pytest.raises(WriteError, match="another process"), alone(tmp_path):
            raise AssertionError
        kill()
        with alone(tmp_path):
            pass


@pytest.mark.parametrize("what", ["held", "written_beside"])
def test_a_forked_process_does_not_hold_what_one_that_was_killed_has_left(what: str, tmp_path: Path) -> None:
    if what == "held" and find_spec("torch") is None:
        pytest.skip("needs torch, as what holds a checkpoint does")
    folder = tmp_path / temporary_name("folder")
    folder.mkdir()
    with forking(what, folder) as kill:
        left = folder if what == "held" else next(folder.iterdir())
        assert not is_abandoned(left)
        kill()
        assert is_abandoned(left)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_is_forked_by_another_thread_keeps_nothing(tmp_path: Path) -> None:
    """And it has its own turn in the folder in which the thread that forked it was alone."""
    inside, left = threading.Event(), threading.Event()

    def write() -> None:
        with alone(tmp_path):
            inside.set()
            left.wait()

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            with alone(tmp_path):  # waits for the thread
                code = 0
                os.write(writing, b"x")
        finally:
            os._exit(code)
    left.set()
    thread.join()
    assert os.read(reading, 1) == b"x"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_process_is_not_alone_where_the_one_that_forked_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    with alone(tmp_path):
        child = os.fork()
        if not child:
            code = 1
            try:
                with alone(tmp_path):
                    pass
            except WriteError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not may_enter(tmp_path), "the forked process closed it, and did not unlock it"
    assert may_enter(tmp_path)


def may_enter(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_one_thread_after_the_other(tmp_path: Path) -> None:
    inside: list[int] = []

    def write() -> None:
        with alone(tmp_path):
            inside.append(1)
            assert len(inside) == 1
            inside.pop()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside


def test_what_cannot_be_opened_is_not_locked(tmp_path: Path) -> None:
    with alone(tmp_path / "no"), alone("nul\0"):
        pass


def test_only_our_own_temporary_files_are_swept(tmp_path: Path) -> None:
    """Those of an older version, and of another machine, once they are an hour old."""
    ours, older = temporary_name("training_config.json"), f".training_config.json.123.abc{TEMPORARY_SUFFIX}"
    kept = [f".mine{TEMPORARY_SUFFIX}", f"a.1.2{TEMPORARY_SUFFIX}", ".x.123.abc.tmp", "training_config.json"]
    old = time.time() - 7200
    for name in (older, *kept):
        (tmp_path / name).write_bytes(b"old")
        os.utime(tmp_path / name, (old, old))
    young, folder = f".training_config.json.9.f{TEMPORARY_SUFFIX}", temporary_name("folder")
    (tmp_path / ours).write_bytes(b"old")
    (tmp_path / young).write_bytes(b"old")
    (tmp_path / folder).mkdir()
    sweep(tmp_path)
    assert set(os.listdir(tmp_path)) == {*kept, young, folder}


def test_a_folder_that_cannot_be_listed_is_not_swept(tmp_path: Path) -> None:
    sweep(tmp_path / "absent")
