"""What changed between two schemas, field by field, and who can still read whose documents.

The classes are those of Confluent's schema registry, for closed schemas and documents that hold every field: backward,
the new program reads old documents; forward, the old program reads new ones; full, both; breaking, neither. Whatever
the class, a change of default, unit, role or description is semantic: the same document may mean something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tttcfg.migration.chain import Migration
from tttcfg.schema.containment import Decision, contains
from tttcfg.schema.fragments import Shape, bare, has_default
from tttcfg.schema.paths import MISSING

Fields = Mapping[str, Shape]
_MEANING = {
    "default": "default",
    "x-default": "default",
    "x-unit": "unit",
    "x-role": "role",
    "description": "description",
}


class Change(NamedTuple):
    """One field that differs: its path, its older path where it had another, and both shapes.

    Attributes:
        backward: Whether the new program reads what the old one wrote here.
        forward: Whether the old program reads what the new one writes here.
        semantic: What of its meaning changed: `default`, `unit`, `role`, `description`.
        note: What one should know about the class.
    """

    path: str
    kind: str
    was: str
    old: Shape | None
    new: Shape | None
    backward: bool
    forward: bool
    semantic: tuple[str, ...] = ()
    note: str = ""

    @property
    def compatibility(self) -> str:
        return compatibility([self])


def compatibility(changes: Iterable[Change]) -> str:
    """Return the class of several changes together; that of none is full."""
    found = list(changes)
    backward, forward = all(one.backward for one in found), all(one.forward for one in found)
    return "full" if backward and forward else "backward" if backward else "forward" if forward else "breaking"


def changes(old: Fields, new: Fields, renamed: Mapping[str, str] | None = None) -> list[Change]:
    """Return every field that differs between two schemas, in the order of the new one, those that are gone last.

    Args:
        renamed: The new path of each field that a migration renames.
    """
    names = {path: (renamed or {}).get(path, path) for path in old}
    names = {path: name if name in new else path for path, name in names.items()}
    came_from = {name: path for path, name in names.items()}
    found = []
    for path, shape in new.items():
        was = came_from.get(path)
        if was is None:
            found.append(_added(path, shape, old))
        elif was != path or differs(old[was], shape):
            found.append(_changed(path, was, old[was], shape))
    gone = [(path, shape) for path, shape in old.items() if names[path] not in new]
    return found + [_removed(path, shape, new) for path, shape in gone]


def differs(old: Shape, new: Shape, *, explained: bool = True) -> bool:
    """Whether two fields differ: in what they allow, or in their meaning; in their description if `explained`."""
    meaning = set(meaning_changes(old, new)) - (set() if explained else {"description"})
    return bare(old) != bare(new) or bool(meaning)


def meaning_changes(old: Shape, new: Shape) -> tuple[str, ...]:
    """Return what of a field's meaning changed; an old schema that says nothing of it leaves it open."""
    told = [key for key in _MEANING if key == "default" or (key in old and key in new)]
    changed = (_MEANING[key] for key in told if not _same(old.get(key, MISSING), new.get(key, MISSING)))
    return tuple(dict.fromkeys(changed))


def renames(steps: Iterable[Migration], old: Fields) -> dict[str, str]:
    """Return the new path of every field of `old` that the steps rename, with the section it is in or by itself."""
    found = {path: path for path in old}
    for step in steps:
        for operation in step.operations:
            to = next(iter(operation.spellings().values()), "")
            for path, name in found.items():
                if to and f"{name}.".startswith(f"{operation.path}."):
                    found[path] = to + name[len(operation.path) :]
    return {path: name for path, name in found.items() if path != name}


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _added(path: str, shape: Shape, old: Fields) -> Change:
    if _in_the_way(path, old):
        return Change(path, "added", "", None, shape, False, False, (), "a field and a section take each other's place")
    default = has_default(shape)
    note = "" if default else "it has no default, so an old document says too little"
    return Change(path, "added", "", None, shape, default, False, (), note)


def _removed(path: str, shape: Shape, new: Fields) -> Change:
    if _in_the_way(path, new):
        return Change(
            path, "removed", "", shape, None, False, False, (), "a field and a section take each other's place"
        )
    default = has_default(shape)
    note = "" if default else "it had no default, so a new document says too little"
    return Change(path, "removed", "", shape, None, False, default, (), note)


def _in_the_way(path: str, others: Fields) -> bool:
    return any(one.startswith(f"{path}.") or path.startswith(f"{one}.") for one in others)


def _changed(path: str, was: str, old: Shape, new: Shape) -> Change:
    verdicts: tuple[Decision, Decision] = contains(new, old), contains(old, new)
    notes = [
        f"whether {reader} programs read {written} values could not be decided, and counts as no"
        for verdict, reader, written in zip(verdicts, ("new", "old"), ("old", "new"), strict=True)
        if verdict is None
    ]
    backward, forward = (verdict is True for verdict in verdicts)
    if was != path:
        backward = forward = False
        notes = ["the migration carries the value over"]
    kind = "changed" if was == path else "renamed"
    return Change(path, kind, was, old, new, backward, forward, meaning_changes(old, new), "; ".join(notes))


def described(shape: Shape | None) -> str:
    """Return in a few words what a field allows."""
    return "" if shape is None else " or ".join(_words(shape))


def _words(shape: Shape) -> Iterator[str]:
    if "anyOf" in shape:
        for one in shape["anyOf"]:
            yield from _words(one)
    elif "enum" in shape or "const" in shape:
        yield from map(str, shape.get("enum", [shape.get("const")]))
    else:
        explaining = ("default", "x-default", "description", "title", "type", "x-role", "x-unit")
        rules = ", ".join(f"{key} {value}" for key, value in sorted(shape.items()) if key not in explaining)
        yield str(shape.get("type", "anything")) + (f" ({rules})" if rules else "")
