"""Files behind a URL, whole or in parts; needs fsspec, and what that needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from tttcfg.errors import InputError, Place, Problem
from tttcfg.files.limits import too_large
from tttcfg.urls import Url, without_secrets

_PARTS = re.compile("[/?#&=:@]+")
_TEMPLATES = ("reference",)
_WEB = ("http", "https")
_GONE = (404, 410)
_FORBIDDEN = (401, 403)


class ForbiddenError(InputError):
    """A file that may be there, and that is not ours to read."""


def check(url: Url) -> None:
    """Ask nothing of any server, and see whether it is a URL of a kind that is read.

    Raises:
        InputError: Nobody knows its protocol, or reading it would run more than a read.
    """
    with _told(url):
        _file_system(url)


def fetch(url: Url, cap: int) -> bytes:
    """Read a whole file of at most `cap` bytes.

    Raises:
        InputError: It cannot be read, or is larger.
    """
    with opened(url) as (file, size):
        if size > cap:
            raise InputError(too_large(url, size, cap))
        return exactly(file, size, url)


def those_there(urls: Iterable[Url]) -> tuple[dict[str, Url], list[Problem]]:
    """Return which of some files are there, by their shown URLs, and what keeps us from knowing it of others.

    Raises:
        InputError: A server does not answer as it should; what nobody may read is not that.
    """
    told = {url: _is_there(url) for url in urls}
    found = {str(url): url for url, answer in told.items() if answer is True}
    return found, [problem for answer in told.values() if not isinstance(answer, bool) for problem in answer]


def _is_there(url: Url) -> bool | tuple[Problem, ...]:
    try:
        with _told(url):
            files, path = _file_system(url)
            return bool(files.info(path).get("type", "file") == "file")
    except ForbiddenError as error:
        return error.problems
    except InputError as error:
        if any(problem.code != "not_found" for problem in error.problems):
            raise
        return False


def exactly(file: Any, size: int, url: Url) -> bytes:
    """Read as many bytes as there must be."""
    data: bytes = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    if len(data) != size:
        raise _refused(url, f"cannot be read: {size:,} bytes were asked for and {len(data):,} came")
    return data


@contextmanager
def opened(url: Url) -> Iterator[tuple[Any, int]]:
    """Open a file, and say how long it is."""
    with _told(url):
        files, path = _file_system(url)
        status = files.info(path)
        if status.get("type", "file") != "file":
            raise _refused(url, f"is a {status['type']}; give a file")
        size = status.get("size")
        if not isinstance(size, int):
            raise _refused(url, "cannot be read: its server does not say how long the file is")
        with files.open(path, "rb", cache_type="none") as file:
            yield file, size


def _file_system(url: Url) -> tuple[Any, str]:
    protocol = url.whole.partition("://")[0].strip().lower()
    if "::" in url.whole:
        raise _refused(url, "chains protocols, which can run code and read other places; give a plain URL")
    if protocol in _TEMPLATES:
        raise _refused(url, f"{protocol}:// runs templates out of what it reads; give the URL of the file itself")
    files, path = url_to_fs(url.whole)
    if isinstance(files, LocalFileSystem):
        raise _refused(url, f"{protocol}:// takes an absolute path and nothing else; give the path")
    return files, path


@contextmanager
def _told(url: Url) -> Iterator[None]:
    """Turn whatever a file system raises into one problem: every protocol has errors of its own."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause = _cause(url, error)
        status = getattr(cause, "status", None)
        if status in _GONE or isinstance(cause, FileNotFoundError):
            raise InputError(Problem("not_found", "there is no such file", place=Place(url))) from None
        if status in _FORBIDDEN or isinstance(cause, PermissionError):
            message = "could not be read: access is refused"
            raise ForbiddenError(Problem("unreadable", message, place=Place(url))) from None
        reason = without_secrets(str(cause).replace(url.whole, url))
        if not reason or _leaks(url, reason):
            reason = type(cause).__name__
        raise _refused(url, f"cannot be read: {reason}") from None


def _cause(url: Url, error: BaseException) -> BaseException:
    """Return what went wrong: on the web, fsspec calls every failure a file that is not there, and keeps the cause."""
    if isinstance(error, FileNotFoundError) and url.partition("://")[0].lower() in _WEB:
        return error.__cause__ or error
    return error


def _leaks(url: Url, reason: str) -> bool:
    """Whether what somebody else says holds anything that is hidden of a URL."""
    hidden = (part for part in _PARTS.split(url.whole) if part not in url)
    return any(part in reason or unquote(part) in reason for part in hidden)


def _refused(url: Url, message: str) -> InputError:
    return InputError(Problem("unreadable", message, place=Place(url)))
