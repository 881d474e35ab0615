"""Overrides: `KEY=VALUE` as typed, or a mapping from Python, each with its position.

On a command line, KEY=VALUE, --KEY=VALUE and --KEY VALUE are equivalent.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tttcfg.errors import MAX_COLLECTED, MAX_PROBLEMS, InputError, Problem, nearest, nearest_key, quote, some
from tttcfg.family.extension import EXTENSIONS, Extension, extensions_of, path_of, within
from tttcfg.family.family import Family
from tttcfg.family.plugged import spellings_of
from tttcfg.formats.endings import parse_value, read_value
from tttcfg.formats.python import plain_tree
from tttcfg.formats.text import checked_text, octal_elsewhere, scalar
from tttcfg.resolving.assignments import VERSION, Assignment, read_assignments
from tttcfg.resolving.config import is_nothing
from tttcfg.resolving.variants import Held
from tttcfg.schema.fields import ConfigField, plain
from tttcfg.schema.inside import field_inside, leads_inside, names_inside, section_held
from tttcfg.schema.paths import MISSING, Path, copied, split
from tttcfg.secrets import looks_secret, shown_key
from tttcfg.ttt_moshi.family import TTT_MOSHI

if TYPE_CHECKING:
    from tttcfg.migration.chain import Deferred

_PLACE = re.compile(r"override (\d+)")
_KEY = re.compile(r"[A-Za-z_][\w.]*")
_BETWEEN = " \t:,;=>-"
"""What is typed between a key and its value by mistake."""
_ENDINGS = (".yaml", ".yml", ".json", ".toml", ".safetensors")
TAKE_DEFAULT, TAKE_CONFIG = "!default", "!config"
Overriding = Iterable[str] | Mapping[str, Any]


class CommandLine(NamedTuple):
    """Overrides as a command line has them, of a family that the command does not know yet.

    Attributes:
        arguments: As `override_texts` takes them.
        options: Likewise.
        texts: More overrides, which are KEY=VALUE already.
    """

    arguments: Sequence[str]
    options: Sequence[str]
    texts: Sequence[str] = ()


class Override(NamedTuple):
    """One field that is overridden: by a value, by one at a path `below` it, or by another source's value.

    `position` counts all overrides from 1; `deferred` is a value of an older form, whose meaning depends on all sources
    together; `old` the name of an older version under which an item of a list was given. `pattern` is the name of a
    field inside, with `*` for its index or key. `held` has the variants that fields have to hold, or it is not used.
    """

    name: str
    where: str
    position: int
    value: Any = None
    action: Literal["set", "inside", "default", "config"] = "set"
    below: Path = ()
    section: str = ""
    deferred: Deferred | None = None
    old: str = ""
    pattern: str = ""
    held: Held = MappingProxyType({})


class Depending(NamedTuple):
    """What is to be said of overrides where fields hold these variants: what is wrong with them, and notes."""

    held: Held
    refused: Sequence[Problem]
    notes: Sequence[Problem]


@dataclass
class Overrides:
    """All overrides, in the order in which they apply: of a field, the last is used.

    Attributes:
        parts: Those of extensions.
        assignments: What is set, as it is given, until all overrides are known; by position.
        depending: What depends on the variants that fields hold in the end.
    """

    entries: list[Override] = dataclasses.field(default_factory=list)
    notes: list[Problem] = dataclasses.field(default_factory=list)
    parts: dict[str, Overrides] = dataclasses.field(default_factory=dict)
    assignments: dict[int, Assignment] = dataclasses.field(default_factory=dict)
    depending: list[Depending] = dataclasses.field(default_factory=list)

    @property
    def names(self) -> Iterator[str]:
        """The dotted names of what is overridden, as the document of the family has them."""
        yield from (one.name for one in self.entries)
        for part, own in self.parts.items():
            yield from (f"{path_of(part)}{name}" for name in own.names)


def override_texts(
    arguments: Sequence[str], options: Sequence[str] = (), *, family: Family[Any, Any] | None = None
) -> list[str]:
    """Return command-line arguments (`KEY=VALUE`, `--KEY=VALUE`, `--KEY VALUE`) as overrides for `resolve`.

    Args:
        arguments: Those that an argument parser left over, for example the second result of `parse_known_args`.
        options: The parser's own options without hyphens: a misspelled one is then not taken for a setting.
        family: Whose settings they are; by default the built-in family's.

    Raises:
        InputError: An argument is not an override; all problems at once.
    """
    texts: list[str] = []
    arguments = list(arguments)
    problems = [
        Problem("override", _no_text(one), place=f"argument {position}")
        for position, one in enumerate(arguments, 1)
        if not isinstance(one, str)
    ]
    if problems:
        raise InputError(problems)
    rest, own = deque(arguments), family or TTT_MOSHI
    looked_up = 0
    places = "paths go after --checkpoint and --config"
    if "checkpoint" not in options:
        places = "the checkpoint's path comes first, without an option, and files go after --config"
    while rest:
        position, word, option = len(arguments) - len(rest) + 1, rest.popleft(), ""
        if looked_up < MAX_PROBLEMS and _may_be_an_option(word, own):
            option, looked_up = _misspelled_option(word, options, own), looked_up + 1  # looking for one takes time
        if option:
            problems.append(Problem("override", "is not an option", word.partition("=")[0], suggestion=f"--{option}"))
            if "=" not in word and rest and not rest[0].startswith("--"):
                rest.popleft()
        elif word.startswith("--") and "=" not in word:
            name = word[2:].replace("-", "_")
            if rest and (not rest[0].startswith("--") or rest[0].startswith("---")):
                texts.append(f"{name}={rest.popleft()}")
            else:
                problems.append(Problem("override", "needs a value; for a switch write true or false", word))
        elif "=" in word and (word.startswith("--") or not word.startswith("-")):
            name, _, value = word.removeprefix("--").partition("=")
            texts.append(f"{name.replace('-', '_') if word.startswith('--') else name}={value}")
        else:
            mistyped, takes_next = _mistyped(word, own, len(problems) < MAX_PROBLEMS)
            what = quote(word) if os.path.lexists(word) or word.endswith(_ENDINGS) else f"argument {position}"
            advice = f"{what} is neither KEY=VALUE nor an option; {places}"
            problems.append(mistyped or Problem("override", advice))
            while takes_next and rest and not _is_override(rest[0], own):
                takes_next = not rest.popleft().strip(_BETWEEN)
    if problems:
        raise InputError(problems)
    return texts


def _mistyped(word: str, family: Family, suggest: bool) -> tuple[Problem | None, bool]:
    """Return the problem of a word that begins with a key, and whether the next word is most likely its value.

    The rest of the word, which may be a secret, is in no message. None is returned where it begins with no key.
    """
    key = _KEY.match(word)
    name, rest = (key[0], word[key.end() :]) if key else ("", word)
    if _names_setting(name, family):
        how = f"write {name}=VALUE"
        message = f"is followed by {quote(rest[0])} and not by =; {how}" if rest else f"has no value; {how}"
        return Problem("override", message, name), not rest.strip(_BETWEEN)
    near = nearest(name, [*family.sections, *family.fields]) if suggest and not rest else ""
    if near or looks_secret(name):
        return Problem("unknown_key", "no setting has this name", shown_key(name), suggestion=near), not rest
    return None, False


def _names_setting(name: str, family: Family) -> bool:
    return name in family.fields or name in family.sections or name in spellings_of(family)


def _is_override(word: str, family: Family) -> bool:
    """Whether a word is an option or the override of a setting, and not a value that has = in it."""
    key, equals, _ = word.partition("=")
    return word.startswith("--") or (bool(equals) and _names_setting(key, family))


def _may_be_an_option(word: str, family: Family) -> bool:
    name = word[2:].partition("=")[0]
    return word.startswith("--") and "." not in name and name.replace("-", "_") not in family.fields


def _misspelled_option(word: str, options: Sequence[str], family: Family) -> str:
    """Return the option that a word like --restor is near to, unless it is nearer to a setting."""
    name = word[2:].partition("=")[0]
    found = nearest(name, [*options, *(field for field in family.fields if "." not in field)])
    return found if found in options else ""


def read_overrides(overriding: Overriding | CommandLine, family: Family) -> Overrides:
    """Read every override, or raise one InputError with all that is wrong with them."""
    if isinstance(overriding, CommandLine):
        given = override_texts(overriding.arguments, overriding.options, family=family)
        return read_overrides([*given, *overriding.texts], family)
    if isinstance(overriding, str):
        overriding = [overriding]
    if isinstance(overriding, (bytes, bytearray)) or not isinstance(overriding, Iterable):
        raise InputError(Problem("override", f"{_no_text(overriding)} or a mapping", place="overrides"))
    found = Overrides()
    problems = [*_collected(overriding, family, found), *_unsettled(found, family)]
    for name, own in found.parts.items():
        unsettled = _unsettled(own, extensions_of(family)[name])
        problems += [one._replace(key=f"{path_of(name)}{one.key}") for one in unsettled]
    if problems:
        raise InputError(sorted(problems, key=_position))
    return found


def _position(problem: Problem) -> int:
    """Return the position of the override that a problem is about."""
    placed = _PLACE.match(str(problem.place))
    return int(placed[1]) if placed else 0


def _collected(overriding: Iterable[Any] | Mapping[Any, Any], family: Family, found: Overrides) -> list[Problem]:
    """Read overrides into `found` one by one, and return what is wrong with single ones."""
    problems: list[Problem] = []
    pairs = overriding.items() if isinstance(overriding, Mapping) else map(_pair, overriding)
    for position, (key, value) in enumerate(pairs, 1):
        where = f"override {position}"
        near = len(problems) < MAX_PROBLEMS  # looking for the nearest name takes time
        try:
            if isinstance(overriding, Mapping) and not isinstance(key, str):
                raise InputError(Problem("override", f"has a {type(key).__name__} for a key; give text"))
            if not isinstance(overriding, Mapping) and not isinstance(value, str):
                raise InputError(Problem("override", _no_text(value)))
            if key is None:
                refused, _ = _mistyped(value, family, near)
                raise InputError(refused or Problem("override", "is not KEY=VALUE"))
            name = key.lstrip("-")
            one = _Given(value, not isinstance(overriding, Mapping), f"{where} ({name})", position)
            part, below = _part_of(name, family)
            if part is None:
                _read(name, one, family, found, near)
            else:
                own = found.parts.setdefault(part.name, Overrides())
                within(part.name, _read, below, one, part, own, near)
        except InputError as error:
            problems += [_placed(problem, key if isinstance(key, str) else "", where) for problem in error.problems]
        if len(problems) >= MAX_COLLECTED:
            break
    return problems


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


def _no_text(item: object) -> str:
    """Return what is wrong with an override that is no text, by its type: its content may be a secret."""
    return f"is of the type {type(item).__name__}; give KEY=VALUE as text"


def _pair(item: Any) -> tuple[str | None, Any]:
    """Return an override as key and value; anything else than KEY=VALUE without a key."""
    if not isinstance(item, str):
        return None, item
    key, equals, value = item.partition("=")
    return (key.strip(), value) if equals and key.strip() else (None, item)


class _Given(NamedTuple):
    """The value of one override: text that the field's type still has to parse where it was typed."""

    value: Any
    typed: bool
    where: str
    position: int


