"""What changed between two schemas, field by field, and which program can still read which documents.

The classes are those of Confluent's schema registry, for closed schemas and documents that contain every field:
backward, the new program reads old documents; forward, the old program reads new ones; full, both; breaking, neither.
Whatever the class, a change of default, unit, role or description is semantic: the same document may mean something
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tttcfg.migration.chain import Migration
from tttcfg.schema.containment import Decision, contains
from tttcfg.schema.fragments import Fragment, Inside, bare, emptied, fields_inside, has_default, inside, with_inside
from tttcfg.schema.paths import MISSING
from tttcfg.schema.plugged import PLUGINS

Fields = Mapping[str, Fragment]
_NUMBERS = {"integer", "number"}
_MEANING = {
    "default": "default",
    "x-default": "default",
    "x-unit": "unit",
    "x-role": "role",
    "description": "description",
}


class SchemaChange(NamedTuple):
    """One field that differs: its path, its older path where it had another, and both fragments.

    Attributes:
        backward: Whether the new program reads what the old one wrote here.
        forward: Whether the old program reads what the new one writes here.
        semantic: What of its meaning changed: `default`, `unit`, `role`, `description`.
        note: An explanation of the class.
    """

    path: str
    kind: str
    was: str
    old: Fragment | None
    new: Fragment | None
    backward: bool
    forward: bool
    semantic: tuple[str, ...] = ()
    note: str = ""

    @property
    def compatibility(self) -> str:
        return compatibility([self])

    @property
    def other_unit(self) -> str:
        """The unit that numbers have now, where they had another one; both are empty where one is not stated."""
        numbers = _NUMBERS & (_types(self.old) | _types(self.new))
        return str(meaning_of(self.new or {}, "unit")) if "unit" in self.semantic and numbers else ""


def compatibility(changes: Iterable[SchemaChange]) -> str:
    """Return the class of several changes together; that of none is full."""
    found = list(changes)
    backward, forward = all(one.backward for one in found), all(one.forward for one in found)
    return "full" if backward and forward else "backward" if backward else "forward" if forward else "breaking"


def changes(old: Fields, new: Fields, renamed: Mapping[str, str] | None = None) -> list[SchemaChange]:
    """Return every field that differs between two schemas, in the order of the new one, those that are gone last.

    Args:
        renamed: The new path of each field that a migration renames.
    """
    old, new = opened(old, new, renamed or {})
    names = {path: renamed_to(path, renamed or {}) for path in old}
    names = {path: name if name in new else path for path, name in names.items()}
    came_from = {name: path for path, name in names.items()}
    implied = {name for path, name in names.items() if path not in (renamed or {})}
    found = []
    for path, fragment in new.items():
        was = came_from.get(path)
        if was is None:
            found.append(_of_one_side(path, None, fragment, old))
        elif (was != path and path not in implied) or differs(old[was], fragment):
            found.append(_changed(path, was, old[was], fragment))
    gone = [(path, fragment) for path, fragment in old.items() if names[path] not in new]
    return found + [_of_one_side(path, fragment, None, new) for path, fragment in gone]


def opened(old: Fields, new: Fields, renamed: Mapping[str, str] | None = None) -> tuple[Fields, Fields]:
    """Return the fields of two schemas, with those inside lists, mappings and sections that may be null as such.

    Where both have a section in a field, it is left without that, and its fields follow; see `Inside.prefix`. Any other
    field, or variant, is one value.
    """
    found: tuple[dict[str, Fragment], dict[str, Fragment]] = {}, {}
    pairs = list(both_hold(old, new, renamed))
    for fields, into, which in ((old, found[0], 0), (new, found[1], 1)):
        for path, fragment in fields.items():
            own = [one.sides[which] for one in pairs if (one.was, one.path)[which] == path]
            into[path] = fragment
            for held in own:
                into[path] = with_inside(into[path], held, emptied(held))
                into.update(fields_inside(path, held))
    if len(found[0]) == len(old) and len(found[1]) == len(new):
        return found
    return opened(*found, renamed)


class Shared(NamedTuple):
    """A section that a field holds before and after a change: the field's path, its older one, and both sections."""

    path: str
    was: str
    sides: tuple[Inside, Inside]


def both_hold(old: Fields, new: Fields, renamed: Mapping[str, str] | None = None) -> Iterator[Shared]:
    """Yield every section, or variant of one, that a field of two schemas holds in both."""
    for was, fragment in old.items():
        path = renamed_to(was, renamed or {})
        for one in inside(fragment) if path in new else ():
            name = renamed_to(one.name(was), renamed or {})
            for other in inside(new[path]):
                same_key = (one.variant or ("",))[0] == (other.variant or ("",))[0]
                if other.name(path) == name and one.each == other.each and same_key:
                    yield Shared(path, was, (one, other))


def renamed_to(path: str, renamed: Mapping[str, str]) -> str:
    """Return what a field is called after renames, of itself or of what it is inside."""
    if path in renamed:
        return renamed[path]
    above = max((one for one in renamed if path.startswith((f"{one}.", f"{one}["))), key=len, default=None)
    return path if above is None else renamed[above] + path.removeprefix(above)


