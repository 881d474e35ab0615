"""What holds for every migration and every document: golden ones, and those that a frozen schema generates."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, TypeGuard

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import complete_documents, frozen_schema, validator
from tttcfg.document import document_of, parse_current, parse_document
from tttcfg.migrating import migrate_tree
from tttcfg.operations import Add, Operation
from tttcfg.record import Record
from tttcfg.saving import canonical_bytes, document_bytes, document_tree
from tttcfg.ttt_moshi.family import TTT_MOSHI

GOLDEN = Path(__file__).parent / "golden"
CHAIN = TTT_MOSHI.chain
OLD = range(TTT_MOSHI.head)
VERSIONS = range(TTT_MOSHI.head + 1)
few = settings(max_examples=12)


def golden_document(version: int) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((GOLDEN / f"v{version:04d}.json").read_bytes())
    return tree


def without_secret(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` without the one value that is lost on purpose."""
    return {**document, "wandb": {**document["wandb"], "key": None}}


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@few
def test_generated_documents_satisfy_their_frozen_schema(version: int, data: st.DataObject) -> None:
    """The strategy itself: complete documents, valid by the schema that the version was frozen with."""
    document = data.draw(complete_documents(version))
    validator(version).validate(document)
    assert set(document) == set(frozen_schema(version)["properties"])


@pytest.mark.parametrize("version", VERSIONS)
def test_upgrading_a_golden_document_leaves_it_as_it_is(version: int) -> None:
    document = golden_document(version)
    before = copy.deepcopy(document)
    migrate_tree(document, TTT_MOSHI)
    assert document == before


@pytest.mark.parametrize("version", OLD)
@given(data=st.data())
@few
def test_upgrading_leaves_its_input_as_it_is(version: int, data: st.DataObject) -> None:
    """Purity: not one value inside the document changes, and the result shares no mapping or list with it."""
    document = data.draw(complete_documents(version))
    before = copy.deepcopy(document)
    upgraded = CHAIN.up(document, version, Record())
    assert document == before
    assert not containers(upgraded) & containers(document)


@pytest.mark.parametrize("version", OLD)
def test_an_upgraded_document_shares_nothing_with_the_migrations(version: int) -> None:
    """Whoever changes a result must not change what the next document is filled with."""
    record = Record()
    upgraded = CHAIN.up(golden_document(version), version, record)
    fills = [
        operation.fill for migration in CHAIN.migrations for operation in migration.operations if is_add(operation)
    ]
    assert not containers(upgraded) & containers(fills)
    assert not containers(record.saved()) & containers(fills)


def is_add(operation: Operation) -> TypeGuard[Add]:
    return isinstance(operation, Add)


def containers(tree: Any) -> set[int]:
    """Return the identities of all mappings and lists in `tree`."""
    if not isinstance(tree, (dict, list)):
        return set()
    children = tree.values() if isinstance(tree, dict) else tree
    return {id(tree)}.union(*map(containers, children))


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@few
def test_upgrading_twice_from_the_same_document_gives_the_same_bytes(version: int, data: st.DataObject) -> None:
    """Determinism: no clock, no environment, no order of a set."""
    document = data.draw(complete_documents(version))
    first = canonical_bytes(migrate_tree(document, TTT_MOSHI))
    assert canonical_bytes(migrate_tree(copy.deepcopy(document), TTT_MOSHI)) == first


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@few
def test_upgrading_what_is_upgraded_changes_nothing(version: int, data: st.DataObject) -> None:
    once = migrate_tree(data.draw(complete_documents(version)), TTT_MOSHI)
    assert canonical_bytes(migrate_tree(once, TTT_MOSHI)) == canonical_bytes(once)


@pytest.mark.parametrize("version", VERSIONS)
def test_upgrading_an_upgraded_golden_document_changes_nothing(version: int) -> None:
    once = migrate_tree(golden_document(version), TTT_MOSHI)
    assert canonical_bytes(migrate_tree(once, TTT_MOSHI)) == canonical_bytes(once)


@pytest.mark.parametrize("version", [version for version in OLD if version != 3])
def test_a_golden_document_comes_back_from_the_current_version(version: int) -> None:
    document = golden_document(version)
    assert migrate_tree(migrate_tree(document, TTT_MOSHI), TTT_MOSHI, to=version) == document


def test_a_golden_document_comes_back_without_its_secrets() -> None:
    """Version 3's golden document holds secrets, which no record keeps; everything else is as it was."""
    document = golden_document(3)
    older = migrate_tree(migrate_tree(document, TTT_MOSHI), TTT_MOSHI, to=3, allow_loss=True)
    expected = without_secret(document)
    upload = expected["paper_metrics"]["upload"]
    del upload["access_token"], upload["retries"][0]["api_key"]
    assert older == expected