def _read(key: str, given: _Given, family: Family, found: Overrides, near: bool) -> None:
    """Read one override into `found`.

    Args:
        near: Whether a problem has the nearest name to one that no setting has.
    """
    value, typed, where, position = given
    field, below = _target(key, family, near)
    if typed and value in (TAKE_DEFAULT, TAKE_CONFIG):
        if below or key == VERSION:
            what = f"a part of {field.name}" if field is not None else "no setting"
            raise InputError(Problem("override", f"is {what}; {value} takes the whole setting", key))
        names = [field.name, *_inside_of(field, family)] if field else _below(key, family)
        action: Any = value.removeprefix("!")
        section = "" if field else f"{key}."
        found.entries += [Override(name, where, position, action=action, section=section) for name in names]
    elif field is not None and below:
        inner = field_inside(field, below)
        kind, pattern = (inner.field, inner.pattern) if inner is not None else (None, "")
        item = _parsed(value, kind, key, found) if typed else plain_tree(value, key)
        old = key.removesuffix("." + ".".join(below))
        old = "" if old == field.name or pattern else old
        found.entries.append(Override(field.name, where, position, item, "inside", below, old=old, pattern=pattern))
    else:
        plain = _as_given(key, value, field, family, found) if typed else plain_tree(value, key)
        if key in family.sections and not isinstance(plain, Mapping):
            raise InputError(Problem("override", f"is a section; set its fields one by one, or give {key}=@FILE", key))
        found.assignments[position] = Assignment(split(key), plain, where)


