"""Entry points of installed distributions, found without importing importlib.metadata where there are none."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

from tttcfg.errors import InputError, Problem, quote

FAMILIES = "tttcfg.families"
EXTENSIONS = "tttcfg.extensions"


class Declared(NamedTuple):
    """One entry point: its name, its value `module:NAME`, and the distribution that declares it."""

    name: str
    value: str
    distribution: str


def declared(group: str) -> list[Declared]:
    """Return the entry points of a group by name; where there are none, only folders are listed.

    Raises:
        InputError: Two distributions claim one name.
    """
    if not any(_mentions(folder or ".", group.encode()) for folder in sys.path):
        return []
    from importlib import metadata  # with the e-mail parser a fifth of a command, only for those with plug-ins

    found: dict[tuple[str, str], Declared] = {}
    for distribution in metadata.distributions():
        for one in distribution.entry_points:
            if one.group == group:
                entry = Declared(one.name, one.value, distribution.metadata["Name"])
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


def loaded(reference: str, wanted: type, key: str) -> Any:
    """Return the object `module:NAME`, which has to be a `wanted`.

    A module that is not installed is searched in the current folder as well, as for programs that run there.

    Raises:
        InputError: There is no such module or name, it cannot be imported, or is of another type.
    """
    module, _, name = reference.partition(":")
    if not module or not name:
        raise InputError(Problem("plugin", f"{quote(reference)} is not of the form module:NAME", key))
    try:
        found = _imported(module)
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


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        here = os.getcwd()
        if error.name not in (module, module.partition(".")[0]) or here in sys.path:
            raise
        sys.path.insert(0, here)
        return import_module(module)
