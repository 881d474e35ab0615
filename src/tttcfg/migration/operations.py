"""The operations that migrations consist of.

A list of operations defines the upgrade of complete documents and of partial ones, the downgrade with its
losses, the next version's schema and the history page. Operations are pure: they depend on the document and
the record, never on a model, a clock or today's defaults. Applying one edits the working copy that the chain
made, and never a value inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

from tttcfg.migration.record import Record, restored
from tttcfg.schema.fragments import (
    Fragment,
    fragment_at,
    inside,
    properties_at,
    take_fragment,
    whole_default,
    with_inside,
)
from tttcfg.schema.paths import (
    MISSING,
    Path,
    Tree,
    copied,
    get_path,
    pop_path,
    prune,
    same,
    sections_of,
    set_path,
    split,
)
from tttcfg.secrets import WITHHELD, redacted

Losses = Iterator[tuple[str, Any]]
Placed = Callable[[Any], Tree]


class Partial(Protocol):
    """The reading of a document that gives some fields only."""

    def has_old_form(self, conversion: Convert, value: Any, placed: Placed | None = None) -> bool:
        """Return whether a value under an unchanged name is from before a conversion.

        Args:
            placed: Returns the document with another value in its place, where that is inside a list or mapping.
        """

    def lacks(self, path: str, sources: Sequence[str], given: Sequence[str]) -> None:
        """Note that of several fields that became the one at `path`, only some are given."""

    def defer(self, conversion: Convert, value: Any) -> bool:
        """Keep a value until the field that its meaning depends on is known; return whether that is another one's."""


@dataclass(frozen=True)
class Operation:
    """One change of the schema, and what it means for documents on either side of it."""

    path: str
    kind: ClassVar[str] = "change"

    @cached_property
    def parts(self) -> Path:
        """The path of the field, key by key."""
        return split(self.path)

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        """Upgrade `tree` to the newer version; where it is a partial document, nothing is filled in."""

    def down(self, tree: Tree, record: Record) -> Losses:
        """Downgrade `tree` and `record` to the older version, yielding every path and value that is lost."""
        return iter(())

    def apply_to_schema(self, schema: Fragment) -> None:
        """Change the older version's schema to the newer one's, in place."""

    def spellings(self) -> dict[str, str]:
        """Return the new path of every old path that changes; empty where the field is removed."""
        return {}

    @property
    def why(self) -> str:
        """The reason for this change of the schema."""
        return str(getattr(self, "reason", ""))

    @property
    def converts(self) -> bool:
        """Whether values under an unchanged name may mean something else."""
        return self.kind == "converted"

    def singly(self) -> Iterator[Operation]:
        """Yield the single operations that this one consists of, with their whole paths."""
        yield self


class By(NamedTuple):
    """A value that depends on another field, which may be missing (None); `text` describes it for people."""

    field: str
    value: Callable[[Any], Any]
    text: str


class Computed(NamedTuple):
    """A value that depends on the whole document, as the operations before it have left it; `text` describes it.

    The function gets a copy. It is pure: equal documents have equal values, whatever the time or the machine.
    """

    value: Callable[[Tree], Any]
    text: str


def _value(fill: Any, tree: Tree) -> Any:
    if isinstance(fill, Computed):
        return copied(fill.value(copied(tree)))
    return fill.value(get_path(tree, split(fill.field))) if isinstance(fill, By) else copied(fill)


@dataclass(frozen=True)
class Declaration(Operation):
    """An operation that declares a field.

    Attributes:
        fragment: The field's JSON Schema.
    """

    fragment: Fragment

    def apply_to_schema(self, schema: Fragment) -> None:
        _declare(schema, self.parts, self.fragment)


def _declare(schema: Fragment, path: Path, fragment: Fragment) -> None:
    """Declare a field; a section in it without fields stays as it is, as other operations declare what is inside."""
    properties = properties_at(schema, path)
    if path[-1] not in properties:
        properties[path[-1]] = fragment
        return
    there = {(one.each, one.variant): one for one in inside(properties.get(path[-1]) or {})}
    for one in inside(fragment):
        old = there.get((one.each, one.variant))
        if old is not None and one.section["properties"].keys() <= {one.variant[0] if one.variant else ""}:
            fragment = with_inside(fragment, one, {**one.section, "properties": old.section["properties"]})
    properties[path[-1]] = fragment


@dataclass(frozen=True)
class Declare(Declaration):
    """A field of the first version."""

    kind: ClassVar[str] = "declared"


