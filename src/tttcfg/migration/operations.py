"""The operations that migrations consist of.

A list of operations defines the upgrade of complete documents and of partial ones, the downgrade with its
losses, the next version's schema and the history page. Operations are pure: they depend on the document and
the record, never on a model, a clock or today's defaults. Applying one edits the working copy that the chain
made, and never a value inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, cast

from tttcfg.migration.record import Record, restored
from tttcfg.schema.fragments import (
    Fragment,
    Inside,
    fragment_at,
    inside,
    properties_at,
    tags,
    take_fragment,
    whole_default,
    with_inside,
    with_own_sections,
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

    def lacks(self, merge: Merge, given: Sequence[str]) -> None:
        """Note that of several fields that became one, only some are given."""

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


@dataclass(frozen=True)
class By:
    """A value that depends on another field, which may be missing (None); `text` describes it for people."""

    field: str
    value: Callable[[Any], Any]
    text: str


@dataclass(frozen=True)
class Computed:
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


@dataclass(frozen=True)
class Merge(Operation):
    """Several fields that became one, at `path`.

    A partial document that gives some of them only is refused.

    Args:
        sources: The old fields.
        forward: Returns the new value of the old ones, in their order.
        back: Returns the old values of a new one, in their order.
        fragment: The new field's JSON Schema.
    """

    sources: tuple[str, ...]
    forward: Callable[..., Any]
    back: Callable[[Any], Sequence[Any]]
    fragment: Fragment
    reason: str
    kind: ClassVar[str] = "merged"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        values = [get_path(tree, split(one), MISSING) for one in self.sources]
        whole = all(one is not MISSING for one in values)
        if get_path(tree, self.parts, MISSING) is not MISSING:
            return  # given under both names: the old ones stay, and validation reports them
        if partial and not whole:
            given = [one for one, value in zip(self.sources, values, strict=True) if value is not MISSING]
            if given:
                partial.lacks(self, given)
            return
        for one in self.sources:
            pop_path(tree, split(one))
            if partial:
                prune(tree, split(one))
        if not whole:
            return  # a document that lacks one: what the whole was is found with the defaults of its version
        new = self.forward(*map(copied, values))
        set_path(tree, self.parts, new)
        filled = [record.filled.pop(one, None) for one in self.sources]
        if all(filled):
            record.filled[self.path] = {"value": new, "reason": self.reason}
            return
        for one in self.sources:
            record.renamed[one] = {"value": self.path, "reason": self.reason}
        if not same(list(self.back(new)), values):
            old = dict(zip(self.sources, values, strict=True))
            record.converted[self.path] = {"value": old, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        new = pop_path(tree, self.parts)
        prune(tree, self.parts)
        recorded = record.converted.pop(self.path, {}).get("value")
        record.filled.pop(self.path, None)
        for one in self.sources:
            record.renamed.pop(one, None)
        if new is MISSING:
            return
        values = [recorded.get(one, MISSING) for one in self.sources] if isinstance(recorded, dict) else [MISSING]
        if MISSING in values or not same(self.forward(*map(copied, values)), new):
            values = list(self.back(copied(new)))
        if not same(self.forward(*map(copied, values)), new):
            yield self.path, new
        for one, value in zip(self.sources, values, strict=True):
            set_path(tree, split(one), copied(value))

    def apply_to_schema(self, schema: Fragment) -> None:
        for one in self.sources:
            take_fragment(schema, split(one))
        properties_at(schema, self.parts)[self.parts[-1]] = self.fragment

    def spellings(self) -> dict[str, str]:
        return dict.fromkeys(self.sources, self.path)


@dataclass(frozen=True)
class Split(Operation):
    """A field that became several.

    Args:
        targets: The new fields; the old name leads to the first.
        forward: Returns the new values of an old one, in their order.
        back: Returns the old value of the new ones, in their order.
        fragments: The new fields' JSON Schemas.
    """

    targets: tuple[str, ...]
    forward: Callable[[Any], Sequence[Any]]
    back: Callable[..., Any]
    fragments: tuple[Fragment, ...]
    reason: str
    kind: ClassVar[str] = "split"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        old = get_path(tree, self.parts, MISSING)
        if old is MISSING or any(get_path(tree, split(one), MISSING) is not MISSING for one in self.targets):
            return  # given under both names: the old one stays, and validation reports it
        pop_path(tree, self.parts)
        if partial:
            prune(tree, self.parts)
        values = list(self.forward(copied(old)))
        for one, value in zip(self.targets, values, strict=True):
            set_path(tree, split(one), copied(value))
        if record.filled.pop(self.path, None) is not None:
            filled = zip(self.targets, values, strict=True)
            record.filled |= {one: {"value": copied(value), "reason": self.reason} for one, value in filled}
            return
        record.renamed[self.path] = {"value": self.targets[0], "reason": self.reason}
        if not same(self.back(*map(copied, values)), old):
            record.converted[self.targets[0]] = {"value": old, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        values = [pop_path(tree, split(one)) for one in self.targets]
        for one in self.targets:
            prune(tree, split(one))
            record.filled.pop(one, None)
        recorded = record.converted.pop(self.targets[0], {}).get("value", MISSING)
        record.renamed.pop(self.path, None)
        if any(one is MISSING for one in values):
            return
        old = recorded
        if recorded is MISSING or not same(list(self.forward(copied(recorded))), values):
            old = self.back(*map(copied, values))
        for one, value, again in zip(self.targets, values, self.forward(copied(old)), strict=True):
            if not same(again, value):
                yield one, value
        set_path(tree, self.parts, copied(old))

    def apply_to_schema(self, schema: Fragment) -> None:
        take_fragment(schema, self.parts)
        for one, fragment in zip(self.targets, self.fragments, strict=True):
            properties_at(schema, split(one))[split(one)[-1]] = fragment

    def spellings(self) -> dict[str, str]:
        return {self.path: self.targets[0]}


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

    def lacks(self, merge: Merge, given: Sequence[str]) -> None:
        self._partial.lacks(cast("Merge", moved(merge, self._below)), [self._below(one) for one in given])

    def _below(self, path: str) -> str:
        return f"{self._name}.{path}"

    def defer(self, conversion: Convert, value: Any) -> bool:
        return False  # the section is there as a whole


def with_sections_removed(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Return operations in which what removes a section, after its fields, is one that leaves unknown keys in it."""
    found: list[Operation] = []
    for one in operations:
        sections = sections_of(other.path for other in found)
        emptied = type(one) is Remove and one.path in sections
        found.append(removing_section(one.path, one.why, sections) if emptied else one)
    return tuple(found)


def removing_section(path: str, reason: str, sections: Iterable[str]) -> RemoveSection:
    """Return what removes a section with those of the given ones that are inside it."""
    return RemoveSection(path, reason, tuple(sorted(one for one in sections if one.startswith(f"{path}."))))
