"""Sections of variants in what a source gives: the variant that each is of, stated there or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.family import Family
from tttcfg.family.plugged import VERSION, plugged_fields, plugged_sections
from tttcfg.migration.record import Record
from tttcfg.schema.fields import UNSET, ConfigField, variants_of
from tttcfg.schema.paths import MISSING, Path, Tree, copied, get_path, pop_path, prune, set_path, split
from tttcfg.schema.validation import accepted

Held = Mapping[str, "str | None"]
"""The variants that fields hold, by the fields' names; None for null."""


def plugged_upgraded(values: Tree, family: Family, where: Callable[[Path], Place | str], record: Record) -> Tree:
    """Return values in which every section of a plug-in's variant is in the newest version, with nothing filled in.

    Args:
        where: Returns the place of a path, for the problems.
        record: Gets what was done, by today's names.

    Raises:
        InputError: One states no version that its plug-in has, or has a value that it alone does not explain.
    """
    if not plugged_fields(family):
        return values
    values = copied(values)
    places = [(field, path) for field, path, _ in _places(values, family)]
    for one in plugged_sections(values, places, where):
        section = {key: value for key, value in one.section.items() if key != VERSION}
        if one.version != one.plugin.head:
            own, validated = Record(), partial(accepted, one.plugin.model)
            section, reading = one.plugin.chain.up_partial(section, own, one.version, validated)
            if unclear := sorted({*reading.deferred, *(found.path for found in reading.ambiguous)}):
                path, advice = (*one.path, *split(unclear[0])), f"with {VERSION}: {one.plugin.head} in its section"
                message = "depends on the version of its section, or on what is not given beside it"
                advice = f"give it in today's form, {advice}"
                raise InputError(Problem("version", message, ".".join(path), where(path), advice=advice))
            record.put_below(one.field.name, own)
        set_path(values, one.path, section)
    return values


def with_variants(values: Tree, family: Family, held: Held, version: int | None) -> tuple[Tree, list[str]]:
    """Return values in which every section of variants states which one it is, and where it had not.

    The name of a variant may be given in the place of its section. An empty section gives nothing, and is left out.

    Args:
        held: The variant of a section that does not state its own.
        version: The version that the values are in, if that is known.
    """
    values, implied = copied(values), []
    for field, path, key in _places(values, family):
        section = get_path(values, path)
        if isinstance(section, str):
            set_path(values, path, {key: section})
        elif section == {}:
            pop_path(values, path)
            prune(values, path)
        elif isinstance(section, dict) and key not in section and (variant := held.get(field.name)) is not None:
            set_path(values, path, {key: family.chain.variant_in(field.name, variant, version), **section})
            implied.append(".".join((*path, key)))
    return values, implied


def usual_variants(family: Family) -> dict[str, str | None]:
    """Return the variant that each field holds by default, for the fields that have a default."""
    return {one.name: one.default for one in family.variant_fields if one.default is not UNSET}


def ways(values: Tree, family: Family) -> Iterator[dict[str, str | None]]:
    """Yield every choice of variants for the sections that do not state theirs, the usual ones first."""
    for field, path, key in _places(values, family):
        section = get_path(values, path)
        if isinstance(section, dict) and section and key not in section and field.variants is not None:
            names = sorted(field.variants.models, key=lambda name: name != field.default)
            for name in names:
                named = copied(values)
                set_path(named, path, {key: name, **section})
                yield from ({field.name: name, **others} for others in ways(named, family))
            return
    yield {}


def with_sections(values: Mapping[str, Any], fields: Sequence[ConfigField], held: Held) -> dict[str, Any]:
    """Return values of all fields with the section of each variant in the place of its name."""
    found = dict(values)
    for field in reversed([one for one in fields if isinstance(held.get(one.name), str)]):
        own = field.declared_in(held)
        variants = variants_of(own.info if own is not None else field.info)
        if variants is None:
            continue
        section: Tree = {variants.key: held[field.name]}
        for inner in fields:
            if inner.around[-1:] == (field.name,) and found[inner.name] is not UNSET:
                set_path(section, inner.path[len(field.path) :], found[inner.name])
        found[field.name] = section
    return found


def _places(values: Tree, family: Family) -> Iterator[tuple[ConfigField, Path, str]]:
    """Yield every field of variants that values are given of, under any of its names, and its discriminator.

    An outer one comes before those inside, and is as its reader has left it when these are looked for.
    """
    for field in family.variant_fields:
        if not _may_be_there(field, values, family):
            continue
        names = [field.name]
        if get_path(values, field.path, MISSING) is MISSING:
            names = [old for old, new in family.chain.spellings.items() if new == field.name]
        for path in map(split, names):
            if field.variants is not None and get_path(values, path, MISSING) is not MISSING:
                yield field, path, field.variants.key


def _may_be_there(field: ConfigField, values: Tree, family: Family) -> bool:
    """Whether the variants that values state around a field have it, under whatever name; true where none is stated."""
    stated: dict[str, Any] = {}
    for name in field.around:
        around = family.fields[name]
        given = get_path(values, (*around.path, around.variants.key)) if around.variants is not None else None
        if not isinstance(given, str):
            return True
        stated[name] = family.chain.variant_today(name, given)
    return not field.declared or field.declared_in(stated) is not None
