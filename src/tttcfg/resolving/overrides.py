"""Overrides: `KEY=VALUE` as typed, or a mapping from Python, each with its position."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tttcfg.errors import InputError, Problem, nearest, nearest_key, quote
from tttcfg.family.extension import KEY as EXTENSIONS
from tttcfg.family.extension import Extension, extensions_of, path_of, within
from tttcfg.family.family import Family
from tttcfg.formats.endings import parse_value, read_value
from tttcfg.formats.python import plain_tree
from tttcfg.formats.text import checked_text, octal_elsewhere, scalar
from tttcfg.resolving.config import given, is_nothing, tree_of
from tttcfg.schema.fields import ConfigField
from tttcfg.schema.paths import MISSING, set_path, split

if TYPE_CHECKING:
    from tttcfg.migration.chain import Deferred

TAKE_DEFAULT, TAKE_CONFIG = "!default", "!config"
Overriding = Iterable[str] | Mapping[str, Any]


class Override(NamedTuple):
    """One field that is overridden: by a value, by an item at an index, or by another source's value.

    `deferred` is a value of an older form, whose meaning depends on all sources together; `old` the name of an
    older version under which an item of a list was given.
    """

    name: str
    where: str
    value: Any = None
    action: Literal["set", "item", "default", "config"] = "set"
    item: int = 0
    section: str = ""
    deferred: Deferred | None = None
    old: str = ""


@dataclass
class Overrides:
    """All overrides, in the order in which they apply: of a field, the last is used. `parts` has extensions'."""

    entries: list[Override] = dataclasses.field(default_factory=list)
    notes: list[Problem] = dataclasses.field(default_factory=list)
    parts: dict[str, Overrides] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> Iterator[str]:
        """The dotted names of what is overridden, as the document of the family has them."""
        yield from (one.name for one in self.entries)
        for part, own in self.parts.items():
            yield from (f"{path_of(part)}{name}" for name in own.names)


def read_overrides(overriding: Overriding, family: Family) -> Overrides:
    """Read every override, or raise one InputError with all that is wrong with them."""
    if isinstance(overriding, str):
        overriding = [overriding]
    pairs = overriding.items() if isinstance(overriding, Mapping) else map(_pair, overriding)
    found, problems = Overrides(), []
    for position, (key, value) in enumerate(pairs, 1):
        where = f"override {position}"
        try:
            if key is None:
                raise InputError(Problem("override", f"{quote(value)} is not KEY=VALUE"))
            name = key.lstrip("-")
            typed, place = not isinstance(overriding, Mapping), f"{where} ({name})"
            part, below = _part_of(name, family)
            if part is None:
                _read(name, value, typed, place, family, found)
            else:
                own = found.parts.setdefault(part.name, Overrides())
                within(part.name, _read, below, value, typed, place, part, own)
        except InputError as error:
            problems += [_placed(problem, key or "", where) for problem in error.problems]
    if problems:
        raise InputError(problems)
    return found


def _part_of(key: str, family: Family) -> tuple[Extension | None, str]:
    """Return the extension that a key is of, and what it is called there; None for the family's own keys."""
    if not key.startswith(f"{EXTENSIONS}."):
        return None, key
    installed, (_, name, *rest) = extensions_of(family), key.split(".")
    if name not in installed:
        known = f"those that are: {', '.join(installed)}" if installed else "none is"
        message = f"the extension {quote(name)} is not installed; {known}"
        raise InputError(Problem("extension", message, key, suggestion=nearest(name, list(installed))))
    if not rest:
        message = "is an extension; set its fields one by one"
        raise InputError(Problem("override", message, key))
    return installed[name], ".".join(rest)


def _placed(problem: Problem, key: str, where: str) -> Problem:
    return problem._replace(key=problem.key or key, place=problem.place if str(problem.place) else where)


def _pair(item: str) -> tuple[str | None, str]:
    key, equals, value = item.partition("=")
    return (key.strip(), value) if equals and key.strip() else (None, item)


