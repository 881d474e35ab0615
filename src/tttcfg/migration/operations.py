"""The operations that migrations are made of.

From a list of operations follow the upgrade of complete documents and of partial ones, the downgrade
with its losses, the next version's schema and the history page. Operations are pure: they see the
document and the record, never a model, a clock or today's defaults. Applying one edits the working
copy that the chain made, and never a value inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

from tttcfg.migration.record import Record, restored
from tttcfg.schema.fragments import Shape, shape_at, shape_parent, take_shape
from tttcfg.schema.paths import MISSING, Path, Tree, copied, get_path, pop_path, prune, same, set_path, split
from tttcfg.schema.secrets import WITHHELD, redacted

Losses = Iterator[tuple[str, Any]]


class Partial(Protocol):
    """How a document that gives some fields only is read."""

    def has_old_form(self, conversion: Convert, value: Any) -> bool:
        """Whether a value under a name that did not change is of before a conversion."""

    def defer(self, conversion: Convert, value: Any) -> None:
        """Keep a value until the field that decides what it means is known."""


@dataclass(frozen=True)
class Operation:
    """One change of the schema, and what it means for documents on either side of it."""

    path: str
    kind: ClassVar[str] = "change"

    @cached_property
    def parts(self) -> Path:
        return split(self.path)

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        """Bring `tree` to the newer version; where it is a partial document, nothing is filled in."""

    def down(self, tree: Tree, record: Record) -> Losses:
        """Bring `tree` and `record` back to the older version, yielding every path and value that is lost."""
        return iter(())

    def reshape(self, schema: Shape) -> None:
        """Turn the older version's schema into the newer one's."""

    def spellings(self) -> dict[str, str]:
        """Return old paths that mean something new: to the new path, or to nothing where removed."""
        return {}

    @property
    def why(self) -> str:
        """Why the schema changed here."""
        return str(getattr(self, "reason", ""))


@dataclass(frozen=True)
class By:
    """What another field decides, a missing one (None) included; `text` says it for people."""

    field: str
    value: Callable[[Any], Any]
    text: str


def _value(fill: Any, tree: Tree) -> Any:
    return fill.value(get_path(tree, split(fill.field))) if isinstance(fill, By) else copied(fill)


@dataclass(frozen=True)
class Declare(Operation):
    """A field of the first version."""

    shape: Shape
    kind: ClassVar[str] = "declared"

    def reshape(self, schema: Shape) -> None:
        shape_parent(schema, self.parts)[self.parts[-1]] = self.shape


@dataclass(frozen=True)
class Add(Operation):
    """A new field.

    Args:
        fill: What the program did before the field existed, not the field's default; or the field that decided it.
        doubt: Why that may not be true of every older document, where it may not.
    """

    shape: Shape
    fill: Any
    reason: str
    doubt: str = ""
    kind: ClassVar[str] = "added"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        if partial or not set_path(tree, self.parts, value := _value(self.fill, tree), over=False):
            return
        record.filled[self.path] = {"value": value, "reason": self.reason}
        if self.doubt:
            record.doubted[self.path] = {"value": value, "reason": self.doubt}

    def down(self, tree: Tree, record: Record) -> Losses:
        value = pop_path(tree, self.parts)
        prune(tree, self.parts)
        record.filled.pop(self.path, None)
        record.doubted.pop(self.path, None)
        if value is not MISSING and value != _value(self.fill, tree):
            yield self.path, value

    def reshape(self, schema: Shape) -> None:
        shape_parent(schema, self.parts)[self.parts[-1]] = self.shape


@dataclass(frozen=True)
class Remove(Operation):
    """A field that is gone; its value is kept in the record."""

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

    def reshape(self, schema: Shape) -> None:
        if "properties" in (shape_at(schema, self.parts[:-1]) or {}):
            take_shape(schema, self.parts)

    def spellings(self) -> dict[str, str]:
        return {self.path: ""}


@dataclass(frozen=True)
class Withhold(Operation):
    """A secret that saved documents no longer carry; partial documents keep it, nothing records it."""

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

    def reshape(self, schema: Shape) -> None:
        take_shape(schema, self.parts)


@dataclass(frozen=True)
class Rename(Operation):
    """A field under another name or in another section; `shape` where it changes on the way."""

    to: str
    reason: str
    kind: ClassVar[str] = "renamed"

    @cached_property
    def target(self) -> Path:
        return split(self.to)

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        old = get_path(tree, self.parts, MISSING)
        if old is MISSING or get_path(tree, self.target, MISSING) is not MISSING:
            return  # both spellings: the old one stays behind, and validation names it
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

    def reshape(self, schema: Shape) -> None:
        shape = take_shape(schema, self.parts)
        shape_parent(schema, self.target)[self.target[-1]] = shape

    def spellings(self) -> dict[str, str]:
        return {self.path: self.to}


@dataclass(frozen=True)
class Convert(Operation):
    """The same field in another form; `forward` and `back` take any value and return it where it is not theirs.

    Args:
        beside: Another field that decides what a value means, or a section: `forward` gets what it holds as well. Of a
            partial document it waits until all sources have said what they have to say.
    """

    forward: Callable[..., Any]
    reason: str
    shape: Shape | None = None
    back: Callable[[Any], Any] | None = None
    beside: str = ""
    kind: ClassVar[str] = "converted"

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        old = get_path(tree, self.parts, MISSING)
        if old is MISSING or (partial and not record.brought(self.path) and not partial.has_old_form(self, old)):
            return
        if partial and self.beside:
            partial.defer(self, pop_path(tree, self.parts))
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
        return self.forward(value, get_path(tree, split(self.beside))) if self.beside else self.forward(value)

    def reshape(self, schema: Shape) -> None:
        if self.shape is not None:
            shape_parent(schema, self.parts)[self.parts[-1]] = self.shape


@dataclass(frozen=True)
class Reshape(Operation):
    """A field whose values stay as they are while what it allows, its default, unit or role changes.

    A value that the older version allows has to be one that the newer one does.
    """

    shape: Shape
    reason: str
    kind: ClassVar[str] = "reshaped"

    def reshape(self, schema: Shape) -> None:
        shape_parent(schema, self.parts)[self.parts[-1]] = self.shape


@dataclass(frozen=True)
class Doubt(Operation):
    """A field whose recorded value the program may not have obeyed; the value stays, the doubt is recorded."""

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
        absent: What its reader took for a key that was not there: a scalar; the default of the new field if left out.
    """

    to: str
    shape: Shape
    reason: str
    convert: Callable[[Any], Any] | None = None
    absent: Any = MISSING
    kind: ClassVar[str] = "promoted"

    @cached_property
    def fill(self) -> str | float | None:
        """The value of the typed field where the key was absent: a scalar, and so safe to share."""
        fill: str | float | None = self.shape["default"] if self.absent is MISSING else self.absent
        return fill

    @cached_property
    def where_absent(self) -> str:
        return f"absent from {self.parts[0]}"

    @cached_property
    def target(self) -> Path:
        return split(self.to)

    def up(self, tree: Tree, record: Record, partial: Partial | None) -> None:
        value = pop_path(tree, self.parts)
        if value is MISSING:
            if not partial and set_path(tree, self.target, self.fill, over=False):
                record.filled[self.to] = {"value": self.fill, "reason": self.where_absent}
            return
        new = self.convert(value) if self.convert else value
        if not set_path(tree, self.target, new, over=False):
            set_path(tree, self.parts, value)  # given under both names: the old one stays, and validation names it
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

    def reshape(self, schema: Shape) -> None:
        shape_parent(schema, self.target)[self.target[-1]] = self.shape

    def spellings(self) -> dict[str, str]:
        return {self.path: self.to}


@dataclass(frozen=True)
class RemoveRest(Operation):
    """A free-form mapping that is gone; of a complete document what is left in it goes into the record."""

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

    def reshape(self, schema: Shape) -> None:
        take_shape(schema, self.parts)