def _as_given(key: str, text: str, field: ConfigField | None, family: Family, found: Overrides) -> Any:
    """Return the value that typed text stands for, by the type of what a key is today."""
    if field is None:
        now = family.fields.get(spellings_of(family).get(key, "")) if key not in (*family.sections, VERSION) else None
        return _parsed(text, now if now is not None and now.is_free_text else None, key, found)
    if field.variants is not None and text.strip() in field.variants.models:
        return text.strip()
    value = _parsed(text, field, key, found)
    if field.is_text and not field.is_free_text:
        try:
            read_assignments([Assignment(split(key), value, "")], family)
        except InputError:
            older = scalar(text.strip())  # from before the field took words
            return value if isinstance(older, str) else older
    return value


def _unsettled(found: Overrides, family: Family) -> tuple[Problem, ...]:
    """Bring what is assigned to today's names and meanings, and all entries into order; return what cannot be."""
    try:
        given = read_assignments(list(found.assignments.values()), family)
    except InputError as error:
        return error.problems
    if ambiguous := [*_ambiguous_inside(found, family)]:
        return tuple(ambiguous)
    position = {one.where: at for at, one in found.assignments.items()}
    for source, variants, refused in given:
        for name, item in (*source.values.items(), *source.deferred.items()):
            where, deferred = str(source.places[name]), source.deferred.get(name)
            value = item if deferred is None else None
            held = {around: variants[around] for around in family.fields[name].around}
            entry = Override(name, where, position.get(where, 0), value, deferred=deferred, held=held)
            found.entries.append(entry)
        found.depending.append(
            Depending(variants, refused, [one._replace(place=str(one.place)) for one in source.notes])
        )
    found.entries.sort(key=attrgetter("position"))
    return ()