@pytest.mark.parametrize("version", OLD)
@given(data=st.data())
@settings(max_examples=20)
def test_a_document_comes_back_from_the_current_version(version: int, data: st.DataObject) -> None:
    """down(up(d)) == d, with the secret as the only declared loss."""
    document = data.draw(complete_documents(version))
    lost = document["wandb"]["key"] is not None
    older = migrate_tree(migrate_tree(document, TTT_MOSHI), TTT_MOSHI, to=version, allow_loss=lost)
    assert older == without_secret(document)


@pytest.mark.parametrize("version", OLD)
@given(data=st.data())
@few
def test_each_single_step_is_undone(version: int, data: st.DataObject) -> None:
    document = data.draw(complete_documents(version))
    record = Record()
    newer = CHAIN.up(document, version, record, version + 1)
    losses = CHAIN.migrations[version + 1].down(newer, record)
    assert newer == (without_secret(document) if version + 1 == TTT_MOSHI.head else document)
    assert [path for path, _ in losses] in ([], ["wandb.key"])


@pytest.mark.parametrize("version", OLD)
@given(data=st.data())
@few
def test_steps_one_by_one_lead_where_the_whole_way_leads(version: int, data: st.DataObject) -> None:
    document = data.draw(complete_documents(version))
    record = Record()
    step = document
    for target in range(version + 1, TTT_MOSHI.head + 1):
        step = CHAIN.up(step, target - 1, record, target)
    whole = Record()
    assert step == CHAIN.up(document, version, whole)
    assert record.saved() == whole.saved()


@pytest.mark.parametrize("version", OLD)
@given(data=st.data())
@settings(max_examples=20)
def test_an_old_document_upgrades_to_a_valid_current_one(version: int, data: st.DataObject) -> None:
    """What comes out satisfies the current frozen schema, loads on the fast path and saves as it is."""
    upgraded = migrate_tree(data.draw(complete_documents(version)), TTT_MOSHI)
    validator(TTT_MOSHI.head).validate(upgraded)
    saved = canonical_bytes(upgraded)
    again = parse_document(saved, TTT_MOSHI)
    assert again.version == TTT_MOSHI.head
    assert canonical_bytes(document_tree(again)) == saved


@given(document=complete_documents(TTT_MOSHI.head))
@settings(max_examples=40)
def test_a_current_document_loads_and_saves_to_equal_values(document: dict[str, Any]) -> None:
    """What loads also saves, and reloads equal."""
    loaded = document_of(document, TTT_MOSHI)
    data = document_bytes(loaded)
    assert parse_document(data, TTT_MOSHI).training == loaded.training
    assert document_bytes(parse_document(data, TTT_MOSHI)) == data


@given(document=complete_documents(TTT_MOSHI.head))
@settings(max_examples=40)
def test_the_fast_path_reads_what_the_slow_path_reads(document: dict[str, Any]) -> None:
    data = document_bytes(document_of(document, TTT_MOSHI))
    fast = parse_current(data, TTT_MOSHI)
    slow = document_of(json.loads(data), TTT_MOSHI)
    if fast is not None:
        assert fast.training == slow.training
        assert fast.provenance == slow.provenance


@given(document=complete_documents(TTT_MOSHI.head), target=st.integers(0, TTT_MOSHI.head - 1))
@settings(max_examples=30)
def test_a_downgrade_gives_a_valid_older_document(document: dict[str, Any], target: int) -> None:
    """Whatever is dropped on the way, what is left is a document of the older version."""
    older = migrate_tree(document, TTT_MOSHI, to=target, allow_loss=True)
    shape = {**frozen_schema(target)}
    unknown = set(older) - set(shape["properties"])
    assert not unknown


@given(document=complete_documents(TTT_MOSHI.head))
@settings(max_examples=30)
def test_a_downgrade_without_declared_loss_can_be_taken_back(document: dict[str, Any]) -> None:
    """Where version 6 holds everything, going there and back changes no value."""
    record = Record()
    body = {key: value for key, value in document.items() if key not in ("$schema", "schema_version", "provenance")}
    older, losses = CHAIN.down(body, TTT_MOSHI.head - 1, record)
    if not losses:
        again = CHAIN.up(older, TTT_MOSHI.head - 1, Record())
        assert (
            document_of({**again, "schema_version": TTT_MOSHI.head}, TTT_MOSHI).training
            == document_of(document, TTT_MOSHI).training
        )
