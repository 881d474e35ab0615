"""A migration: one step of a schema's history, and the chain that all steps make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tttcfg.record import Record, Tree, copied
from tttcfg.shapes import Shape, defaults, is_section, section

if TYPE_CHECKING:  # the steps of the history import it, and a current document needs none of them
    from tttcfg.operations import Operation


@dataclass(frozen=True)
class Migration:
    """One step: the version it leads to, when and why it happened, and its operations."""

    version: int
    date: str
    summary: str
    evidence: str
    operations: tuple[Operation, ...]

    def up(self, tree: Tree, record: Record, partial: bool = False) -> None:
        for operation in self.operations:
            operation.up(tree, record, partial)

    def down(self, tree: Tree, record: Record) -> list[tuple[str, Any]]:
        """Undo the step and return every path and value that nothing can bring back."""
        return [loss for operation in reversed(self.operations) for loss in operation.down(tree, record)]

    def reshape(self, schema: Shape) -> None:
        for operation in self.operations:
            operation.reshape(schema)


class Identification(NamedTuple):
    """The version of a document, -1 where it holds no field of any; and the keys that decided it, if no number did."""

    version: int
    decided_by: tuple[str, ...]


class Chain:
    """All migrations of one family, from the first version to the head."""

    def __init__(self, migrations: Sequence[Migration]) -> None:
        self.migrations = tuple(sorted(migrations, key=lambda migration: migration.version))
        versions = [migration.version for migration in self.migrations]
        if versions != list(range(len(versions))):
            raise ValueError(f"migrations must lead to versions 0, 1, 2, …, each once; found {versions}")

    @property
    def head(self) -> int:
        return len(self.migrations) - 1

    @cached_property
    def spellings(self) -> dict[str, str]:
        """Every old path, to what it is called now; to nothing where it is gone."""
        found: dict[str, str] = {}
        for migration in self.migrations:
            for operation in migration.operations:
                for old, new in operation.spellings().items():
                    found = {key: new if value == old else value for key, value in found.items()} | {old: new}
        return found

    @cached_property
    def introduced(self) -> Tree:
        """The version that brought each field, as a tree of the shape of all versions together."""
        tree: Tree = {}
        for version in range(self.head + 1):
            _mark(tree, self.schema(version), version)
        return tree

    def schema(self, version: int) -> Shape:
        """Return the shape of documents of `version`, as the operations make it."""
        schema = section()
        for migration in self.migrations[: version + 1]:
            migration.reshape(schema)
        return schema

    def template(self, version: int) -> Tree:
        """Return the document that holds every field of `version` at that version's default.

        Fields whose default follows from others are left out: their own model fills them in.
        """
        found: Tree = copied(self._template(version))
        return found

    @lru_cache(maxsize=64)  # noqa: B019 a chain lives as long as its family
    def _template(self, version: int) -> Tree:
        return defaults(self.schema(version))

    def identify(self, tree: Mapping[str, Any]) -> Identification:
        """Work out the version of an unversioned document: that of the newest field it holds."""
        version = _newest(tree, self.introduced)
        decided_by = tuple(_keys_of(tree, self.introduced, version)) if version >= 0 else ()
        return Identification(version, decided_by)

    def up(self, tree: Tree, version: int, record: Record, to: int | None = None) -> Tree:
        """Return a complete document of `version`, upgraded to `to` (the head); `tree` stays as it is."""
        copy: Tree = copied(tree)
        self.run(copy, version, record, to)
        return copy

    def run(self, tree: Tree, version: int, record: Record, to: int | None = None) -> None:
        """Upgrade a document in place; only for a copy that nobody else holds."""
        for migration in self.migrations[version + 1 : (self.head if to is None else to) + 1]:
            migration.up(tree, record)

    def up_partial(self, tree: Tree, record: Record) -> Tree:
        """Return a partial document with its old spellings brought to the head; nothing is filled."""
        copy: Tree = copied(tree)
        for migration in self.migrations:
            migration.up(copy, record, partial=True)
        return copy

    def down(self, tree: Tree, version: int, record: Record) -> tuple[Tree, list[tuple[str, Any]]]:
        """Return a head document as `version` would have it, and every path and value that is lost."""
        copy = copied(tree)
        losses: list[tuple[str, Any]] = []
        for migration in reversed(self.migrations[version + 1 :]):
            losses += migration.down(copy, record)
        return copy, losses


def _mark(tree: Tree, schema: Shape, version: int) -> None:
    for name, shape in schema["properties"].items():
        if is_section(shape):
            child = tree.setdefault(name, {})
            if isinstance(child, dict):
                _mark(child, shape, version)
        else:
            tree.setdefault(name, version)


def _newest(tree: Mapping[str, Any], index: Tree) -> int:
    """Return the version of the newest field in `tree`, or -1."""
    newest = -1
    for key, value in tree.items():
        entry = index.get(key, -1)
        if isinstance(entry, dict):
            entry = _newest(value, entry) if isinstance(value, dict) else -1
        if entry > newest:
            newest = entry
    return newest


def _keys_of(tree: Mapping[str, Any], index: Tree, version: int, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of `tree` that came with `version`."""
    for key, value in tree.items():
        entry = index.get(key)
        if isinstance(entry, dict):
            if isinstance(value, dict):
                yield from _keys_of(value, entry, version, f"{prefix}{key}.")
        elif entry == version:
            yield f"{prefix}{key}"
