"""The laws of a family with a parent: what the parent wrote means the same in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import assume

from tttcfg.documents.document import Document, document_of
from tttcfg.documents.downgrade import is_numbered, migrate_tree
from tttcfg.errors import ForeignDocumentError, InputError
from tttcfg.family.family import Family
from tttcfg.resolving.config import given as read
from tttcfg.resolving.config import tree_of
from tttcfg.schema.fields import plain
from tttcfg.schema.paths import MISSING, Tree, copied, get_path, same, set_path, split
from tttcfg.testing.subject import Subject


class ParentLaws:
    """The further laws of a family with a parent, whose history and documents are those of `above`."""

    subject: ClassVar[Subject]
    above: ClassVar[Subject]

    def test_a_document_of_the_parent_means_the_same(self, inherited: int) -> None:
        """Every field that both have and the family does not convert; its own have what their absence meant."""
        child, parent = self.subject.family, self.above.family
        names = kept_fields(child)

        def holds(document: Tree, theirs: Document) -> None:
            mine = document_of(document, child)
            for name in names:
                was, now = (plain(one.family.fields[name].get(one.training)) for one in (theirs, mine))
                assert same(was, now), f"{name} is {was!r} in {parent.name}, and {now!r} in {child.name}"
            assumed = sorted(mine.missing.keys() - theirs.missing.keys())
            assert not assumed, f"{', '.join(assumed)}: a default is used, and not what absence meant"

        self._for_every_document(inherited, holds)

    def test_a_document_of_the_parent_may_be_upgraded_first(self, inherited: int) -> None:
        """Upgraded in the parent to any later version, it gives the same: own steps and inherited ones commute."""
        child, parent = self.subject.family, self.above.family

        def holds(document: Tree, _theirs: Document) -> None:
            direct = document_of(document, child).training
            for version in range(inherited + 1, parent.head + 1):
                if is_numbered(parent, version):
                    upgraded = migrate_tree(document, parent, to=version)
                    assert document_of(upgraded, child).training == direct, f"by way of version {version}"

        self._for_every_document(inherited, holds)

    def test_every_name_of_the_parent_is_read(self, inherited: int) -> None:
        """A value alone, in a file without a version and under the name of that time, gives what it gives there."""
        child, parent = self.subject.family, self.above.family
        names = [one for one in parent.chain.fields(inherited) if one not in child.fields or one in parent.fields]
        kept = kept_fields(child)

        def holds(document: Tree, _theirs: Document) -> None:
            for path in names:
                value = get_path(document, split(path))
                theirs, mine = (read_alone(path, value, one) for one in (parent, child))
                for name in theirs.keys() & kept:
                    assert same(mine.get(name, MISSING), theirs[name]), f"{path}={value!r} alone is read otherwise"

        self._for_every_document(inherited, holds)

    def test_a_document_is_not_read_as_one_of_the_parent(self) -> None:
        """It has fields that the parent does not know: it is refused, and the family named."""
        document = self.subject.golden_document(self.subject.family.head)
        with pytest.raises(ForeignDocumentError, match=self.subject.family.name):
            _ = document_of(document, self.above.family)

    def _for_every_document(self, version: int, law: Callable[[Tree, Document], None]) -> None:
        """Check a law on documents of a version of the parent, those that the parent reads."""
        parent = self.above.family
        self.subject.chain()

        def holds(document: Tree) -> None:
            named = {"$schema": parent.schema_id_of(version), **document}
            try:
                theirs = document_of(named, parent)
            except InputError:
                assume(False)  # rules across fields, which no schema has
                raise
            law(named, theirs)

        self.above.for_every_document(version, holds)


def kept_fields(family: Family) -> frozenset[str]:
    """Return the fields of a family's parent whose values its own steps leave as they are."""
    assert family.parent is not None
    spellings, own = family.chain.spellings, [one for one in family.chain.migrations if one.parent is None]
    single = [each for step in own for one in step.operations for each in one.singly()]
    touched = {one.path for one in single if one.kind not in ("added", "redeclared")}
    return frozenset(family.parent.fields) - {spellings.get(path, path).partition(".*")[0] for path in touched}


def read_alone(path: str, value: object, family: Family) -> Tree:
    """Return what a file gives that states no version and has this value only; nothing where it is refused."""
    tree: Tree = {}
    set_path(tree, split(path), copied(value))
    try:
        found = read(tree_of(tree, "file"), family).values
    except InputError:
        return {}
    return {name: plain(one) for name, one in found.items()}
