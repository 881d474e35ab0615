"""The laws, one test each."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given

from tttcfg.api import resolve
from tttcfg.documents.document import document_of, parse_current, parse_document
from tttcfg.documents.downgrade import migrate_tree
from tttcfg.documents.save import canonical_bytes, document_bytes, document_tree
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.migration.operations import Convert
from tttcfg.migration.record import Record
from tttcfg.resolving.families import family_named
from tttcfg.schema.fragments import body_of
from tttcfg.schema.paths import Tree, copied, get_path, same, sections_of, set_path, split
from tttcfg.testing.assertions import (
    SECRET,
    assert_downgrade,
    assert_edited_round_trip,
    assert_golden_meaning,
    assert_meaning,
    assert_round_trip,
    downgraded,
    with_secrets,
    without_secrets,
)
from tttcfg.testing.other_process import upgraded, upgraded_in_other_process
from tttcfg.testing.parent import ParentLaws, read_alone
from tttcfg.testing.subject import Effects, Subject
from tttcfg.testing.values import Settled, Strategies, validator

UNKNOWN = "no_version_has_this"


def laws(
    family: Family | str,
    *,
    golden: str | os.PathLike[str],
    overrides: Strategies | Callable[[int], Strategies] | None = None,
    settled: Settled | None = None,
    effects: Mapping[int, Effects] | None = None,
    examples: int = 12,
    parent: type[Laws] | None = None,
) -> type[Laws]:
    """Return the laws for a family's history, as a class for pytest to collect.

    Args:
        family: A family, or its name as `--family` takes it.
        golden: The folder of golden documents: `v0003.json`, as version 3 wrote it; `v0003.upgraded.json`, what it
            upgrades to; `meaning/v0003.json`, what the program of that time did with it, by dotted current field.
        overrides: Strategies for single fields, by their dotted path, where a schema does not describe them fully; or a
            function from the version to those.
        settled: Returns a drawn document with the values that the rules across fields require.
        effects: By version, a function from any document that it wrote to what its program did with it, by dotted
            current field; where there is one, drawn documents are checked against it too.
        examples: The number of documents that each law draws for each version.
        parent: The laws of the family's parent, whose golden documents and strategies are used for the parent's
            documents; without them, those are drawn from the parent's schemas alone.
    """
    known = family_named(family) if isinstance(family, str) else family
    by_version = overrides if callable(overrides) else lambda _: overrides or {}
    subject = Subject(known, Path(golden), by_version, settled, effects or {}, examples)
    made: dict[str, Any] = {"subject": subject, "__doc__": f"The laws for the history of {known.name}."}
    if not effects:
        made["test_drawn_documents_mean_what_the_old_program_did"] = None
    if known.parent is None:
        return type(f"Laws[{known.name}]", (Laws,), made)
    made["above"] = parent.subject if parent else Subject(known.parent, Path(), lambda _: {}, None, {}, examples)
    return type(f"Laws[{known.name}]", (ParentLaws, Laws), made)


class Laws:
    """The laws; `laws` makes a class of them for one family."""

    subject: ClassVar[Subject]

    @property
    def family(self) -> Family:
        return self.subject.family

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a law for every version, or for every old one."""
        head, effects = self.subject.family.head, self.subject.effects
        parent = self.subject.family.parent
        above = range(parent.head + 1) if parent is not None else range(0)
        every = (("version", range(head + 1)), ("old", range(head)), ("stated", sorted(effects)), ("inherited", above))
        for name, versions in every:
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, versions)

    # Files

    def test_one_line_of_steps_leads_to_a_single_head(self) -> None:
        """Every version has one step; each has a date, evidence and reasons, and turns one schema into the next."""
        self._assert_checked("step")

    def test_every_version_has_a_frozen_schema(self) -> None:
        self._assert_checked("schema")

    def test_the_model_matches_the_newest_schema(self) -> None:
        self._assert_checked("drift", "declaration")

    def test_every_version_has_a_golden_document(self) -> None:
        """It is complete, valid, and upgrades to the recorded document, byte for byte."""
        self._assert_checked("golden")

    def test_what_is_released_has_not_changed(self) -> None:
        self._assert_checked("released")

    def _assert_checked(self, *kinds: str) -> None:
        """Assert that `tttcfg schema check` finds no problem of `kinds`; "released" includes kinds of no other law."""
        others = {one.code for one in self.subject.problems} - {"step", "schema", "drift", "declaration", "golden"}
        wanted = {*kinds, *others} if "released" in kinds else {*kinds}
        problems = [str(one) for one in self.subject.problems if one.code in wanted]
        assert not problems, "\n".join(problems)

    # Operations

    def test_upgrading_leaves_its_input_as_it_is(self, old: int) -> None:
        """Purity: neither the document nor a value inside it changes, and nothing is shared with it or the steps."""
        chain = self.subject.chain()
        fills = [getattr(one, "fill", None) for step in chain.migrations for one in step.operations]

        def holds(document: Tree) -> None:
            before, body = copy.deepcopy(document), body_of(document)
            record = Record()
            result = chain.up(body, old, record)
            assert document == before
            held = containers(result) | containers(record.saved())
            assert not held & containers(body), "the upgraded document shares mappings or lists with the given one"
            assert not held & containers(fills), "the upgraded document shares mappings or lists with the steps"
            for one in self.subject.operations(document, old):
                assert one.value == one.kept, f"{one.operation.path}: the operation changes the value that it gets"

        self.subject.for_every_document(old, holds)

    def test_upgrading_twice_gives_the_same(self, version: int) -> None:
        """Determinism, in this process."""

        def holds(document: Tree) -> None:
            first = canonical_bytes(migrate_tree(document, self.family))
            assert canonical_bytes(migrate_tree(copy.deepcopy(document), self.family)) == first

        self.subject.for_every_document(version, holds)

    def test_upgrading_in_another_process_gives_the_same(self) -> None:
        """Determinism, under another clock, another environment and another hash seed."""
        chain = self.subject.chain()
        drawn: dict[int, list[Tree]] = {version: [] for version in range(self.family.head)}
        for version, documents in drawn.items():
            self.subject.for_every_document(version, documents.append)
        others = upgraded_in_other_process(drawn, self.family)
        for version, documents in drawn.items():
            for document, other in zip(documents, others[version], strict=True):
                assert other == upgraded(document, version, chain), f"version {version} upgrades differently"

    def test_upgrading_an_upgraded_document_changes_nothing(self, version: int) -> None:
        """Idempotence."""

        def holds(document: Tree) -> None:
            once = migrate_tree(document, self.family)
            assert canonical_bytes(migrate_tree(once, self.family)) == canonical_bytes(once)

        self.subject.for_every_document(version, holds)

    def test_a_converted_value_is_read_in_one_way(self, old: int) -> None:
        """In a file without a version it may be in either form: it comes out as in documents, or is refused."""
        spellings, fields = self.subject.chain().spellings, self.family.fields

        def holds(document: Tree) -> None:
            whole = migrate_tree(document, self.family)
            for one in self.subject.operations(document, old):
                was = one.operation.path
                name = spellings.get(was, was)
                if not isinstance(one.operation, Convert) or one.operation.beside or name not in fields:
                    continue
                meant = get_path(whole, split(name))
                forms = [(name, meant)] if was in one.renamed else [(name, meant), (was, one.kept)]
                for path, value in forms:
                    found = read_alone(path, value, self.family).get(name, meant)
                    assert same(found, meant), f"{path}={value!r} alone is read as {found!r}, not {meant!r}"

        self.subject.for_every_document(old, holds)

    def test_single_steps_give_the_same_as_the_whole_upgrade(self, old: int) -> None:
        """The inverse of the next step undoes it, and what it recorded."""
        chain = self.subject.chain()

        def holds(document: Tree) -> None:
            tree, record, whole = body_of(document), Record(), Record()
            for step in chain.migrations[old + 1 :]:
                tree = chain.up(tree, step.version - 1, record, step.version)
            assert tree == chain.up(body_of(document), old, whole)
            assert record.saved() == whole.saved()

            newer, record = copied(body_of(document)), Record()
            chain.migrations[old + 1].up(newer, record)
            chain.migrations[old + 1].down(newer, record)
            assert without_secrets(newer, self.family) == without_secrets(body_of(document), self.family)
            assert record == Record()

        self.subject.for_every_document(old, holds)

    def test_a_round_trip_restores_a_document(self, old: int) -> None:
        """An upgrade to the head and a downgrade give the same document, except for its secrets."""
        self.subject.for_every_document(old, lambda document: assert_round_trip(document, self.family, old))

    def test_a_partial_upgrade_equals_the_downgrade_to_it(self, old: int) -> None:
        """An upgrade to a version in between gives the same as the downgrade of the head to it."""

        def holds(document: Tree) -> None:
            whole = migrate_tree(document, self.family)
            for version in range(old + 1, self.family.head):
                part = migrate_tree(document, self.family, to=version)
                back = downgraded(whole, self.family, version).tree
                assert without_secrets(back, self.family) == without_secrets(part, self.family), f"version {version}"

        self.subject.for_every_document(old, holds)

    def test_downgrading_gives_a_valid_older_document(self, old: int) -> None:
        """For any current document; and its losses are listed."""
        self.subject.for_every_document(self.family.head, lambda document: assert_downgrade(document, self.family, old))

    def test_an_edited_document_loses_nothing_silently(self, old: int) -> None:
        """Edits survive or are listed as lost; no stale value is restored; everything else is unchanged."""
        family = self.family

        @self.subject.settings()
        @given(self.subject.documents(old), self.subject.documents(family.head), st.data())
        def holds(document: Tree, other: Tree, data: st.DataObject) -> None:
            edited = migrate_tree(document, family)
            names = [field.name for field in family.public_fields]
            for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)):
                set_path(edited, split(name), copied(get_path(other, split(name))))
            edited = self.subject.made_consistent(edited)
            try:
                document_of(edited, family)
            except InputError:
                assume(False)  # an edit that violates a rule across fields could not be saved
            assert_edited_round_trip(document, edited, family, old)

        holds()

    def test_a_document_upgrades_to_a_valid_current_one(self, version: int) -> None:
        """It satisfies the newest schema, and loading and saving do not change it."""

        def holds(document: Tree) -> None:
            result = migrate_tree(document, self.family)
            problems = [error.message for error in validator(self.family, self.family.head).iter_errors(result)]
            assert not problems
            saved = canonical_bytes(result)
            again = parse_document(saved, self.family)
            assert again.version == self.family.head
            assert canonical_bytes(document_tree(again)) == saved

        self.subject.for_every_document(version, holds)

    def test_a_saved_document_reads_the_same_on_every_path(self) -> None:
        """The fast reader of current documents and the general one give the same."""

        def holds(document: Tree) -> None:
            loaded = document_of(document, self.family)
            data = document_bytes(loaded)
            fast, slow = parse_current(data, self.family), document_of(json.loads(data), self.family)
            assert slow.training == loaded.training
            assert fast is None or (fast.training, fast.provenance) == (slow.training, slow.provenance)

        self.subject.for_every_document(self.family.head, holds)

    def test_a_key_that_no_version_has_is_refused(self, version: int) -> None:
        """In the golden document and in a file that gives nothing else, at the root and in every section."""
        document = self.subject.golden_document(version)
        for section in ((), *map(split, sections_of(self.subject.chain().fields(version)))):
            for whole, value in ((True, {}), (True, 1), (False, {}), (False, 1)):
                tree = copied(document) if whole else {"schema_version": version}
                if not set_path(tree, (*section, UNKNOWN), value):
                    continue
                with pytest.raises(InputError) as refused:
                    _ = document_of(tree, self.family) if whole else resolve(config=tree, family=self.family)
                assert ".".join((*section, UNKNOWN)) in {problem.key for problem in refused.value.problems}

    def test_no_secret_is_written(self, version: int) -> None:
        """Wherever an old document held one, and whatever the migrations did with it."""

        def holds(document: Tree) -> None:
            tree = with_secrets(document, self.family, version)
            written = canonical_bytes(migrate_tree(tree, self.family)).decode()
            where = [line.strip() for line in written.splitlines() if SECRET in line]
            assert not where, f"secrets are written: {where}"

        self.subject.for_every_document(version, holds)

    def test_a_migrated_document_means_what_the_old_program_did(self, old: int) -> None:
        """The upgraded golden document has the values of its meaning, which names all filled model-defining fields."""
        assert_golden_meaning(self.subject, old)

    def test_drawn_documents_mean_what_the_old_program_did(self, stated: int) -> None:
        """For the versions with `effects`."""

        def holds(document: Tree) -> None:
            means = self.subject.effects[stated](document)
            assert_meaning(means, document_of(document, self.family).training, self.family)

        self.subject.for_every_document(stated, holds)


def containers(tree: Any) -> set[int]:
    """Return the identities of all mappings and lists in `tree`."""
    if not isinstance(tree, (dict, list)):
        return set()
    children = tree.values() if isinstance(tree, dict) else tree
    return {id(tree)}.union(*map(containers, children))
