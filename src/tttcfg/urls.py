"""URLs: the part that may be shown, and a type that keeps the rest out of what is shown or saved."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_MARK = "://"
# Patterns are compiled when the first URL is used: few runs have one.
_LOCAL = r"(?i:file|local)://(?:localhost)?(/[^?]*)"
_START = r"(:/+)"
"""One slash remains of a URL that was normalised as a path."""
_IN_TEXT = r"(?<![A-Za-z0-9+.:\-])([0-9+.:\-]*)([A-Za-z][A-Za-z0-9+.:\-]+:/\S)(\S*)"
"""A URL with what precedes it: begun only where nothing of a protocol precedes, so that no text is searched twice."""
_BEHIND = "'\"),;:.]"
"""What follows a URL in a sentence and is no part of it."""


class Url(str):
    """The part of a URL that may be shown: no message, file or pickle made of it holds a user, password or query.

    Attributes:
        whole: The complete URL, only for the code that opens it.
    """

    __slots__ = ("whole",)
    whole: str

    def __new__(cls, whole: str) -> Self:
        url = super().__new__(cls, shown(whole))
        url.whole = whole
        return url

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)

    def beside(self, name: str) -> Url:
        """Return the URL of the file `name` in the same folder, with the same query."""
        start, query = self._parts()
        return Url(f"{start.rpartition('/')[0]}/{name}{query}")

    def inside(self, name: str) -> Url:
        """Return the URL of what is called `name` in the folder that this one is of, with the same query."""
        start, query = self._parts()
        return Url(f"{start.rstrip('/')}/{name}{query}")

    def _parts(self) -> tuple[str, str]:
        start, mark, query = self.whole.partition("?")
        return start, mark + query


def address(path: str | os.PathLike[str]) -> str:
    """Return a path as text: a `Url` where it is one, and the plain path where a URL names a file of this machine."""
    text = os.fspath(path)
    if isinstance(text, Url) or not is_url(text):
        return text
    local = re.fullmatch(_LOCAL, text)
    return local[1] if local else Url(text)


def is_url(path: str) -> bool:
    return _MARK in path


def shown(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    *start, rest = re.split(_START, url, maxsplit=1)
    return "".join((*start, re.split("[?#]", _without_login(rest), maxsplit=1)[0]))


def _without_login(rest: str) -> str:
    """Return what follows the protocol without user and password; one with a bare slash in it ends at the last @."""
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return rest[host.rindex("@") + 1 :]
    _, colon, port = host.partition(":")
    return rest[rest.rfind("@") + 1 :] if colon and re.search("[^0-9]", port) else rest


def without_hidden_parts(text: str) -> str:
    """Return a sentence with every URL in it as it may be shown."""
    return re.sub(_IN_TEXT, _shown_in_text, text) if ":/" in text else text


def _shown_in_text(found: re.Match[str]) -> str:
    before, start, rest = found.groups()
    url = start + rest.rstrip(_BEHIND)
    return before + shown(url) + found[0][len(before) + len(url) :]
