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

from tttcfg.documents.document import document_of, parse_current, parse_document
from tttcfg.documents.downgrade import migrate_tree
from tttcfg.documents.save import canonical_bytes, document_bytes, document_tree
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.migration.operations import Convert
from tttcfg.migration.record import Record
from tttcfg.resolving.families import family_named
from tttcfg.schema.paths import Tree, copied, get_path, same, set_path, split
from tttcfg.testing.documents import Settled, validator
from tttcfg.testing.elsewhere import upgraded, upgraded_elsewhere
from tttcfg.testing.meaning import hold_golden_meaning, hold_meaning
from tttcfg.testing.planted import SECRET, with_secrets
from tttcfg.testing.subject import Effects, Subject, body_of
from tttcfg.testing.trips import down, hold_descent, hold_edited_trip, hold_trip, without_secrets
from tttcfg.testing.values import Overrides


def laws(
    family: Family | str,
    *,
    golden: str | os.PathLike[str],
    overrides: Overrides | Callable[[int], Overrides] | None = None,
    settled: Settled | None = None,
    effects: Mapping[int, Effects] | None = None,
    examples: int = 12,
) -> type[Laws]:
    """Return the laws for a family's history, as a class for pytest to collect.

    Args:
        family: A family, or its name as `--family` takes it.
        golden: The folder of golden documents: `v0003.json`, as version 3 wrote it; `v0003.upgraded.json`, what it
            upgrades to; `meaning/v0003.json`, what the program of that time did with it, by dotted current field.
        overrides: Strategies for single fields, by their dotted path, where a schema does not say enough of them; or
            a function from the version to those.
        settled: Returns a drawn document with what the rules across fields demand.
        effects: By version, a function from any document that it wrote to what its program did with it, by dotted
            current field; where there is one, drawn documents are held against it too.
        examples: Documents that each law draws of each version.
    """
    known = family_named(family) if isinstance(family, str) else family
    by_version = overrides if callable(overrides) else lambda _: overrides or {}
    subject = Subject(known, Path(golden), by_version, settled, effects or {}, examples)
    made: dict[str, Any] = {"subject": subject, "__doc__": f"The laws for the history of {known.name}."}
    if not effects:
        made["test_drawn_documents_mean_what_the_old_program_did"] = None
    return type(f"Laws[{known.name}]", (Laws,), made)