def differs(old: Fragment, new: Fragment, *, explained: bool = True) -> bool:
    """Whether two fields differ: in what they allow, or in their meaning; in their description if `explained`."""
    meaning = set(meaning_changes(old, new)) - (set() if explained else {"description"})
    return bare(old) != bare(new) or bool(meaning)


def meaning_changes(old: Fragment, new: Fragment) -> tuple[str, ...]:
    """Return what of a field's meaning changed; what one of the schemas does not state is not compared."""
    stated = [key for key in _MEANING if key == "default" or (key in old and key in new)]
    changed = (_MEANING[key] for key in stated if not _same(old.get(key, MISSING), new.get(key, MISSING)))
    return tuple(dict.fromkeys(changed))


def meaning_of(fragment: Fragment, name: str) -> Any:
    """Return the `default`, `unit`, `role` or `description` of a field; None where it has none."""
    return next((fragment[key] for key, meant in _MEANING.items() if meant == name and key in fragment), None)


def renames(steps: Iterable[Migration], old: Fields) -> dict[str, str]:
    """Return the new path of every field of `old` that the steps rename, with its section or on its own.

    And of every other name that they rename, as fields inside a list have.
    """
    steps = list(steps)
    named = (was for step in steps for operation in step.operations for was in operation.spellings())
    found = {path: path for path in (*old, *named)}
    for step in steps:
        for operation in step.operations:
            for path, name in found.items():
                found[path] = renamed_to(name, {was: to for was, to in operation.spellings().items() if to})
    return {path: name for path, name in found.items() if path != name}


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _of_one_side(path: str, old: Fragment | None, new: Fragment | None, others: Fields) -> SchemaChange:
    """Return the change of a field that only one of two schemas has; `others` are the fields of the other one."""
    added, default = old is None, has_default(new or old or {})
    note = "" if default else f"it {'has' if added else 'had'} no default, so documents of the other lack a value"
    holding = (one for one in others if path.startswith(f"{one}.") and not inside(others[one]))
    if next(holding, "") or any(one.startswith(f"{path}.") for one in others):
        default, note = False, "a field and a section replace each other"
    kind = "added" if added else "removed"
    return SchemaChange(path, kind, "", old, new, added and default, not added and default, note=note)


def _changed(path: str, was: str, old: Fragment, new: Fragment) -> SchemaChange:
    verdicts: tuple[Decision, Decision] = contains(new, old), contains(old, new)
    notes = [
        f"whether {reader} programs read {written} values could not be decided, and counts as no"
        for verdict, reader, written in zip(verdicts, ("new", "old"), ("old", "new"), strict=True)
        if verdict is None
    ]
    backward, forward = (verdict is True for verdict in verdicts)
    if old.get(PLUGINS) != new.get(PLUGINS):
        backward, forward = backward and PLUGINS not in old, forward and PLUGINS not in new
        notes.append(f"variants come from {_provider(new)}, and came from {_provider(old)}")
    if was != path:
        backward = forward = False
        notes = ["the migration carries the value over"]
    kind = "changed" if was == path else "renamed"
    return SchemaChange(path, kind, was, old, new, backward, forward, meaning_changes(old, new), "; ".join(notes))


def _provider(fragment: Fragment) -> str:
    return f"plug-ins of {fragment[PLUGINS]}, too" if PLUGINS in fragment else "the family alone"


def _types(fragment: Any) -> set[str]:
    """Return the types of a field and of everything in it."""
    if isinstance(fragment, list):
        return set().union(*map(_types, fragment))
    if not isinstance(fragment, dict):
        return set()
    own = fragment.get("type")
    return ({own} if isinstance(own, str) else set()).union(*map(_types, fragment.values()))


def described(fragment: Fragment | None) -> str:
    """Return in a few words what a field allows."""
    return "" if fragment is None else " or ".join(_words(fragment))


def _item_words(value: Any) -> Any:
    """Return what items are where they are variants; anything else as it is."""
    return " or ".join(_words(value)) if isinstance(value, dict) and "discriminator" in value else value


def _words(fragment: Fragment) -> Iterator[str]:
    if "anyOf" in fragment:
        for one in fragment["anyOf"]:
            yield from _words(one)
    elif "discriminator" in fragment:
        for one in inside({"anyOf": [fragment]}):
            yield one.variant[1] if one.variant is not None else ""
    elif "enum" in fragment or "const" in fragment:
        yield from map(str, fragment.get("enum", [fragment.get("const")]))
    else:
        explaining = ("default", "x-default", "description", "title", "type", "x-role", "x-unit")
        own = {key: _item_words(value) for key, value in fragment.items() if key not in explaining}
        rules = ", ".join(f"{key} {value}" for key, value in sorted(own.items()))
        yield str(fragment.get("type", "anything")) + (f" ({rules})" if rules else "")