@dataclass(frozen=True)
class Add(Declaration):
    """A new field.

    Args:
        fill: What the program did before the field existed, not the field's default; or what that depended on: `By`
            another field, or `Computed` from the document.
        doubt: Why `fill` may be wrong for some older documents, if it may.
    """

    fill: Any
    reason: str
    doubt: str = ""
    kind: ClassVar[str] = "added"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        if partial or not set_path(tree, self.parts, value := self._filled(tree), over=False):
            return
        record.filled[self.path] = {"value": value, "reason": self.reason}
        if self.doubt:
            record.doubted[self.path] = {"value": value, "reason": self.doubt}

    def down(self, tree: Tree, record: Record) -> Losses:
        value = pop_path(tree, self.parts)
        prune(tree, self.parts)
        record.filled.pop(self.path, None)
        record.doubted.pop(self.path, None)
        if value is not MISSING and value != self._filled(tree):
            yield self.path, value

    def _filled(self, tree: Tree) -> Any:
        """Return what absence meant in a document; of a variant that a part is stated of, with the rest."""
        value = _value(self.fill, tree)
        return whole_default({**self.fragment, "default": value}) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Remove(Operation):
    """A removed field; its value is kept in the record."""

    reason: str
    kind: ClassVar[str] = "removed"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        value = pop_path(tree, self.parts)
        if value is MISSING:
            return
        if partial:
            prune(tree, self.parts)
        if record.filled.pop(self.path, None) is None:
            record.removed[self.path] = {"value": redacted({self.path: value})[self.path], "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        yield from restored(tree, self.path, record)

    def apply_to_schema(self, schema: Fragment) -> None:
        if "properties" in (fragment_at(schema, self.parts[:-1]) or {}):
            take_fragment(schema, self.parts)

    def spellings(self) -> dict[str, str]:
        return {self.path: ""}


@dataclass(frozen=True)
class RemoveSection(Remove):
    """A section of which every field was moved or removed; keys of it that no version has stay, and are refused.

    Args:
        inside: The dotted names of the sections in it.
    """

    inside: tuple[str, ...] = ()

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        value = get_path(tree, self.parts)
        if value is None or self._is_empty(value, self.path):
            super().up(tree, record, partial)

    def _is_empty(self, value: Any, path: str) -> bool:
        known = path == self.path or path in self.inside
        return (
            known
            and isinstance(value, dict)
            and all(self._is_empty(one, f"{path}.{key}") for key, one in value.items())
        )


@dataclass(frozen=True)
class Withhold(Operation):
    """A secret that saved documents no longer contain; partial documents keep it, nothing records it."""

    reason: str
    kind: ClassVar[str] = "withheld"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        value = MISSING if partial else pop_path(tree, self.parts)
        if value is not MISSING and record.filled.pop(self.path, None) is None:
            kept = None if value is None else WITHHELD
            record.removed[self.path] = {"value": kept, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        kept = record.removed.pop(self.path, None)
        if kept is not None:
            set_path(tree, self.parts, None)
            if kept["value"] is not None:
                yield self.path, WITHHELD

    def apply_to_schema(self, schema: Fragment) -> None:
        take_fragment(schema, self.parts)


@dataclass(frozen=True)
class Rename(Operation):
    """A field under another name or in another section."""

    to: str
    reason: str
    kind: ClassVar[str] = "renamed"

    @cached_property
    def target(self) -> Path:
        """The new path of the field, key by key."""
        return split(self.to)

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        old = get_path(tree, self.parts, MISSING)
        if old is MISSING or get_path(tree, self.target, MISSING) is not MISSING:
            return  # given under both names: the old one stays, and validation reports it
        value = pop_path(tree, self.parts)
        if partial:
            prune(tree, self.parts)
        set_path(tree, self.target, value)
        if not record.move(self.path, self.to):
            record.renamed[self.path] = {"value": self.to, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        value = pop_path(tree, self.target)
        if value is not MISSING:
            prune(tree, self.target)
            set_path(tree, self.parts, value)
        record.move(self.to, self.path)
        record.renamed.pop(self.path, None)
        return iter(())

    def apply_to_schema(self, schema: Fragment) -> None:
        fragment = take_fragment(schema, self.parts)
        properties_at(schema, self.target)[self.target[-1]] = fragment

    def spellings(self) -> dict[str, str]:
        return {self.path: self.to}


@dataclass(frozen=True)
class Convert(Operation):
    """The same field in another form; `forward` and `back` return unchanged what they do not convert.

    Args:
        beside: Another field, or a section, that the meaning of a value depends on: `forward` gets its value as well.
            In a partial document, the conversion is deferred until all sources have been read.
    """

    forward: Callable[..., Any]
    reason: str
    fragment: Fragment | None = None
    back: Callable[[Any], Any] | None = None
    beside: str = ""
    kind: ClassVar[str] = "converted"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        old = get_path(tree, self.parts, MISSING)
        if old is MISSING or (partial and not record.has_renamed(self.path) and not partial.has_old_form(self, old)):
            return
        if partial and self.beside and partial.defer(self, old):
            pop_path(tree, self.parts)
            prune(tree, self.parts)
            return
        new = self.converted(old, tree)
        if same(new, old):
            return
        set_path(tree, self.parts, new)
        if self.back is None or not same(self.back(new), old):
            record.converted[self.path] = {"value": old, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        new = get_path(tree, self.parts, MISSING)
        recorded = record.converted.pop(self.path, {}).get("value", MISSING)
        if new is not MISSING and recorded is not MISSING and same(self.converted(recorded, tree), new):
            set_path(tree, self.parts, copied(recorded))
        elif new is not MISSING and self.back is not None:
            set_path(tree, self.parts, self.back(new))
        return iter(())

    def converted(self, value: Any, tree: Tree) -> Any:
        """Return an older version's value in the newer form, which a field beside it in `tree` may decide."""
        return self.forward(value, get_path(tree, split(self.beside))) if self.beside else self.forward(value)

    def apply_to_schema(self, schema: Fragment) -> None:
        if self.fragment is not None:
            _declare(schema, self.parts, self.fragment)


@dataclass(frozen=True)
class Redeclare(Declaration):
    """A field whose values do not change, while its constraints, default, unit or role do.

    The newer version has to allow every value that the older one allows.

    Args:
        unit: The unit that numbers are in now, where it has another name or meaning and the numbers stay what they are.
    """

    reason: str
    unit: str = ""
    kind: ClassVar[str] = "redeclared"


@dataclass(frozen=True)
class Doubt(Operation):
    """A field whose recorded value the program may have ignored; the value stays, the doubt is recorded."""

    when: Callable[[Any], bool]
    reason: str
    kind: ClassVar[str] = "doubted"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        value = get_path(tree, self.parts, MISSING)
        if not partial and value is not MISSING and self.path not in record.filled and self.when(value):
            record.doubted[self.path] = {"value": value, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        record.doubted.pop(self.path, None)
        return iter(())


@dataclass(frozen=True)
class Promote(Operation):
    """A key of a free-form mapping that becomes a typed field.

    Args:
        absent: The value that the program used where the key was absent: a scalar; by default, the default of the new
            field.
    """

    to: str
    fragment: Fragment
    reason: str
    convert: Callable[[Any], Any] | None = None
    absent: Any = MISSING
    kind: ClassVar[str] = "promoted"

    @cached_property
    def fill(self) -> str | float | None:
        """The value of the typed field where the key was absent: a scalar, and so safe to share."""
        fill: str | float | None = self.fragment["default"] if self.absent is MISSING else self.absent
        return fill

    @cached_property
    def where_absent(self) -> str:
        """Where the value of a document is from that does not have the key, as its provenance has it."""
        return f"absent from {self.parts[0]}"

    @cached_property
    def target(self) -> Path:
        """The path of the typed field, key by key."""
        return split(self.to)

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        value = pop_path(tree, self.parts)
        if value is MISSING:
            if not partial and set_path(tree, self.target, self.fill, over=False):
                record.filled[self.to] = {"value": self.fill, "reason": self.where_absent}
            return
        new = self.convert(value) if self.convert else value
        if not set_path(tree, self.target, new, over=False):
            set_path(tree, self.parts, value)  # given under both names: the old one stays, and validation reports it
            return
        if partial:
            prune(tree, self.parts)
        record.renamed[self.path] = {"value": self.to, "reason": self.reason}
        if not same(new, value):
            record.converted[self.to] = {"value": value, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        value = pop_path(tree, self.target)
        prune(tree, self.target)
        record.filled.pop(self.to, None)
        recorded = record.converted.pop(self.to, {}).get("value", MISSING)
        given = record.renamed.pop(self.path, None) is not None
        if value is MISSING or (value == self.fill and not given):
            return iter(())
        if recorded is not MISSING and self.convert and same(self.convert(recorded), value):
            value = copied(recorded)
        set_path(tree, self.parts, value)
        return iter(())

    def apply_to_schema(self, schema: Fragment) -> None:
        properties_at(schema, self.target)[self.target[-1]] = self.fragment

    def spellings(self) -> dict[str, str]:
        return {self.path: self.to}


@dataclass(frozen=True)
class RemoveRest(Operation):
    """A removed free-form mapping; in a complete document, the keys left in it are recorded."""

    reason: str
    kind: ClassVar[str] = "removed"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        if partial:
            if get_path(tree, self.parts, MISSING) in ({}, None):
                pop_path(tree, self.parts)
            return
        value = pop_path(tree, self.parts)
        if value is not MISSING and record.filled.pop(self.path, None) is None:
            record.removed[self.path] = {"value": redacted(value), "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        yield from restored(tree, self.path, record)

    def apply_to_schema(self, schema: Fragment) -> None:
        take_fragment(schema, self.parts)


def with_sections_removed(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Return operations in which what removes a section, after its fields, is one that leaves unknown keys in it."""
    found: list[Operation] = []
    sections: set[str] = set()
    for one in operations:
        emptied = type(one) is Remove and one.path in sections
        found.append(removing_section(one.path, one.why, sections) if emptied else one)
        sections |= sections_of([one.path])
    return tuple(found)


def removing_section(path: str, reason: str, sections: Iterable[str]) -> RemoveSection:
    """Return what removes a section with those of the given ones that are inside it."""
    return RemoveSection(path, reason, tuple(sorted(one for one in sections if one.startswith(f"{path}."))))
