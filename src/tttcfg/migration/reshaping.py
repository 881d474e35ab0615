"""Fields that become one, and one that becomes several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tttcfg.migration.operations import Losses, Operation, Partial
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import Fragment, properties_at, take_fragment
from tttcfg.schema.paths import MISSING, Tree, copied, get_path, pop_path, prune, same, set_path, split


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
                partial.lacks(self.path, self.sources, given)
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
