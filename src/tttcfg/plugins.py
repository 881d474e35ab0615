"""Entry points of installed distributions, found without importing importlib.metadata where there are none."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem, quote

FAMILY_GROUP = "tttcfg.families"
EXTENSION_GROUP = "tttcfg.extensions"
_searched_here: list[str] = []
"""The current folder as an entry of `sys.path`, where a module in it was named; known by identity."""


class EntryPoint(NamedTuple):
    """One entry point: its name, its value `module:NAME`, and the distribution that declares it."""

    name: str
    value: str
    distribution: str


def entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group by name; where there are none, only folders are listed.

    Raises:
        InputError: Two distributions claim one name.
    """
    folders = [folder for folder in sys.path if not _is_current_folder(folder)]
    if not any(_mentions(folder, group.encode()) for folder in folders):
        return []
    from importlib import metadata  # with the e-mail parser a fifth of a command, only for those with plug-ins

    found: dict[tuple[str, str], EntryPoint] = {}
    for distribution in metadata.distributions(path=folders):
        for one in distribution.entry_points:
            if one.group == group:
                entry = EntryPoint(one.name, one.value, distribution.metadata["Name"])
                found.setdefault((entry.name, entry.distribution), entry)  # the same one may be found twice
    entries = sorted(found.values())
    problems = []
    for first, second in pairwise(entries):
        if first.name == second.name:
            message = f"is declared by {first.distribution} and by {second.distribution}; uninstall one of them"
            problems.append(Problem("plugin", message, first.name, group))
    if problems:
        raise InputError(problems)
    return entries


def _mentions(folder: str, group: bytes) -> bool:
    """Whether a distribution that is installed in `folder` declares entry points of a group."""
    try:
        with os.scandir(folder) as entries:
            names = [one.path for one in entries if one.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    return any(group in _read(os.path.join(name, "entry_points.txt")) for name in names)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def load_entry_point(entry: EntryPoint, wanted: type) -> Any:
    """Return the object of an entry point, which has to be a `wanted`; it is not searched in the current folder.

    Raises:
        InputError: There is no such module or name, it cannot be imported, or is of another type.
    """
    with _without_current_folder():
        try:
            return _loaded(entry.value, wanted, entry.name, import_module)
        except InputError as error:
            advice = f"reinstall {entry.distribution}, or uninstall it"
            raise InputError(one._replace(advice=advice) for one in error.problems) from None


def load_reference(reference: str, wanted: type, key: str) -> Any:
    """Return the object `module:NAME`, which a user named and which has to be a `wanted`.

    A module that is not installed is searched in the current folder as well, as for programs that run there; what it
    imports later is then searched there last.

    Raises:
        InputError: There is no such module or name, it cannot be imported, or is of another type.
    """
    return _loaded(reference, wanted, key, _imported_from_here)


def _loaded(reference: str, wanted: type, key: str, imported: Callable[[str], Any]) -> Any:
    module, _, name = reference.partition(":")
    if not module or not name:
        raise InputError(Problem("plugin", f"{quote(reference)} is not of the form module:NAME", key))
    try:
        found = imported(module)
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise InputError(Problem("plugin", f"{module} has no {name}", key)) from None
    except (Exception, SystemExit) as error:  # importing a plug-in may raise anything
        message = f"{module} cannot be imported: {type(error).__name__}: {error}"
        raise InputError(Problem("plugin", message, key)) from None
    if not isinstance(found, wanted):
        kind = "class" if isinstance(found, type) else type(found).__name__
        message = f"{reference} is a {kind}, not a {wanted.__name__}"
        raise InputError(Problem("plugin", message, key))
    return found


def _imported_from_here(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        here = os.getcwd()
        if error.name not in (module, module.partition(".")[0]) or here in sys.path:
            raise
        _searched_here.append(here)
        sys.path.append(here)
        return import_module(module)


def _is_current_folder(folder: str) -> bool:
    """Whether an entry of `sys.path` is the current folder as such, not because something is installed into it."""
    return folder in ("", os.curdir) or any(folder is one for one in _searched_here)


@contextmanager
def _without_current_folder() -> Iterator[None]:
    """Search modules where Python does, but not in the current folder."""
    left_out = [(index, folder) for index, folder in enumerate(sys.path) if _is_current_folder(folder)]
    for index, _ in reversed(left_out):
        del sys.path[index]
    try:
        yield
    finally:
        for index, folder in left_out:
            sys.path.insert(index, folder)