def _ambiguous_inside(found: Overrides, family: Family) -> Iterator[Problem]:
    """Yield every part of a value that some version converted, where it is not given in today's version."""
    parts = [one for one in found.entries if one.pattern]
    versions = [one.value for one in found.assignments.values() if one.path == (VERSION,)]
    if not parts or versions[-1:] == [family.head]:
        return
    for one in parts:
        name = ".".join((one.name, *one.below))
        if versions:
            message, advice = (
                f"is a part of {one.name}, which is taken in today's version",
                f"give {one.name} as a whole",
            )
            yield Problem("version", message, name, one.where, advice=advice)
        elif one.pattern in family.chain.converted_inside:
            message, advice = "is ambiguous: older versions meant something else", f"{VERSION}={family.head}"
            yield Problem("version", message, name, one.where, advice=f"give {advice} beside it for today's meaning")


def _target(key: str, family: Family, near: bool) -> tuple[ConfigField | None, Path]:
    """Return the field that `key` names or is inside of, and the path below that; no field for sections and old names.

    Raises:
        InputError: No setting has this name.
    """
    if key in family.fields:
        return family.fields[key], ()
    if key in family.sections or key == VERSION:
        return None, ()
    path = split(key)
    holder = family.fields.get(".".join(path[:-1]))
    if holder is not None and holder.variants is not None and path[-1] == holder.variants.key:
        return holder, ()
    names = [(".".join(path[:depth]), path[depth:]) for depth in range(len(path) - 1, 0, -1)]
    for name, below in names:
        if name in family.fields and leads_inside(family.fields[name], below):
            return family.fields[name], below
    spellings = spellings_of(family)
    if key in spellings:
        return None, ()
    for name, below in names:
        field = family.fields.get(spellings.get(name, name))
        if field is not None and leads_inside(field, below := _renamed_below(field, below, spellings)):
            return field, below
    known = [*family.sections, *family.fields]
    holder = next((family.fields[name] for name, _ in names if name in family.fields), None)
    if holder is not None and section_held(holder.info.annotation) is not None:
        known = names_inside(holder, key.rpartition(".")[0])
    elif holder is not None and holder.variants is not None:
        known = _inside_of(holder, family)
    raise InputError(
        Problem("unknown_key", "no setting has this name", key, suggestion=nearest_key(key, known) if near else "")
    )


