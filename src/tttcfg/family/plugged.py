"""Variants that plug-ins provide, each with a schema and a history of its own.

In a document the section of such a variant states its version: ``{"name": "lion", "schema_version": 2, …}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, cast

from tttcfg.errors import InputError, NewerVersionError, Place, Problem, kind_of, quote
from tttcfg.family.family import Family
from tttcfg.schema.fields import ConfigField, Variants, names_of_variant, plugins_of, variants_of
from tttcfg.schema.fragments import fragment_at, tags
from tttcfg.schema.paths import Path, Tree, get_path, set_path
from tttcfg.schema.plugged import HERE, Plugged, provided, register_plugged

VERSION = "schema_version"


@dataclass(frozen=True, eq=False)
class PluggedVariant(Family, Plugged):
    """A section that a plug-in provides for a field of another family, as one more of its variants.

    A distribution declares it as an entry point of the group that the field names. `name` is that of the entry point;
    the discriminator, a field of the model as all others are, states what the variant is called in documents.
    """


def register_variant(variant: PluggedVariant, group: str) -> PluggedVariant:
    """Provide a variant in this process, as a distribution does by an entry point of the group.

    Raises:
        InputError: A field with the group was used before, or another variant that is registered has its name.
    """
    register_plugged(variant, group)
    return variant


class PluggedSection(NamedTuple):
    """The section of a variant of a plug-in in plain values.

    Attributes:
        path: Where it is.
        version: The version of the plug-in's schema that it states, if it states one.
    """

    field: ConfigField
    path: Path
    plugin: PluggedVariant
    section: Tree
    version: int | None


def plugged_fields(family: Family) -> list[ConfigField]:
    """Return the fields for which plug-ins may provide variants."""
    return [field for field in family.variant_fields if any(map(plugins_of, _infos(field)))]


def plugins_for(field: ConfigField) -> list[PluggedVariant]:
    """Return the plug-ins that provide variants of a field."""
    variants = (variants_of(info) for info in _infos(field))
    plugins = dict.fromkeys(plugin for one in variants if one is not None for plugin in one.plugins.values())
    return [one for one in plugins if isinstance(one, PluggedVariant)]


def _infos(field: ConfigField) -> list[Any]:
    return [field.info, *(one.info for one in field.declared)]


def plugged_sections(
    values: Tree, places: Iterable[tuple[ConfigField, Path]], where: Callable[[Path], Place | str]
) -> Iterator[PluggedSection]:
    """Yield the sections of variants of plug-ins that values have at these places.

    Raises:
        InputError: One states no version that its plug-in has.
    """
    for field, path in places:
        section = get_path(values, path)
        for info in _infos(field) if isinstance(section, dict) else ():
            variants = variants_of(info)
            plugin = _plugin_of(section, variants, plugins_of(info)) if variants is not None else None
            if plugin is not None:
                version = _stated(section, plugin, path, plugins_of(info), where)
                yield PluggedSection(field, path, plugin, section, version)
                break


def _plugin_of(section: Tree, variants: Variants, group: str) -> PluggedVariant | None:
    """Return what provides the variant that a section is of, under any name that it ever had."""
    name = section.get(variants.key)
    if not group or not isinstance(name, str):
        return None
    if name in variants.models:
        return cast("PluggedVariant | None", variants.plugins.get(name))
    for plugin, _ in provided(group).values():
        if isinstance(plugin, PluggedVariant) and name in _names_ever(plugin, variants.key):
            return plugin
    return None


def _names_ever(plugin: PluggedVariant, key: str) -> set[str]:
    """Return what a variant of a plug-in is called in any version."""
    fragments = (fragment_at(plugin.chain.schema(version), (key,)) for version in range(plugin.head + 1))
    return {name for one in fragments if one is not None for name in tags(one)}


def _stated(
    section: Tree, plugin: PluggedVariant, path: Path, group: str, where: Callable[[Path], Place | str]
) -> int | None:
    if VERSION not in section:
        return None
    version, at = section[VERSION], (*path, VERSION)
    key, place = ".".join(at), where(at)
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        given = quote(version) if isinstance(version, int) else kind_of(version)
        message = f"{given} is not a version; write a whole number from 0 to {plugin.head}"
        raise InputError(Problem("version", message, key, place))
    if version > plugin.head:
        one = provided(group)[plugin.name]
        source = "is registered" if one.distribution == HERE else f"is of {one.distribution}"
        message = f"is {version}, and {plugin.name}, which {source}, reads versions up to {plugin.head}"
        advice = "" if one.distribution == HERE else f"install a newer one: pip install --upgrade {one.distribution}"
        raise NewerVersionError(Problem("newer", message, key, place, advice=advice))
    return version


def with_versions(body: Tree, training: Any, family: Family) -> Tree:
    """Return the fields of a configuration with the version of every section that is of a plug-in's variant."""
    for field in plugged_fields(family):
        held = field.get(training)
        section = get_path(body, field.path)
        if not isinstance(held, str) or not isinstance(section, dict):
            continue
        model = type(attrgetter(field.name)(training))
        found = (one.plugins for info in _infos(field) if (one := variants_of(info)) is not None)
        plugin = next((one[held] for one in found if held in one and one[held].model is model), None)
        if isinstance(plugin, PluggedVariant):
            key = next(name for name in section if section[name] == held and held in names_of_variant(model, name))
            rest = {name: value for name, value in section.items() if name != key}
            set_path(body, field.path, {key: held, VERSION: plugin.head, **rest})
    return body


@lru_cache(maxsize=64)
def spellings_of(family: Family) -> Mapping[str, str]:
    """Return today's name of every old one, those inside of variants that plug-ins provide included.

    A name is left out where another variant has it today.
    """
    found = dict(family.chain.spellings)
    for field in plugged_fields(family):
        for plugin in plugins_for(field):
            for old, new in plugin.chain.spellings.items():
                if (name := f"{field.name}.{old}") not in family.fields:
                    found[name] = new and f"{field.name}.{new}"
    return found
