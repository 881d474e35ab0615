"""Variants that plug-ins provide for a field of a family, by the group of entry points that the field names.

A group is looked up when a field with it is first used, not when its model is declared: a plug-in may import the
trainer, and the other way round. What is known of a field does not change after that.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tttcfg.errors import InputError, Problem
from tttcfg.plugins import entry_points, load_entry_point

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

PLUGINS = "x-plugins"
"""The group of entry points that provide variants of a field, in its declaration and its schema."""
HERE = "this process"
"""What provides a variant that is registered."""


class Plugged:
    """What a plug-in provides for a field; see `tttcfg.PluggedVariant`, which has a history.

    Attributes:
        name: The name of its entry point.
        model: The section; its discriminator has the names of the variant as its values.
    """

    name: str
    model: type[BaseModel]


class Provided(NamedTuple):
    """A plug-in, and the distribution that it is from."""

    plugin: Plugged
    distribution: str


_REGISTERED: dict[str, dict[str, Plugged]] = {}
_USED: set[str] = set()
_IGNORED: list[bool] = []


def ignore_plug_ins() -> None:
    """Let this process see no plug-ins of any field, as one that maintains a schema: it depends on none of them."""
    _IGNORED.append(True)


def register_plugged(plugin: Plugged, group: str) -> None:
    """Provide a variant in this process, for the fields that name a group.

    Raises:
        InputError: A field with the group was used before, or another plug-in of the group has its name.
    """
    registered = _REGISTERED.setdefault(group, {})
    if registered.get(plugin.name) is plugin:
        return
    if group in _USED:
        message, advice = "is registered after a field of its group was used", "register it before, or restart"
        raise InputError(Problem("plugin", message, plugin.name, group, advice=advice))
    if plugin.name in registered:
        message = "is the name of another plug-in that is registered; rename one of them"
        raise InputError(Problem("plugin", message, plugin.name, group))
    registered[plugin.name] = plugin


def provided(group: str) -> Mapping[str, Provided]:
    """Return what the installed and registered plug-ins of a group provide, by name.

    Raises:
        InputError: One cannot be imported, is none, has another name than its entry point, or two have one name.
    """
    return _provided(group) if not _IGNORED else {}


@cache
def _provided(group: str) -> Mapping[str, Provided]:
    found: dict[str, Provided] = {}
    problems: list[Problem] = []
    for entry in entry_points(group):
        try:
            plugin = load_entry_point(entry, object)
        except InputError as error:
            problems += [one._replace(place=group) for one in error.problems]
            continue
        advice = f"correct the entry point of {entry.distribution}, or uninstall it"
        if not isinstance(plugin, Plugged):
            message = f"{entry.value} is a {type(plugin).__name__}, not a PluggedVariant"
            problems.append(Problem("plugin", message, entry.name, group, advice=advice))
        elif plugin.name != entry.name:
            message = f"is the entry point of a plug-in named {plugin.name}; they have one name"
            problems.append(Problem("plugin", message, entry.name, group, advice=advice))
        else:
            found[entry.name] = Provided(plugin, entry.distribution)
    for name, plugin in _REGISTERED.get(group, {}).items():
        if name in found and found[name].plugin is not plugin:
            message = f"is registered, and {found[name].distribution} provides another of that name; rename one of them"
            problems.append(Problem("plugin", message, name, group))
        found[name] = Provided(plugin, HERE)
    if problems:
        raise InputError(problems)
    _USED.add(group)
    return MappingProxyType(found)
