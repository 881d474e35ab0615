"""Changes inside of the sections that a field holds, and of the variants that it may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tttcfg.migration.operations import Convert, Losses, Operation, Partial, Placed
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import Fragment, Inside, inside, properties_at, tags, with_inside, with_own_sections
from tttcfg.schema.paths import MISSING, Tree, copied, get_path, set_path


@dataclass(frozen=True)
class Within(Operation):
    """Changes of the section that a field holds: of each item of a list or mapping, or of a section that may be null.

    Args:
        operations: The changes, with paths in that section.
        each: Whether there are several such sections, as items of a list or values of a mapping.
        variant: Where the field holds one of several variants: the discriminator, and the name of the one that changes.
    """

    operations: tuple[Operation, ...]
    each: bool = True
    variant: tuple[str, str] | None = None
    kind: ClassVar[str] = "inside"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        for name, item in self._items(tree):
            own = record.below(name)
            reading = None if partial is None else _PartialInside(partial, self, name, item, tree)
            for operation in self.operations:
                operation.up(item, own, reading)
            record.put_below(name, own)

    def down(self, tree: Tree, record: Record) -> Losses:
        for name, item in self._items(tree):
            own = record.below(name)
            for operation in reversed(self.operations):
                yield from ((f"{name}.{path}", value) for path, value in operation.down(item, own))
            record.put_below(name, own)

    def _items(self, tree: Tree) -> list[tuple[str, Tree]]:
        """Return the sections that are there, each with its dotted name, having put a copy in the place of them all."""
        held = copied(get_path(tree, self.parts, MISSING))
        if held is MISSING:
            return []
        set_path(tree, self.parts, held)
        return self._inside.sections(self.path, held)

    def apply_to_schema(self, schema: Fragment) -> None:
        properties = properties_at(schema, self.parts)
        held = inside(properties.get(self.parts[-1]) or {})
        found = next((one for one in held if (one.each, one.variant) == (self.each, self.variant)), None)
        if found is None:
            what = ", ".join(f"each={one.each}, variant={one.variant}" for one in held) or "no section"
            raise LookupError(f"{self.path} holds {what}")
        section = with_own_sections(found.section)
        for operation in self.operations:
            operation.apply_to_schema(section)
        properties[self.parts[-1]] = with_inside(properties[self.parts[-1]], found, section)

    def spellings(self) -> dict[str, str]:
        prefix = self.prefix
        return {prefix + old: new and prefix + new for one in self.operations for old, new in one.spellings().items()}

    @property
    def prefix(self) -> str:
        """What precedes the names of fields in the section."""
        return self._inside.prefix(self.path)

    @property
    def _inside(self) -> Inside:
        return Inside({}, (), self.each, self.variant)

    @property
    def why(self) -> str:
        reasons = [one.why for one in self.operations]
        return "; ".join(reasons) if all(one.strip() for one in reasons) else ""

    @property
    def converts(self) -> bool:
        return any(one.converts for one in self.operations)

    def singly(self) -> Iterator[Operation]:
        for one in (single for operation in self.operations for single in operation.singly()):
            yield moved(one, lambda path: self.prefix + path)


@dataclass(frozen=True)
class RenameVariant(Operation):
    """A variant under another name: another value of the discriminator.

    Args:
        key: The discriminator.
        was: The old name.
        to: The new name, which no older version had.
        each: Whether the field has several such sections, as items of a list or values of a mapping.
    """

    key: str
    was: str
    to: str
    reason: str
    each: bool = False
    kind: ClassVar[str] = "variant renamed"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        for name in self._renamed(tree, self.was, self.to):
            if partial:  # to be reported; a document needs no record of what is undone without one
                record.converted[f"{name}.{self.key}"] = {"value": self.was, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        self._renamed(tree, self.to, self.was)
        return iter(())

    def _renamed(self, tree: Tree, now: str, then: str) -> list[str]:
        """Give sections of one variant another name, and return where they are."""
        held = copied(get_path(tree, self.parts, MISSING))
        found = Inside({}, (), self.each, (self.key, now)).sections(self.path, held)
        for _, item in found:
            item[self.key] = then
        if found:
            set_path(tree, self.parts, held)
        return [name for name, _ in found]

    def apply_to_schema(self, schema: Fragment) -> None:
        properties = properties_at(schema, self.parts)
        fragment = properties.get(self.parts[-1]) or {}
        found = next((one for one in inside(fragment) if one.variant == (self.key, self.was)), None)
        if found is None:
            raise LookupError(f"{self.path} holds no variant {self.was}")
        now = [self.to if one == self.was else one for one in tags(found.section["properties"][self.key])]
        named = {"const": now[0]} if len(now) == 1 else {"enum": now}
        own = {key: one for key, one in found.section["properties"][self.key].items() if key not in ("const", "enum")}
        own = {**own, **named} | ({"default": self.to} if own.get("default") == self.was else {})
        section = {**found.section, "properties": {**found.section["properties"], self.key: own}}
        fragment = with_inside(fragment, found, section)
        usual = fragment.get("default") == {self.key: self.was}
        properties[self.parts[-1]] = {**fragment, "default": {self.key: self.to}} if usual else fragment

    def spellings(self) -> dict[str, str]:
        was, to = (Inside({}, (), self.each, (self.key, name)).name(self.path) for name in (self.was, self.to))
        return {was: to}


def moved(operation: Operation, name: Callable[[str], str]) -> Operation:
    """Return an operation whose own path, and that which it leads to, are other ones."""
    named = ("path",) if isinstance(operation, RenameVariant) else ("path", "to")
    changed: dict[str, Any] = {key: name(getattr(operation, key)) for key in named if hasattr(operation, key)}
    for key in ("inside", "sources", "targets"):
        if hasattr(operation, key):
            changed[key] = tuple(map(name, getattr(operation, key)))
    return replace(operation, **changed)


class _PartialInside:
    """The reading of a section in a list or mapping of a document that gives some fields only."""

    def __init__(self, partial: Partial, within: Within, name: str, item: Tree, tree: Tree) -> None:
        self._partial, self._within, self._name, self._item, self._tree = partial, within, name, item, tree

    def has_old_form(self, conversion: Convert, value: Any, placed: Placed | None = None) -> bool:
        def whole(other: Any) -> Tree:
            """Return the field that holds the section, with the other value in its place, and what is beside it."""
            item = placed(other) if placed is not None else copied(self._item)
            if placed is None:
                set_path(item, conversion.parts, copied(other))
            held = get_path(self._tree, self._within.parts)
            key = self._name.removeprefix(f"{self._within.path}.")
            if not self._within.each:
                held = item
            elif isinstance(held, list):
                held = [item if one is self._item else copied(one) for one in held]
            else:
                held = {name: item if name == key else copied(one) for name, one in held.items()}
            tree: Tree = copied(self._tree) if isinstance(self._partial, _PartialInside) else {}
            set_path(tree, self._within.parts, held)
            return tree

        named = replace(conversion, path=f"{self._name}.{conversion.path}")
        return self._partial.has_old_form(named, value, whole)

    def lacks(self, path: str, sources: Sequence[str], given: Sequence[str]) -> None:
        self._partial.lacks(self._below(path), list(map(self._below, sources)), list(map(self._below, given)))

    def _below(self, path: str) -> str:
        return f"{self._name}.{path}"

    def defer(self, conversion: Convert, value: Any) -> bool:
        return False  # the section is there as a whole