class Laws:
    """The laws; `laws` makes a class of them for one family."""

    subject: ClassVar[Subject]

    @property
    def family(self) -> Family:
        return self.subject.family

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a law for every version, or for every old one."""
        head, effects = self.subject.family.head, self.subject.effects
        for name, versions in (("version", range(head + 1)), ("old", range(head)), ("stated", sorted(effects))):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, versions)

    # What files say

    def test_one_line_of_steps_leads_to_a_single_head(self) -> None:
        """Every version has one step; each has a date, evidence and reasons, and turns one schema into the next."""
        self._hold_checked("step")

    def test_every_version_has_a_frozen_schema(self) -> None:
        self._hold_checked("schema")

    def test_the_model_is_what_the_newest_schema_says(self) -> None:
        self._hold_checked("drift", "declaration")

    def test_every_version_has_a_golden_document(self) -> None:
        """It is whole, valid, and upgrades to what is recorded, byte for byte."""
        self._hold_checked("golden")

    def test_what_is_released_has_not_changed(self) -> None:
        self._hold_checked("released")

    def _hold_checked(self, *kinds: str) -> None:
        """Assert that `tttcfg schema check` finds nothing; what no other law asks for is among what was released."""
        others = {one.code for one in self.subject.problems} - {"step", "schema", "drift", "declaration", "golden"}
        wanted = {*kinds, *others} if "released" in kinds else {*kinds}
        problems = [str(one) for one in self.subject.problems if one.code in wanted]
        assert not problems, "\n".join(problems)

    # What operations do

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
            assert not held & containers(body), "what comes out shares mappings or lists with what went in"
            assert not held & containers(fills), "what comes out shares mappings or lists with the steps"
            for one in self.subject.operations(document, old):
                assert one.value == one.kept, f"{one.operation.path}: the operation changes the value that it is given"

        self.subject.for_every_document(old, holds)

    def test_upgrading_twice_gives_the_same(self, version: int) -> None:
        """Determinism, in this process."""
        self.subject.chain()

        def holds(document: Tree) -> None:
            first = canonical_bytes(migrate_tree(document, self.family))
            assert canonical_bytes(migrate_tree(copy.deepcopy(document), self.family)) == first

        self.subject.for_every_document(version, holds)

    def test_upgrading_elsewhere_gives_the_same(self) -> None:
        """Determinism, under another clock, another environment and another hash seed."""
        chain = self.subject.chain()
        drawn: dict[int, list[Tree]] = {version: [] for version in range(self.family.head)}
        for version, documents in drawn.items():
            self.subject.for_every_document(version, documents.append)
        there = upgraded_elsewhere(drawn, self.family)
        for version, documents in drawn.items():
            for document, elsewhere in zip(documents, there[version], strict=True):
                assert elsewhere == upgraded(document, version, chain), f"version {version} upgrades otherwise"

    def test_upgrading_what_is_upgraded_changes_nothing(self, version: int) -> None:
        """Idempotence, of documents and of conversions: a configuration file may be in either form."""
        self.subject.chain()

        def holds(document: Tree) -> None:
            once = migrate_tree(document, self.family)
            assert canonical_bytes(migrate_tree(once, self.family)) == canonical_bytes(once)
            for one in self.subject.operations(document, version):
                if isinstance(one.operation, Convert) and one.operation.path not in one.renamed:
                    again = one.operation.converted(copy.deepcopy(one.new), one.tree)
                    assert same(again, one.new), f"converting {one.operation.path} again: {again!r}, not {one.new!r}"

        self.subject.for_every_document(version, holds)

    def test_step_by_step_leads_where_the_whole_way_leads(self, old: int) -> None:
        """And the next step by itself is undone by its own inverse, as is what it recorded."""
        chain = self.subject.chain()

        def holds(document: Tree) -> None:
            tree, record, whole = body_of(document), Record(), Record()
            for step in chain.migrations[old + 1 :]:
                tree = chain.up(tree, step.version - 1, record, step.version)
            assert tree == chain.up(body_of(document), old, whole)
            assert record.saved() == whole.saved()

            newer, record = body_of(document), Record()
            chain.migrations[old + 1].up(newer, record)
            chain.migrations[old + 1].down(newer, record)
            assert without_secrets(newer, self.family) == without_secrets(body_of(document), self.family)
            assert record == Record()

        self.subject.for_every_document(old, holds)

    def test_a_document_comes_back(self, old: int) -> None:
        """Up to the head and down again: as it was, but for its secrets."""
        self.subject.chain()
        self.subject.for_every_document(old, lambda document: hold_trip(document, self.family, old))

    def test_part_of_the_way_is_the_whole_way_and_back(self, old: int) -> None:
        """Upgrading to a version in between gives what coming down to it gives."""
        self.subject.chain()

        def holds(document: Tree) -> None:
            whole = migrate_tree(document, self.family)
            for version in range(old + 1, self.family.head):
                part, back = migrate_tree(document, self.family, to=version), down(whole, self.family, version).tree
                assert without_secrets(back, self.family) == without_secrets(part, self.family), f"version {version}"

        self.subject.for_every_document(old, holds)

    def test_going_down_gives_a_valid_older_document(self, old: int) -> None:
        """Of any current document, whoever wrote it; and what it loses is listed."""
        self.subject.chain()
        self.subject.for_every_document(self.family.head, lambda document: hold_descent(document, self.family, old))

    def test_an_edited_document_loses_nothing_unsaid(self, old: int) -> None:
        """Edits survive or are listed as lost; nothing stale comes back; what nobody touched is as it was."""
        self.subject.chain()
        family = self.family

        @self.subject.settings()
        @given(self.subject.documents(old), self.subject.documents(family.head), st.data())
        def holds(document: Tree, other: Tree, data: st.DataObject) -> None:
            edited = migrate_tree(document, family)
            names = [field.name for field in family.public_fields]
            for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)):
                set_path(edited, split(name), copied(get_path(other, split(name))))
            edited = self.subject.settle(edited)
            try:
                document_of(edited, family)
            except InputError:
                assume(False)  # an edit that breaks a rule across fields is none that anybody could save
            hold_edited_trip(document, edited, family, old)

        holds()

    def test_a_document_upgrades_to_a_valid_current_one(self, version: int) -> None:
        """It satisfies the newest schema, and loads and saves as it is."""
        self.subject.chain()

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
        """What is read fast, straight from its bytes, is what is read with care."""
        self.subject.chain()

        def holds(document: Tree) -> None:
            loaded = document_of(document, self.family)
            data = document_bytes(loaded)
            fast, slow = parse_current(data, self.family), document_of(json.loads(data), self.family)
            assert slow.training == loaded.training
            assert fast is None or (fast.training, fast.provenance) == (slow.training, slow.provenance)

        self.subject.for_every_document(self.family.head, holds)

    def test_no_secret_is_written(self, version: int) -> None:
        """Wherever an old document held one, and whatever happened to it since."""
        self.subject.chain()

        def holds(document: Tree) -> None:
            tree = with_secrets(document, self.family, version)
            written = canonical_bytes(migrate_tree(tree, self.family)).decode()
            where = [line.strip() for line in written.splitlines() if SECRET in line]
            assert not where, f"secrets are written: {where}"

        self.subject.for_every_document(version, holds)

    def test_a_migrated_document_means_what_the_old_program_did(self, old: int) -> None:
        """What the golden document's meaning states is in the upgraded document, and it states all that matters."""
        self.subject.chain()
        hold_golden_meaning(self.subject, old)

    def test_drawn_documents_mean_what_the_old_program_did(self, stated: int) -> None:
        """Of the versions with `effects`."""
        self.subject.chain()

        def holds(document: Tree) -> None:
            means = self.subject.effects[stated](document)
            hold_meaning(means, document_of(document, self.family).training, self.family)

        self.subject.for_every_document(stated, holds)


def containers(tree: Any) -> set[int]:
    """Return the identities of all mappings and lists in `tree`."""
    if not isinstance(tree, (dict, list)):
        return set()
    children = tree.values() if isinstance(tree, dict) else tree
    return {id(tree)}.union(*map(containers, children))
