"""A migration: one step of a schema's history, and the chain that all steps make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tttcfg.migration.record import Record
from tttcfg.schema.fragments import Shape, defaults, fields_of, is_section, section, with_own_sections
from tttcfg.schema.paths import Path, Tree, copied, get_path, same, set_path

if TYPE_CHECKING:  # the steps of the history import it, and a current document needs none of them
    from tttcfg.migration.operations import Convert, Operation


@dataclass(frozen=True)
class Migration:
    """One step: the version it leads to, when and why it happened, and its operations."""

    version: int
    date: str
    summary: str
    evidence: str
    operations: tuple[Operation, ...]

    def up(self, tree: Tree, record: Record) -> None:
        for operation in self.operations:
            operation.up(tree, record, None)

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


class Deferred(NamedTuple):
    """A value of an older form, whose meaning another field decides: known when all sources have been read."""

    conversion: Convert
    value: Any

    def settled(self, beside: Any) -> Any:
        """Return the value in today's form, where the other field is `beside`."""
        return self.conversion.forward(self.value, beside)


class Ambiguity(NamedTuple):
    """A value that may be of either side of a conversion: of `version` or later, or of before, when it meant `then`."""

    path: str
    version: int
    value: Any
    then: Any


class PartialReading:
    """How a document that gives some fields only is brought to the head.

    Attributes:
        version: That it says it is of; None where it says nothing, and every key may be of any version.
        deferred: What has to wait for other sources, by path.
        ambiguous: What nobody can read without knowing the version.
    """

    def __init__(self, chain: Chain, version: int | None, validated: Callable[[Tree], Any]) -> None:
        self.chain, self.version, self.validated = chain, version, validated
        self.deferred: dict[str, Deferred] = {}
        self.ambiguous: list[Ambiguity] = []
        self._position = (0, 0)

    def run(self, tree: Tree, record: Record, start: tuple[int, int] = (0, 0)) -> None:
        """Upgrade `tree` in place, from an operation of a step on."""
        first, skipped = start
        for migration in self.chain.migrations[first:]:
            if self.version is not None and migration.version <= self.version:
                continue
            for index, operation in enumerate(migration.operations):
                if migration.version > first or index >= skipped:
                    self._position = (migration.version, index)
                    operation.up(tree, record, self)

    def defer(self, conversion: Convert, value: Any) -> None:
        self.deferred[conversion.path] = Deferred(conversion, value)

    def has_old_form(self, conversion: Convert, value: Any) -> bool:
        # Where no version is given: if the current version refuses it as it stands, and takes it converted.
        if self.version is not None:
            return True
        version, index = self._position
        if not self.chain.had(conversion.parts, version):
            return False  # the name came with that version
        then = conversion.converted(value, {})
        if same(then, value):
            return False
        old, new = (self._finished(conversion, one, (version, index + 1)) for one in (then, value))
        if old is None or new is None:
            return new is None and old is not None
        if old != new:
            self.ambiguous.append(Ambiguity(conversion.path, version, value, then))
        return False

    def _finished(self, conversion: Convert, value: Any, start: tuple[int, int]) -> Any:
        """Return what the rest of the history and the head make of one value, or None where that is refused."""
        tree: Tree = {}
        set_path(tree, conversion.parts, copied(value))
        rest = PartialReading(self.chain, None, self.validated)
        rest.run(tree, Record(), start)
        return self.validated(tree)


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
        """Return the shape of documents of `version`, as the operations make it. Not to be changed."""
        return self._schemas[version]

    @cached_property
    def _schemas(self) -> list[Shape]:
        found: list[Shape] = []
        for migration in self.migrations:
            schema = with_own_sections(found[-1]) if found else section()
            migration.reshape(schema)
            found.append(schema)
        return found

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

    def up_partial(
        self, tree: Tree, record: Record, version: int | None, validated: Callable[[Tree], Any]
    ) -> tuple[Tree, PartialReading]:
        """Return a partial document as the head has it, with nothing filled in, and what is not known of it yet.

        Args:
            version: That it says it is of, if it says so.
            validated: Returns a partial document as the head takes it, or None where it refuses it.
        """
        copy: Tree = copied(tree)
        reading = PartialReading(self, version, validated)
        reading.run(copy, record)
        return copy, reading

    @cached_property
    def converted(self) -> frozenset[str]:
        """Today's names of the fields that some version converted under a name that they had before."""
        found = (
            operation.path
            for migration in self.migrations
            for operation in migration.operations
            if operation.kind == "converted" and self.had(operation.parts, migration.version)
        )
        return frozenset(self.spellings.get(path, path) for path in found)

    def had(self, path: Path, version: int) -> bool:
        """Whether an older version than `version` had a field of this name."""
        found = get_path(self.introduced, path)
        return _oldest(found) < version if found is not None else False

    @lru_cache(maxsize=64)  # noqa: B019 a chain lives as long as its family
    def fields(self, version: int) -> Mapping[str, Shape]:
        """Return the shape of every field of documents of `version`, by dotted path."""
        return MappingProxyType(fields_of(self.schema(version)))

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


def _oldest(index: Any) -> int:
    return min(map(_oldest, index.values())) if isinstance(index, dict) else int(index)


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
