"""Operations on free-form mappings: keys that become typed fields, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from tttcfg.fields import Path, dig, plant
from tttcfg.operations import Losses, Operation, Partial
from tttcfg.record import (
    MISSING,
    Record,
    Tree,
    copied,
    prune,
    redacted,
    restored,
    same,
    shape_parent,
    split,
    take,
    take_shape,
)
from tttcfg.shapes import Shape


@dataclass(frozen=True)
class Lift(Operation):
    """A key of a free-form mapping that becomes a typed field.

    Args:
        absent: What its reader took for a key that was not there: a scalar; the default of the new field if left out.
    """

    to: str
    shape: Shape
    reason: str
    convert: Callable[[Any], Any] | None = None
    absent: Any = MISSING
    kind: ClassVar[str] = "lifted"

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
        value = take(tree, self.parts)
        if value is MISSING:
            if not partial and plant(tree, self.target, self.fill, over=False):
                record.filled[self.to] = {"value": self.fill, "reason": self.where_absent}
            return
        new = self.convert(value) if self.convert else value
        if not plant(tree, self.target, new, over=False):
            plant(tree, self.parts, value)  # given under both names: the old one stays, and validation names it
            return
        if partial:
            prune(tree, self.parts)
        record.renamed[self.path] = {"value": self.to, "reason": self.reason}
        if not same(new, value):
            record.converted[self.to] = {"value": value, "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        value = take(tree, self.target)
        prune(tree, self.target)
        record.filled.pop(self.to, None)
        recorded = record.converted.pop(self.to, {}).get("value", MISSING)
        given = record.renamed.pop(self.path, None) is not None
        if value is MISSING or (value == self.fill and not given):
            return iter(())
        if recorded is not MISSING and self.convert and same(self.convert(recorded), value):
            value = copied(recorded)
        plant(tree, self.parts, value)
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
            if dig(tree, self.parts, MISSING) in ({}, None):
                take(tree, self.parts)
            return
        value = take(tree, self.parts)
        if value is not MISSING and record.filled.pop(self.path, None) is None:
            record.removed[self.path] = {"value": redacted(value), "reason": self.reason}

    def down(self, tree: Tree, record: Record) -> Losses:
        yield from restored(tree, self.path, record)

    def reshape(self, schema: Shape) -> None:
        take_shape(schema, self.parts)
