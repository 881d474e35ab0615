"""Faults at the calls by which a program changes files, and pauses there: it is killed, refused, or interleaved.

An action runs in a process of its own, forked from this one, whose calls of the operating system pass through here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, get_args

from tttcfg.errors import TttcfgError

CALLS = (
    *("open", "write", "fsync", "ftruncate", "fchmod", "fchown", "chmod", "utime", "close"),
    *("rename", "replace", "link", "symlink", "unlink", "remove", "mkdir", "rmdir"),
)
"""The functions of `os` that pass through here, and `fcntl.flock`; `close`, as a lock ends with it."""
Kind = Literal["kill", "half", "ENOSPC", "EIO", "EACCES", "dead"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_DONE, _REFUSED, _BROKEN = 0, 3, 9
_write = os.write


class End(NamedTuple):
    """How an action ended: done, refused with an error of ours, or killed; and the text of the error."""

    how: Literal["done", "refused", "killed"]
    message: str
    was_struck: bool


class _AtCall(Protocol):
    """What happens at a call."""

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...], report: int) -> Any: ...


class Fault:
    """A fault at the call of that number.

    `half` writes one half of the bytes and is killed then; `dead` lets it and every later one fail with EIO.
    """

    def __init__(self, kind: Kind, number: int) -> None:
        self.kind, self.number, self.count = kind, number, 0

    def __repr__(self) -> str:
        return f"{self.kind} at call {self.number}"

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...], report: int) -> Any:
        self.count += 1
        if self.count < self.number or (self.count > self.number and self.kind != "dead"):
            return call(*arguments)
        _write(report, b"!")
        if self.kind == "half" and name == "write":
            _write(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        if self.kind in ("kill", "half"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "unlink" and self.kind != "dead":  # removing one's own file fails where all else does
            return call(*arguments)
        if name == "close":  # which fails where something was written, and never so that the file stays open
            is_read_only = fcntl.fcntl(arguments[0], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            call(*arguments)
            if is_read_only:
                return None
        number = errno.EIO if self.kind == "dead" else getattr(errno, self.kind)
        raise OSError(number, os.strerror(number))


def ends(
    prepare: Callable[[], object], action: Callable[[], object], kind: Kind, every: int = 1
) -> Iterator[tuple[Fault, End]]:
    """Prepare and run an action with a fault at its first call, its second and so on; yield how each ended.

    The last one ended before its fault could happen.
    """
    for number in range(1, 1000, every):
        fault = Fault(kind, number)
        prepare()
        end = struck(action, fault)
        yield fault, end
        if not end.was_struck:
            return
    raise AssertionError("an action without end")


def struck(action: Callable[[], object], fault: Fault) -> End:
    """Run an action with a fault and return how it ended: as if there were none where it makes fewer calls."""
    return _ended(_forked(action, fault))


def together(actions: Iterable[Callable[[], object]], seed: int) -> list[End]:
    """Run actions at the same time, each in a process that pauses at random before its calls; return how they ended."""
    children = [_forked(action, _pauses(seed + number)) for number, action in enumerate(actions)]
    return [_ended(child) for child in children]


def watch(action: Callable[[], object], look: Callable[[], object]) -> End:
    """Run an action that is stopped at each of its calls, so that `look` sees what is there at that moment."""

    def stopping(name: str, call: Callable[..., Any], arguments: tuple[Any, ...], report: int) -> Any:
        del name, report
        os.kill(os.getpid(), signal.SIGSTOP)
        return call(*arguments)

    child, reading = _forked(action, stopping)
    while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
        look()
        os.kill(child, signal.SIGCONT)
    return _end(status, reading)


def _pauses(seed: int) -> _AtCall:
    chance = random.Random(seed)

    def pausing(name: str, call: Callable[..., Any], arguments: tuple[Any, ...], report: int) -> Any:
        del name, report
        time.sleep(chance.choice((0, 0, 0.0005, 0.003)))
        return call(*arguments)

    return pausing


def _forked(action: Callable[[], object], at_call: _AtCall) -> tuple[int, int]:
    """Start an action in a process; return its number, and where its report can be read."""
    reading, report = os.pipe()
    child = os.fork()
    if not child:
        code = _BROKEN
        try:
            code, message = _in_child(action, at_call, report)
            _write(report, message.encode())
        finally:
            os._exit(code)
    os.close(report)
    return child, reading


def _in_child(action: Callable[[], object], at_call: _AtCall, report: int) -> tuple[int, str]:
    def passing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*arguments: Any, **options: Any) -> Any:
            if options or (name == "open" and not arguments[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)):
                return call(*arguments, **options)
            return at_call(name, call, arguments, report)

        return passed

    for name in CALLS:
        setattr(os, name, passing(name, getattr(os, name)))
    fcntl.flock = passing("flock", fcntl.flock)
    try:
        action()
    except TttcfgError as error:
        return _REFUSED, str(error)
    except BaseException as error:
        return _BROKEN, "".join(traceback.format_exception(error))
    return _DONE, ""


def _ended(started: tuple[int, int]) -> End:
    child, reading = started
    return _end(os.waitpid(child, 0)[1], reading)


def _end(status: int, reading: int) -> End:
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    code = os.waitstatus_to_exitcode(status)
    assert code in (_DONE, _REFUSED, -signal.SIGKILL), text
    how: Any = {_DONE: "done", _REFUSED: "refused"}.get(code, "killed")
    return End(how, text.lstrip("!"), text.startswith("!"))