def _renamed_below(field: ConfigField, below: Path, spellings: Mapping[str, str]) -> Path:
    """Return a path inside of a field with today's names in the place of old ones."""
    held = section_held(field.info.annotation)
    first, rest = (below[:1], below[1:]) if held is not None and held.each else ((), below)
    prefix = f"{field.name}.*." if first else f"{field.name}."
    now = spellings.get(prefix + ".".join(rest), "")
    return (*first, *split(now.removeprefix(prefix))) if now.startswith(prefix) else below


def _inside_of(field: ConfigField, family: Family) -> list[str]:
    """Return the fields of the variants that a field holds."""
    return [one.name for one in family.fields.values() if field.name in one.around]


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
        if text == "@":
            raise InputError(Problem("override", "names no file after @", key))
        value, notes = read_value(text[1:])  # a scalar, a list or a section
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


def apply_inside(override: Override, current: Any) -> Any:
    """Return a value with what is below it at a path replaced; an index after the last one of a list appends.

    Raises:
        InputError: There is no such item or key.
    """
    tree = copied(plain(current))
    *way, last = override.below
    below: Any = tree if tree is not None or override.below[0].isdigit() else {}
    whole, at = below, override.name
    for part in way:
        below, at = _item(below, part, at, override), f"{at}.{part}"
    if isinstance(below, dict):
        below[last] = override.value
    else:
        index = int(last) if last.isdigit() else MISSING
        if not isinstance(below, list) or index is MISSING or index > len(below):
            raise InputError(_no_item(below, last, at, override))
        below[index : index + 1] = [override.value]
    return whole


def _item(held: Any, part: str, at: str, override: Override) -> Any:
    if isinstance(held, list) and part.isdigit() and int(part) < len(held):
        return held[int(part)]
    if isinstance(held, dict) and part in held:
        return held[part]
    raise InputError(_no_item(held, part, at, override))


def _no_item(held: Any, part: str, at: str, override: Override) -> Problem:
    if isinstance(held, dict):
        what, how = "key", f"it has {some(list(held))}" if held else "it is empty"
    else:
        what, how = "item", f"it is a list of {len(held)} items" if isinstance(held, list) else "it is no list"
    return Problem("index", f"has no {what} {part}: {how}", f"{at}.{part}", override.where)
