"""Documents of a family's ancestors, read as the family's: at the version that takes over theirs."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg.documents.document import Document, document_of
from tttcfg.errors import ForeignDocumentError, NewerVersionError
from tttcfg.family.ancestors import READ_FROM, versions_in
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.inherited import inherited
from tttcfg.migration.operations import Add, Declare, Remove, Rename
from tttcfg.schema.fields import Role, Section, Whole, setting
from tttcfg.schema.fragments import integer
from tttcfg.schema_tools.check import with_chain


def whole(default: int) -> Any:
    return setting(default, role=Role.TRAINING, unit="steps", description="A number.")


class Base(Section):
    steps: Whole = whole(1)
    pause: Whole = whole(3)


class Child(Base):
    own: Whole = whole(5)


class Grandchild(Child):
    more: Whole = whole(7)


def step(version: int, *operations: Any) -> Migration:
    return Migration(version, "2026-01-01", "a step", "here", operations)


def family(name: str, model: type[Section], parent: Family | None, *steps: Migration) -> Family:
    return with_chain(Family(name, model, f"{name}.migrations", f"{name}.schemas", parent=parent), Chain(steps))


BASE_STEPS = (
    step(0, Declare("n", integer(1)), Declare("dead", integer(2))),
    step(1, Rename("n", "steps", "a name"), Remove("dead", "nothing read it")),
    step(2, Add("pause", integer(3), 0, "there was none")),
)
BASE = family("read_base", Base, None, *BASE_STEPS)
CHILD_STEPS = (
    inherited(BASE_STEPS[0], version=0),
    step(1, Add("mine", integer(5), 4, "four, always")),
    inherited(BASE_STEPS[1], version=2),
    step(3, Rename("mine", "own", "a name")),
    inherited(BASE_STEPS[2], version=4),
)
CHILD = family("read_child", Child, BASE, *CHILD_STEPS)
GRANDCHILD_STEPS = (
    *(inherited(one, version=one.version) for one in CHILD_STEPS[:3]),
    step(3, Add("more", integer(7), 6, "six, always")),
    *(inherited(one, version=one.version + 1) for one in CHILD_STEPS[3:]),
)
GRANDCHILD = family("read_grandchild", Grandchild, CHILD, *GRANDCHILD_STEPS)
DOCUMENTS = ({"n": 10, "dead": 20}, {"steps": 10}, {"steps": 10, "pause": 30})


def of_base(version: int, **more: Any) -> dict[str, Any]:
    return {"$schema": BASE.schema_id_of(version), "schema_version": version, **DOCUMENTS[version], **more}


def read(version: int, as_one_of: Family, **more: Any) -> Document:
    return document_of(of_base(version, **more), as_one_of)


def test_every_version_takes_over_one_of_an_ancestor_or_none() -> None:
    assert versions_in(CHILD, BASE) == [0, None, 1, None, 2]
    assert versions_in(GRANDCHILD, BASE) == [0, None, 1, None, None, 2]
    assert versions_in(GRANDCHILD, CHILD) == [0, 1, 2, None, 3, 4]
    assert versions_in(BASE, BASE) == [0, 1, 2]


@pytest.mark.parametrize(("version", "pause"), [(0, 0), (1, 0), (2, 30)])
def test_own_fields_get_what_their_absence_meant_whatever_the_version(version: int, pause: int) -> None:
    assert read(version, CHILD).training == Child(steps=10, pause=pause, own=4)
    assert read(version, GRANDCHILD).training == Grandchild(steps=10, pause=pause, own=4, more=6)


def test_it_is_recorded_where_it_comes_from_and_what_was_filled_in() -> None:
    document = read(1, CHILD)
    assert (document.version, document.family) == (2, CHILD)
    assert document.record.filled["own"] == {"value": 4, "reason": "four, always"}
    assert document.provenance[READ_FROM] == "urn:tttcfg:read_base:v0001"
    assert document.written is not None
    assert document.written.training == Base(steps=10, pause=0)


def test_what_the_document_records_of_older_versions_has_the_numbers_of_the_family() -> None:
    removed = {"nothing read it": {"dead": 20}}
    document = read(1, CHILD, provenance={"migrated_from": 0, "removed": removed, "weights": []})
    assert document.origin == 0
    assert document.record.removed["dead"]["value"] == 20
    assert read(2, CHILD, provenance={"migrated_from": 1}).origin == 2


def test_a_document_of_the_newest_version_is_one_of_the_newest_version() -> None:
    document = read(2, CHILD)
    assert (document.version, document.migration) == (CHILD.head, None)
    assert document.record.filled["own"]["value"] == 4


def test_a_document_without_a_number_is_of_the_version_that_its_keys_are_of() -> None:
    tree = {key: value for key, value in of_base(0).items() if key != "schema_version"}
    document = document_of(tree, CHILD)
    assert (document.version, document.training) == (0, Child(steps=10, pause=0, own=4))


def test_a_version_that_is_not_followed_is_refused() -> None:
    behind = family("read_behind", type("Behind", (Child,), {}), BASE, *CHILD_STEPS[:4])
    with pytest.raises(NewerVersionError, match="is of version 2 of read_base, which read_behind does not take over"):
        _ = read(2, behind)


@pytest.mark.parametrize("other", [CHILD, GRANDCHILD])
def test_a_document_of_the_family_is_not_read_as_an_ancestors(other: Family) -> None:
    document = {"$schema": other.schema_id, "schema_version": other.head, "steps": 1}
    with pytest.raises(ForeignDocumentError, match=f"is a document of the family {other.name}"):
        _ = document_of(document, BASE)


def test_a_document_of_a_sibling_is_not_read() -> None:
    sibling = family("read_sibling", type("Sibling", (Base,), {}), BASE, *CHILD_STEPS)
    with pytest.raises(ForeignDocumentError, match="is a document of the family read_child"):
        _ = document_of({"$schema": CHILD.schema_id, "schema_version": 4}, sibling)
