"""A migration: one step of a schema's history, and the chain of all steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import takewhile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tttcfg.migration.record import Record
from tttcfg.schema.fragments import (
    Fragment,
    defaults,
    fields_inside,
    fields_of,
    inside,
    is_section,
    section,
    with_own_sections,
)
from tttcfg.schema.paths import Path, Tree, copied, get_path, same, sections_of, set_path

if TYPE_CHECKING:  # the steps of the history import it, and a current document needs none of them
    from tttcfg.migration.operations import Convert, Operation


_VARIANT = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class Migration:
    """One step: the version it leads to, when and why it happened, and its operations.

    A `Remove` of a section whose fields the same step moves or removes is a `RemoveSection`.

    Attributes:
        parent: The version of the parent family whose step this one takes over; None for a step of the family's own.
    """

    version: int
    date: str
    summary: str
    evidence: str
    operations: tuple[Operation, ...]
    parent: int | None = None

    def __post_init__(self) -> None:
        removed = {one.path for one in self.operations if one.kind == "removed"}
        if removed and removed & sections_of(one.path for one in self.operations):
            from tttcfg.migration.operations import with_sections_removed  # which a step has imported

            object.__setattr__(self, "operations", with_sections_removed(self.operations))

    def up(self, tree: Tree, record: Record) -> None:
        """Upgrade a complete document of the version before, in place, and record what that did to it."""
        for operation in self.operations:
            operation.up(tree, record, None)

    def down(self, tree: Tree, record: Record) -> list[tuple[str, Any]]:
        """Undo the step and return every path and value that cannot be restored."""
        return [loss for operation in reversed(self.operations) for loss in operation.down(tree, record)]

    def apply_to_schema(self, schema: Fragment) -> None:
        """Change the schema of the version before to that of this one, in place."""
        for operation in self.operations:
            operation.apply_to_schema(schema)


class Identification(NamedTuple):
    """The version of a document, -1 where it holds no known field; and the keys that it was inferred from, if any."""

    version: int
    decided_by: tuple[str, ...]


class Deferred(NamedTuple):
    """A value of an older form, whose meaning depends on another field: known when all sources have been read."""

    conversion: Convert
    value: Any

    def settled(self, beside: Any) -> Any:
        """Return the value in today's form, where the other field is `beside`."""
        return self.conversion.forward(self.value, beside)


class Ambiguity(NamedTuple):
    """A value that may be from either side of a conversion: from `version` or later, or older, when it meant `then`."""

    path: str
    version: int
    value: Any
    then: Any


class Incomplete(NamedTuple):
    """Of several fields, the `sources`, that became the one at `path`, some are `given`, and not the others."""

    path: str
    sources: Sequence[str]
    given: Sequence[str]


class PartialReading:
    """The upgrade of a document that gives some fields only to the head.

    Attributes:
        version: The version that the document states; None where it states none, and every key may be of any version.
        deferred: Values that depend on other sources, by path.
        ambiguous: Values that cannot be read without the version.
        incomplete: What became one with what is not given.
    """

    def __init__(self, chain: Chain, version: int | None, validated: Callable[[Tree], Any]) -> None:
        self.chain, self.version, self.validated = chain, version, validated
        self.deferred: dict[str, Deferred] = {}
        self.ambiguous: list[Ambiguity] = []
        self.incomplete: list[Incomplete] = []
        self._position = (0, 0)

    def run(self, tree: Tree, record: Record, start: tuple[int, int] = (0, 0)) -> None:
        """Upgrade `tree` in place, starting at an operation of a step."""
        first, skipped = start
        for migration in self.chain.migrations[first:]:
            if self.version is not None and migration.version <= self.version:
                continue
            for index, operation in enumerate(migration.operations):
                if migration.version > first or index >= skipped:
                    self._position = (migration.version, index)
                    operation.up(tree, record, self)

    def lacks(self, path: str, sources: Sequence[str], given: Sequence[str]) -> None:
        self.incomplete.append(Incomplete(path, sources, given))

    def defer(self, conversion: Convert, value: Any) -> bool:
        self.deferred[conversion.path] = Deferred(conversion, value)
        return True

    def has_old_form(self, conversion: Convert, value: Any, placed: Callable[[Any], Tree] | None = None) -> bool:
        # Without a version: if the current version refuses the value unconverted, and accepts it converted.
        if self.version is not None:
            return True
        version, index = self._position
        if placed is None and not self.chain.had(conversion.parts, version):
            return False  # the name is new in that version
        then = conversion.converted(value, {})
        if same(then, value):
            return False
        alone = placed or partial(_alone, conversion.parts)
        old, new = (self._upgraded(alone(one), (version, index + 1)) for one in (then, value))
        if old is None or new is None:
            return new is None and old is not None
        if old != new:
            self.ambiguous.append(Ambiguity(conversion.path, version, value, then))
        return False

    def _upgraded(self, tree: Tree, start: tuple[int, int]) -> Any:
        """Return one value as the rest of the history and the head read it, or None where the head refuses it."""
        rest = PartialReading(self.chain, None, self.validated)
        rest.run(tree, Record(), start)
        return self.validated(tree)


