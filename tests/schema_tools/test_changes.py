"""What changed between two schemas, and the class of each change."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Rename
from tttcfg.schema.fragments import boolean, choice, integer, nullable, number, text
from tttcfg.schema_tools.changes import SchemaChange, changes, compatibility, described, renames


def only(old: dict[str, Any], new: dict[str, Any], **renamed: str) -> SchemaChange:
    (change,) = changes(old, new, renamed)
    return change


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (integer(1, minimum=1), integer(1, minimum=0), "backward"),
        (integer(1, minimum=0), integer(1, minimum=1), "forward"),
        (integer(1, minimum=0, maximum=5), integer(1, minimum=1, maximum=9), "breaking"),
        (integer(1), number(1), "backward"),
        (choice("a", "a", "b"), choice("a", "a", "b", "c"), "backward"),
        (choice("a", "a", "b"), choice("a", "a"), "forward"),
        (text(""), nullable(text("")), "backward"),
        (text(""), boolean(True), "breaking"),
        (text("", pattern="^a"), text("", pattern="^ab"), "breaking"),
    ],
)
def test_a_changed_shape_has_the_class_that_containment_gives_it(old: Any, new: Any, expected: str) -> None:
    assert only({"a": old}, {"a": new}).compatibility == expected


def test_what_could_not_be_decided_has_a_note() -> None:
    assert "could not be decided" in only({"a": text("", pattern="a")}, {"a": text("", pattern="b")}).note
    assert only({"a": text("")}, {"a": boolean(True)}).note == ""


def test_a_new_field_is_read_by_new_programs_only() -> None:
    assert only({}, {"a": integer(1)}).compatibility == "backward"


def test_a_new_field_without_a_default_is_breaking() -> None:
    change = only({}, {"a": {"type": "integer"}})
    assert change.compatibility == "breaking"
    assert "no default" in change.note


def test_removing_a_field_is_forward_compatible() -> None:
    assert only({"a": integer(1)}, {}).compatibility == "forward"


@pytest.mark.parametrize(
    ("old", "new", "semantic"),
    [
        (integer(1), integer(2), ("default",)),
        (number(1), number(1.0), ("default",)),
        (boolean(True) | {"x-role": "run"}, boolean(True) | {"x-role": "training"}, ("role",)),
        (number(1) | {"x-unit": "s"}, number(1) | {"x-unit": "ms"}, ("unit",)),
        (number(1) | {"description": "one"}, number(1) | {"description": "other"}, ("description",)),
    ],
)
def test_a_changed_meaning_is_semantic_and_compatible_in_form(old: Any, new: Any, semantic: tuple[str, ...]) -> None:
    change = only({"a": old}, {"a": new})
    assert (change.compatibility, change.semantic) == ("full", semantic)


def test_a_change_may_be_both() -> None:
    change = only({"a": integer(1, minimum=1)}, {"a": integer(0, minimum=0)})
    assert (change.compatibility, change.semantic) == ("backward", ("default",))


def test_an_old_schema_without_roles_leaves_it_open() -> None:
    assert changes({"a": boolean(True)}, {"a": boolean(True) | {"x-role": "run", "description": "x"}}) == []


def test_a_rename_is_one_change_and_breaking_for_the_schemas_alone() -> None:
    change = only({"a": integer(1)}, {"b": integer(1)}, a="b")
    assert (change.kind, change.was, change.path, change.compatibility) == ("renamed", "a", "b", "breaking")


def test_a_section_in_the_place_of_a_field_is_breaking() -> None:
    found = changes({"a": integer(1)}, {"a.b": integer(1)})
    assert {change.compatibility for change in found} == {"breaking"}


def test_all_together_are_as_compatible_as_the_least_of_them() -> None:
    assert compatibility([]) == "full"
    assert compatibility(changes({"a": integer(1)}, {"a": integer(1), "b": integer(1)})) == "backward"
    assert compatibility(changes({"a": integer(1)}, {"b": integer(1)})) == "breaking"


def test_renames_follow_fields_through_steps_and_sections() -> None:
    steps = [
        Migration(1, "2026-01-01", "", "", (Rename("a", "old.a", "why"),)),
        Migration(2, "2026-01-02", "", "", (Rename("old", "new", "why"),)),
    ]
    assert renames(steps, {"a": integer(1), "b": integer(1)}) == {"a": "new.a", "old": "new"}


def test_a_shape_is_described_in_a_few_words() -> None:
    assert described(nullable(integer(1, minimum=1))) == f"integer (maximum {2**53}, minimum 1) or null"
    assert described(choice("a", "a", "b")) == "a or b"
