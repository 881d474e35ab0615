"""The record of a migration: what it keeps, how it travels, and that no secret gets into it."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg.migration.record import Record
from tttcfg.schema.fragments import boolean, section, take_fragment
from tttcfg.schema.paths import MISSING, pop_path, prune, same
from tttcfg.secrets import WITHHELD, looks_secret, redacted, without_withheld


def test_a_record_comes_back_from_provenance() -> None:
    record = Record()
    record.filled["a.b"] = {"value": 1, "reason": "because"}
    record.removed["c"] = {"value": [1], "reason": "because"}
    record.renamed["d"] = {"value": "e", "reason": "another"}
    assert Record.from_saved(record.saved()) == record


def test_changing_a_copy_of_a_record_does_not_change_the_record() -> None:
    record = Record(removed={"a": {"value": 1, "reason": "because"}})
    copy = record.copy()
    assert copy == record
    del copy.removed["a"]
    assert record.removed


def test_an_empty_record_takes_no_room() -> None:
    assert Record().saved() == {}


@pytest.mark.parametrize("provenance", [{}, {"filled": None}, {"filled": [1]}, {"filled": {"why": [1]}}, {"other": {}}])
def test_entries_of_another_form_are_passed_over(provenance: dict[str, Any]) -> None:
    assert Record.from_saved(provenance) == Record()


@pytest.mark.parametrize("kind", ["renamed", "section_digests"])
@pytest.mark.parametrize("value", [None, 3, [], {"ttt": 1}])
def test_what_has_to_be_a_name_and_is_none_is_passed_over(kind: str, value: object) -> None:
    assert Record.from_saved({kind: {"why": {"ttt": value}}}) == Record()


def test_what_is_recorded_follows_a_renamed_field() -> None:
    record = Record()
    record.doubted["old"] = {"value": 1, "reason": ""}
    record.filled["old"] = {"value": 1, "reason": ""}
    assert record.move("old", "new")
    assert "new" in record.doubted
    assert "new" in record.filled
    assert not record.move("old", "new")


def test_an_old_spelling_brings_a_value_to_a_path_or_below_it() -> None:
    record = Record(renamed={"old": {"value": "mlp.layers", "reason": ""}})
    assert record.has_renamed("mlp.layers")
    assert record.has_renamed("mlp")
    assert not record.has_renamed("mlp.lay")


@pytest.mark.parametrize(
    "name",
    ["key", "api_key", "API-KEY", "access_token", "client_secret", "Password", ["db", "passwd"][1], "auth"],
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["keyboard", "tokens_per_second", "monkey", "author", "max_pairs"])
def test_names_that_only_contain_such_a_word_are_not_secrets(name: str) -> None:
    assert not looks_secret(name)


def test_secrets_are_taken_out_at_any_depth() -> None:
    value = {"a": 1, "key": 2, "list": [{"token": 3, "b": [[{"api_key": 4, "c": 5}]]}]}
    assert redacted(value) == {
        "a": 1,
        "key": WITHHELD,
        "list": [{"token": WITHHELD, "b": [[{"api_key": WITHHELD, "c": 5}]]}],
    }
    assert without_withheld(redacted(value)) == {"a": 1, "list": [{"b": [[{"c": 5}]]}]}


def test_redacting_leaves_its_input_as_it_is() -> None:
    value = {"key": 1, "a": [{"key": 2}]}
    redacted(value)
    assert value == {"key": 1, "a": [{"key": 2}]}


def test_taking_removes_a_value_and_pruning_what_it_leaves_empty() -> None:
    tree: dict[str, Any] = {"a": {"b": {"c": 1}}, "d": 2}
    assert pop_path(tree, ("a", "b", "c")) == 1
    prune(tree, ("a", "b", "c"))
    assert tree == {"d": 2}
    assert pop_path(tree, ("a", "b")) is MISSING
    assert pop_path(tree, ("d", "b")) is MISSING


def test_taking_the_last_shape_takes_its_section_as_well() -> None:
    schema = section({"a": section({"b": boolean(True)}), "c": boolean(False)})
    assert take_fragment(schema, ("a", "b")) == boolean(True)
    assert list(schema["properties"]) == ["c"]


@pytest.mark.parametrize(("a", "b", "equal"), [(1, 1, True), (1, True, False), (1, 1.0, False), ([1], [1], True)])
def test_values_are_the_same_only_with_their_type(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b) is equal