def as_written(name: str) -> str:
    """Return the name of a field inside variants as documents have it, without the names of these."""
    return _VARIANT.sub("", name)


def _names_inside(schema: Fragment) -> Iterator[str]:
    """Yield the names of the fields that fields hold in lists, mappings, optional sections and variants."""
    waiting = list(fields_of(schema).items())
    while waiting:
        path, fragment = waiting.pop()
        for one in inside(fragment):
            below = fields_inside(path, one)
            yield from below
            waiting += below.items()


def _now(name: str, old: str, new: str) -> str:
    """Return what a name becomes where another one changes: the same one, or that of what it is inside of."""
    rest = name.removeprefix(old)
    return new and new + rest if name.startswith(old) and rest[:1] in ("", ".", "[") else name


def _alone(path: Path, value: Any) -> Tree:
    tree: Tree = {}
    set_path(tree, path, copied(value))
    return tree


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
        """The current path of every old path, as documents have them; empty where the field was removed.

        A name that only some variants had is left out where another one has it today.
        """
        found = {old: new for old, new in self._spellings.items() if "[" not in old}
        inner = {as_written(old): as_written(new) for old, new in self._spellings.items() if "[" in old}
        today = {as_written(name) for name in _names_inside(self.schema(self.head))} if inner else ()
        return found | {old: new for old, new in inner.items() if old != new and old not in today}

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """The same with the variants that fields are in, and with those that have another name; see `Inside.name`."""
        found: dict[str, str] = {}
        for migration in self.migrations:
            for operation in migration.operations:
                for old, new in operation.spellings().items():
                    changed = {key: _now(value, old, new) for key, value in found.items() if value.startswith(old)}
                    found |= {**changed, old: new}
        return found

    def variant_in(self, name: str, variant: str, version: int | None) -> str:
        """Return what a variant of a field is called in a version; None is the first one that has it."""
        for was, to in reversed(self._renamed_variants(name, 0 if version is None else version + 1)):
            variant = was if variant == to else variant
        return variant

    def variant_today(self, name: str, variant: str) -> str:
        """Return what a variant of a field is called today that any version has called so."""
        for was, to in self._renamed_variants(name, 0):
            variant = to if variant == was else variant
        return variant

    def _renamed_variants(self, name: str, first: int) -> list[tuple[str, str]]:
        """Return the old and the new names of the variants of a field that steps rename, from one on."""
        found = []
        for operation in (
            one for step in self.migrations[first:] for whole in step.operations for one in whole.singly()
        ):
            held = as_written(operation.path)
            if operation.kind == "variant renamed" and self.spellings.get(held, held) == name:
                found.append((getattr(operation, "was", ""), getattr(operation, "to", "")))
        return found

    @cached_property
    def old_names(self) -> tuple[str, ...]:
        """All old paths of what there is today."""
        return tuple(old for old, now in self.spellings.items() if now)

    @cached_property
    def introduced(self) -> Tree:
        """The version that introduced each field, as a tree with the fields of all versions."""
        tree: Tree = {}
        for version in range(self.head + 1):
            _set_versions(tree, self.schema(version), version)
        return tree

    def schema(self, version: int) -> Fragment:
        """Return the schema of documents of `version`, as the operations define it. Callers must not change it."""
        return self._schemas[version]

    @cached_property
    def _schemas(self) -> list[Fragment]:
        found: list[Fragment] = []
        for migration in self.migrations:
            schema = with_own_sections(found[-1]) if found else section()
            migration.apply_to_schema(schema)
            found.append(schema)
        return found

    def template(self, version: int) -> Tree:
        """Return the document that holds every field of `version` at that version's default.

        Fields whose default depends on others are left out: their own model fills them in.
        """
        found: Tree = copied(self._template(version))
        return found

    @lru_cache(maxsize=64)  # noqa: B019 a chain lives as long as its family
    def _template(self, version: int) -> Tree:
        return defaults(self.schema(version))

    def identify(self, tree: Mapping[str, Any]) -> Identification:
        """Infer the version of an unversioned document: that of the newest field it holds."""
        version = _newest(tree, self.introduced)
        decided_by = tuple(_keys_of(tree, self.introduced, version)) if version >= 0 else ()
        return Identification(version, decided_by)

    def lookalikes(self, version: int) -> list[int]:
        """Return the later versions whose documents have the same keys, and may have values of another meaning."""
        keys, later = self.fields(version).keys(), range(version + 1, self.head + 1)
        found = list(takewhile(lambda one: self.fields(one).keys() == keys, later))
        operations = (operation for one in found for operation in self.migrations[one].operations)
        return found if any(operation.converts for operation in operations) else []

    def up(self, tree: Tree, version: int, record: Record, to: int | None = None) -> Tree:
        """Return a complete document of `version`, upgraded to `to` (the head); `tree` is not changed."""
        copy: Tree = copied(tree)
        self.run(copy, version, record, to)
        return copy

    def run(self, tree: Tree, version: int, record: Record, to: int | None = None) -> None:
        """Upgrade a document in place; only for a copy that is used nowhere else."""
        for migration in self.migrations[version + 1 : (self.head if to is None else to) + 1]:
            migration.up(tree, record)

    def up_partial(
        self, tree: Tree, record: Record, version: int | None, validated: Callable[[Tree], Any]
    ) -> tuple[Tree, PartialReading]:
        """Return a partial document upgraded to the head, with nothing filled in, and the reading with what is open.

        Args:
            version: The version that the document states, or None.
            validated: Returns a partial document as the head reads it, or None where the head refuses it.
        """
        copy: Tree = copied(tree)
        reading = PartialReading(self, version, validated)
        reading.run(copy, record)
        return copy, reading

    @cached_property
    def converted(self) -> frozenset[str]:
        """The current names of the fields that some version converted without renaming them."""
        found = (
            operation.path
            for migration in self.migrations
            for operation in migration.operations
            if operation.converts and self.had(operation.parts, migration.version)
        )
        return frozenset(self.spellings.get(path, path) for path in found)

    @cached_property
    def converted_inside(self) -> frozenset[str]:
        """The current names of the fields inside of others that some version converted; see `Inside.prefix`."""
        operations = (one for migration in self.migrations for one in migration.operations if one.kind == "inside")
        found = (single.path for one in operations for single in one.singly() if single.kind == "converted")
        return frozenset(as_written(self._spellings.get(path, path)) for path in found)

    def had(self, path: Path, version: int) -> bool:
        """Return whether a version older than `version` had a field of this name."""
        found = get_path(self.introduced, path)
        return _oldest(found) < version if found is not None else False

    @lru_cache(maxsize=64)  # noqa: B019 a chain lives as long as its family
    def fields(self, version: int) -> Mapping[str, Fragment]:
        """Return the fragment of every field of documents of `version`, by dotted path."""
        return MappingProxyType(fields_of(self.schema(version)))

    def down(self, tree: Tree, version: int, record: Record) -> tuple[Tree, list[tuple[str, Any]]]:
        """Return a head document downgraded to `version`, and every path and value that is lost."""
        copy = copied(tree)
        losses: list[tuple[str, Any]] = []
        for migration in reversed(self.migrations[version + 1 :]):
            losses += migration.down(copy, record)
        return copy, losses


def _set_versions(tree: Tree, schema: Fragment, version: int) -> None:
    for name, fragment in schema["properties"].items():
        if is_section(fragment):
            child = tree.setdefault(name, {})
            if isinstance(child, dict):
                _set_versions(child, fragment, version)
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
    """Yield the dotted keys of `tree` that `version` introduced."""
    for key, value in tree.items():
        entry = index.get(key)
        if isinstance(entry, dict):
            if isinstance(value, dict):
                yield from _keys_of(value, entry, version, f"{prefix}{key}.")
        elif entry == version:
            yield f"{prefix}{key}"
