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
from tttcfg.secrets import without_secrets
from tttcfg.urls import Url

_PARTS = re.compile("[/?#&=:@]+")
_LONGEST_REASON = 1000
_TEMPLATES = ("reference",)
_WEB = ("http", "https")
_GONE = (404, 410)
_FORBIDDEN = (401, 403)


class ForbiddenError(InputError):
    """A file that may exist, but access to it is refused."""


def check(url: Url) -> None:
    """Check that a URL has a protocol that can be read, without asking a server.

    Raises:
        InputError: The protocol is unknown, or reading the URL would run more than a read.
    """
    with _errors_as_problems(url):
        _file_system(url)


def existing(urls: Iterable[Url]) -> tuple[dict[str, Url], list[Problem]]:
    """Return the files that exist, by their shown URLs, and the problems of those for which access is refused.

    Raises:
        InputError: A server does not answer as it should.
    """
    answers = {url: _exists(url) for url in urls}
    found = {str(url): url for url, answer in answers.items() if answer is True}
    return found, [problem for answer in answers.values() if not isinstance(answer, bool) for problem in answer]


def _exists(url: Url) -> bool | tuple[Problem, ...]:
    try:
        with _errors_as_problems(url):
            files, path = _file_system(url)
            return bool(files.info(path).get("type", "file") == "file")
    except ForbiddenError as error:
        return error.problems
    except InputError as error:
        if any(problem.code != "not_found" for problem in error.problems):
            raise
        return False


@contextmanager
def opened(url: Url) -> Iterator[tuple[Any, int]]:
    """Open a file, and yield it with its size in bytes; nothing is read ahead."""
    with _errors_as_problems(url):
        files, path = _file_system(url)
        status = files.info(path)
        if status.get("type", "file") != "file":
            raise _refused(url, f"is a {status['type']}; give a file")
        size = status.get("size")
        if not isinstance(size, int):
            raise _refused(url, "cannot be read: its server does not report the file's size")
        with files.open(path, "rb", cache_type="none") as file:
            yield file, size


def _file_system(url: Url) -> tuple[Any, str]:
    protocol = url.whole.partition("://")[0].strip().lower()
    if "::" in url.whole:
        raise _refused(url, "chains protocols, which can run code and read other places; give a URL of one protocol")
    if protocol in _TEMPLATES:
        raise _refused(url, f"{protocol}:// runs templates that it reads; give the URL of the file itself")
    files, path = url_to_fs(url.whole)
    if isinstance(files, LocalFileSystem):
        raise _refused(url, f"{protocol}:// takes only an absolute path; give the path")
    return files, path


@contextmanager
def _errors_as_problems(url: Url) -> Iterator[None]:
    """Raise the errors of a file system as an InputError with one problem."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # every protocol has errors of its own
        is_web = url.partition("://")[0].lower() in _WEB
        # For the web, fsspec raises every failure as a FileNotFoundError, and keeps the cause.
        cause = (error.__cause__ or error) if is_web and isinstance(error, FileNotFoundError) else error
        status = getattr(cause, "status", None)
        if status in _GONE or isinstance(cause, FileNotFoundError):
            raise InputError(Problem("not_found", "there is no such file", place=Place(url))) from None
        if status in _FORBIDDEN or isinstance(cause, PermissionError):
            message = "cannot be read: access is refused"
            raise ForbiddenError(Problem("unreadable", message, place=Place(url))) from None
        reason = without_secrets(str(cause).replace(url.whole, url))
        if not reason or _leaks(url, reason):
            reason = type(cause).__name__
        raise _refused(url, f"cannot be read: {reason}") from None


def _leaks(url: Url, reason: str) -> bool:
    """Whether a message of another library has a part of the URL that is not shown, or is too long to know."""
    if len(reason) > _LONGEST_REASON:
        return True
    parts = set(_PARTS.split(url.whole))
    return any(part not in url for part in parts if part in reason or unquote(part) in reason)


def _refused(url: Url, message: str) -> InputError:
    return InputError(Problem("unreadable", message, place=Place(url)))