def _read(key: str, value: Any, typed: bool, where: str, family: Family, found: Overrides) -> None:
    """Read one override into `found`; `typed` text still has to be parsed by the field's type."""
    field, index = _target(key, family)
    if typed and value in (TAKE_DEFAULT, TAKE_CONFIG):
        if index is not None:
            raise InputError(Problem("override", f"is one item of a list; {value} takes the whole setting", key))
        names = [field.name] if field else _below(key, family)
        action: Any = value.removeprefix("!")
        section = "" if field else f"{key}."
        found.entries += [Override(name, where, action=action, section=section) for name in names]
    elif field is not None and index is not None:
        item = _parsed(value, None, key, found) if typed else plain_tree(value, key)
        old = key.rpartition(".")[0]
        found.entries.append(Override(field.name, where, item, "item", index, old="" if old == field.name else old))
    elif field is not None:
        try:
            _take(split(key), _parsed(value, field, key, found) if typed else value, where, family, found)
        except InputError:
            older = scalar(value.strip()) if typed and field.is_text and not field.is_free_text else ""
            if isinstance(older, str):
                raise
            _take(split(key), older, where, family, found)  # from before the field took words
    else:
        now = family.fields.get(family.chain.spellings.get(key, "")) if key not in family.sections else None
        text = now if now is not None and now.is_free_text else None
        parsed = _parsed(value, text, key, found) if typed else value
        if key in family.sections and not isinstance(parsed, Mapping):
            raise InputError(Problem("override", f"is a section; set its fields one by one, or give {key}=@FILE", key))
        _take(split(key), parsed, where, family, found)


def _target(key: str, family: Family) -> tuple[ConfigField | None, int | None]:
    """Return the field that `key` names, with the index of a list item; neither for sections and old names."""
    if key in family.fields:
        return family.fields[key], None
    if key in family.sections:
        return None, None
    parent, _, last = key.rpartition(".")
    is_index = last.isascii() and last.isdigit() and len(last) < 7
    if is_index and parent in family.fields:
        return family.fields[parent], int(last)
    if key in family.chain.spellings:
        return None, None
    if is_index and (now := family.chain.spellings.get(parent)) in family.fields:
        return family.fields[now], int(last)
    suggestion = nearest_key(key, [*family.sections, *family.fields])
    raise InputError(Problem("unknown_key", "no setting has this name", key, suggestion=suggestion))


def _below(key: str, family: Family) -> list[str]:
    names = [name for name in family.fields if name.startswith(f"{key}.")]
    if not names:
        now = family.chain.spellings.get(key)
        raise InputError(Problem("override", "takes no !default or !config" + (f"; use {now}" if now else ""), key))
    return names


def _parsed(text: str, field: ConfigField | None, key: str, found: Overrides) -> Any:
    """Return typed text as the field's type has it: verbatim for text, a YAML value for everything else."""
    if field is not None and field.is_text and text != "null":
        return _verbatim(checked_text(text, ""), field)
    if text.startswith("@"):
        value, notes = _from_file(text[1:], key)
    elif checked_text(text, "").lstrip()[:1] in ("[", "{", '"', "'"):
        value, notes = parse_value(text, key)
    else:
        value, note = scalar(text.strip()) if text.strip() else text, octal_elsewhere(text.strip(), key, key)
        notes = (note,) if note is not None else ()
    found.notes += [note._replace(severity="info") for note in notes]
    return value


def _verbatim(text: str, field: ConfigField) -> str:
    """Return typed text for a field of text, or raise where it is most likely no text at all."""
    if field.is_free_text and field.nullable and (is_nothing(text) or not text.strip()):
        message = f"{quote(text)} would be text; write {field.name}=null for nothing"
        raise InputError(Problem("override", message, field.name))
    if field.is_free_text and text != text.strip():
        message = f"{quote(text)} begins or ends with a blank, which would be part of the text; leave it out"
        raise InputError(Problem("override", message, field.name))
    return text


def _from_file(name: str, key: str) -> tuple[Any, tuple[Problem, ...]]:
    """Return the value in a file for `key`: a scalar, a list or a section."""
    if not name:
        raise InputError(Problem("override", "names no file after @", key))
    return read_value(name)


def _take(path: tuple[str, ...], value: Any, where: str, family: Family, found: Overrides) -> None:
    tree: dict[str, Any] = {}
    set_path(tree, path, value)
    try:
        source = given(tree_of(tree, ""), family)
    except InputError as error:
        raise InputError(
            one._replace(place=where if not str(one.place) else one.place) for one in error.problems
        ) from None
    found.entries += [Override(name, where, item) for name, item in source.values.items()]
    found.entries += [Override(name, where, deferred=one) for name, one in source.deferred.items()]
    found.notes += [note._replace(place=where) for note in source.notes]


def apply_item(override: Override, current: Any) -> Sequence[Any]:
    """Return a list with one item replaced, or appended at its end."""
    items = list(current) if isinstance(current, (tuple, list)) else MISSING
    if items is MISSING or override.item > len(items):
        count = "no list" if items is MISSING else f"a list of {len(items)} items"
        message = f"has no item {override.item}: it is {count}"
        raise InputError(Problem("index", message, f"{override.name}.{override.item}", override.where))
    items[override.item : override.item + 1] = [override.value]
    return items if isinstance(current, list) else tuple(items)
