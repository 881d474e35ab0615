"""Each operation alone: up, up of a partial document, down, and what it does to the schema."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg.migration.chain import Chain, Migration, PartialReading
from tttcfg.migration.held import Within
from tttcfg.migration.operations import (
    Add,
    Computed,
    Convert,
    Declare,
    Doubt,
    Operation,
    Promote,
    Redeclare,
    Remove,
    RemoveRest,
    RemoveSection,
    Rename,
    Withhold,
)
from tttcfg.migration.record import Record
from tttcfg.migration.reshaping import Merge, Split
from tttcfg.schema.fragments import boolean, free_form, integer, section
from tttcfg.schema.paths import copied

ADD = Add("a.b", integer(5), 3, "why")
REMOVE = Remove("a.b", "why")
RENAME = Rename("a.b", "c.d", "why")
CONVERT = Convert("a", lambda value: value * 2 if isinstance(value, int) else value, "why", integer(0))
PROMOTE = Promote("free.x", "typed.x", integer(7), "why", int)


def up(operation: Operation, tree: dict[str, Any], *, partial: bool = False) -> tuple[dict[str, Any], Record]:
    record = Record()
    operation.up(tree, record, PartialReading(Chain([]), None, lambda tree: tree) if partial else None)
    return tree, record


def test_add_fills_what_the_program_did_and_not_the_default() -> None:
    tree, record = up(ADD, {})
    assert tree == {"a": {"b": 3}}
    assert record.filled == {"a.b": {"value": 3, "reason": "why"}}


def test_add_leaves_a_value_that_is_there() -> None:
    assert up(ADD, {"a": {"b": 9}}) == ({"a": {"b": 9}}, Record())


def test_add_fills_no_partial_document() -> None:
    assert up(ADD, {}, partial=True) == ({}, Record())


def test_add_down_takes_the_fill_back_and_names_any_other_value() -> None:
    tree: dict[str, Any] = {"a": {"b": 3}}
    assert list(ADD.down(tree, Record())) == []
    assert tree == {}
    assert list(ADD.down({"a": {"b": 4}}, Record())) == [("a.b", 4)]


def test_remove_keeps_the_value_in_the_record_and_puts_it_back() -> None:
    tree, record = up(REMOVE, {"a": {"b": 3, "c": 1}})
    assert tree == {"a": {"c": 1}}
    assert record.removed["a.b"]["value"] == 3
    assert list(REMOVE.down(tree, record)) == []
    assert tree == {"a": {"c": 1, "b": 3}}


def test_a_section_without_fields_is_removed_unless_it_has_a_key_that_no_version_has() -> None:
    step = Migration(1, "2026-01-01", "moved", "none", (Rename("a.b", "c.b", "why"), Remove("a", "why")))
    for partial in (False, True):
        for typo in (3, {"x": 3}, [], {}):
            tree: dict[str, Any] = {"a": {"b": 3, "typo": typo}}
            for operation in step.operations:
                operation.up(
                    tree, record := Record(), PartialReading(Chain([]), None, lambda _: None) if partial else None
                )
            assert tree == {"a": {"typo": typo}, "c": {"b": 3}}
            assert record == Record()
    nested = Migration(1, "2026-01-01", "moved", "none", (Rename("a.s.b", "c.b", "why"), Remove("a", "why")))
    assert nested.operations[1] == RemoveSection("a", "why", ("a.s",))
    tree = {"a": {"s": {"b": 3}}}
    nested.up(tree, Record())
    assert tree == {"c": {"b": 3}}
    tree = {"a": {"b": 3}}
    step.up(tree, record := Record())
    assert tree == {"c": {"b": 3}}
    assert step.down(tree, record) == []
    assert tree == {"a": {"b": 3}}


def test_remove_takes_no_section_with_it_from_a_complete_document() -> None:
    assert up(REMOVE, {"a": {"b": 3}})[0] == {"a": {}}
    assert up(REMOVE, {"a": {"b": 3}}, partial=True)[0] == {}


def test_remove_down_makes_up_nothing() -> None:
    tree: dict[str, Any] = {}
    assert list(REMOVE.down(tree, Record())) == []
    assert tree == {}


def test_remove_down_never_writes_the_place_of_a_secret() -> None:
    whole = Remove("w.access_token", "why")
    tree, record = up(whole, {"w": {"access_token": "hush"}})
    assert record.removed["w.access_token"]["value"] == "(withheld)"
    assert list(whole.down(tree, record)) == [("w.access_token", "(withheld)")]
    assert tree == {"w": {}}
    part = Remove("w", "why")
    tree, record = up(part, {"w": {"token": "hush", "a": 1}})
    assert list(part.down(tree, record)) == [("w", "(withheld)")]
    assert tree == {"w": {"a": 1}}


def test_withhold_records_that_there_was_a_secret_and_not_what() -> None:
    tree, record = up(Withhold("w.key", "why"), {"w": {"key": "hush"}})
    assert tree == {"w": {}}
    assert record.removed["w.key"]["value"] == "(withheld)"
    assert list(Withhold("w.key", "why").down(tree, record)) == [("w.key", "(withheld)")]
    assert tree == {"w": {"key": None}}


def test_withhold_leaves_a_partial_document_its_secret() -> None:
    tree, record = up(Withhold("w.key", "why"), {"w": {"key": "hush"}}, partial=True)
    assert tree == {"w": {"key": "hush"}}
    assert record == Record()


@pytest.mark.parametrize("partial", [False, True])
def test_rename_moves_the_value_and_records_it(partial: bool) -> None:
    tree, record = up(RENAME, {"a": {"b": 3, "z": 0}}, partial=partial)
    assert tree == {"a": {"z": 0}, "c": {"d": 3}}
    assert record.renamed == {"a.b": {"value": "c.d", "reason": "why"}}
    assert list(RENAME.down(tree, record)) == []
    assert tree == {"a": {"z": 0, "b": 3}}


def test_rename_leaves_both_spellings_for_validation_to_name() -> None:
    both = {"a": {"b": 3}, "c": {"d": 4}}
    assert up(RENAME, dict(both)) == (both, Record())


def test_convert_keeps_the_old_value_and_gives_it_back() -> None:
    tree, record = up(CONVERT, {"a": 3})
    assert tree == {"a": 6}
    assert record.converted["a"]["value"] == 3
    assert list(CONVERT.down(tree, record)) == []
    assert tree == {"a": 3}


def test_convert_does_not_give_back_a_value_that_changed_since() -> None:
    _, record = up(CONVERT, {"a": 3})
    tree = {"a": 8}
    list(CONVERT.down(tree, record))
    assert tree == {"a": 8}


def test_convert_that_can_be_inverted_needs_no_record() -> None:
    text = Convert("a", str, "why", back=int)
    tree, record = up(text, {"a": 3})
    assert tree == {"a": "3"}
    assert record.converted == {}


def test_lift_types_a_free_key_or_fills_what_absence_meant() -> None:
    tree, record = up(PROMOTE, {"free": {"x": "4", "y": 1}})
    assert tree == {"free": {"y": 1}, "typed": {"x": 4}}
    assert record.converted["typed.x"]["value"] == "4"
    list(PROMOTE.down(tree, record))
    assert tree == {"free": {"y": 1, "x": "4"}}
    assert up(PROMOTE, {"free": {}})[0] == {"free": {}, "typed": {"x": 7}}


def test_lift_fills_no_partial_document() -> None:
    assert up(PROMOTE, {"free": {"y": 1}}, partial=True)[0] == {"free": {"y": 1}}


def test_remove_rest_keeps_the_mapping_in_the_record_without_secrets() -> None:
    rest = RemoveRest("free", "why")
    tree, record = up(rest, {"free": {"y": 1, "token": "hush"}})
    assert tree == {}
    assert record.removed["free"]["value"] == {"y": 1, "token": "(withheld)"}
    assert [path for path, _ in rest.down(tree, record)] == ["free"]
    assert tree == {"free": {"y": 1}}


def test_remove_rest_leaves_unknown_partial_keys_for_validation_to_name() -> None:
    rest = RemoveRest("free", "why")
    assert up(rest, {"free": {"y": 1}}, partial=True)[0] == {"free": {"y": 1}}
    assert up(rest, {"free": {}}, partial=True)[0] == {}


def test_doubt_keeps_the_value() -> None:
    doubt = Doubt("a", lambda value: value > 3, "why")
    tree, record = up(doubt, {"a": 4})
    assert tree == {"a": 4}
    assert record.doubted == {"a": {"value": 4, "reason": "why"}}
    assert up(doubt, {"a": 3})[1] == Record()


@pytest.mark.parametrize(
    ("operation", "tree"),
    [
        (ADD, {}),
        (REMOVE, {"a": {"b": 3, "c": 1}}),
        (RENAME, {"a": {"b": 3, "z": 0}}),
        (CONVERT, {"a": 3}),
        (PROMOTE, {"free": {"x": "4", "y": 1}}),
        (PROMOTE, {"free": {"y": 1}}),
        (RemoveRest("free", "why"), {"free": {"y": 1}}),
        (Withhold("w.key", "why"), {"w": {"key": None, "a": 1}}),
        (Doubt("a", lambda value: value > 3, "why"), {"a": 4}),
    ],
)
def test_going_down_undoes_the_record_too(operation: Operation, tree: dict[str, Any]) -> None:
    older, before = copied(tree), copied(tree)
    record = up(operation, older)[1]
    assert record != Record()
    assert list(operation.down(older, record)) == []
    assert older == before
    assert record == Record()


def test_what_comes_back_from_a_record_is_a_copy() -> None:
    """Changing the document does not change the record that it came from."""
    widen = Convert("a", lambda value: {**value, "b": 4} if isinstance(value, dict) else value, "why")
    tree, record = up(widen, {"a": {"b": 2}})
    kept = record.converted["a"]["value"]
    list(widen.down(tree, record))
    tree["a"]["b"] = 9
    assert kept == {"b": 2}


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        (Declare("a.b", boolean(True)), section(), section({"a": section({"b": boolean(True)})})),
        (ADD, section(), section({"a": section({"b": integer(5)})})),
        (REMOVE, section({"a": section({"b": integer(5)})}), section()),
        (RENAME, section({"a": section({"b": integer(5)})}), section({"c": section({"d": integer(5)})})),
        (CONVERT, section({"a": boolean(True)}), section({"a": integer(0)})),
        (RemoveRest("free", "why"), section({"free": free_form()}), section()),
    ],
)
def test_an_operation_turns_one_shape_into_the_next(operation: Operation, before: Any, after: Any) -> None:
    operation.apply_to_schema(before)
    assert before == after


def test_old_spellings_lead_to_the_current_names() -> None:
    assert RENAME.spellings() == {"a.b": "c.d"}
    assert REMOVE.spellings() == {"a.b": ""}
    assert ADD.spellings() == {}


def test_reshape_changes_what_is_allowed_and_no_document() -> None:
    operation = Redeclare("a.b", integer(5, minimum=0), "why")
    tree, record = up(operation, {"a": {"b": 3}})
    assert (tree, record) == ({"a": {"b": 3}}, Record())
    assert list(operation.down(tree, record)) == []
    assert tree == {"a": {"b": 3}}
    schema = section({"a": section({"b": integer(1)})})
    operation.apply_to_schema(schema)
    assert schema == section({"a": section({"b": integer(5, minimum=0)})})


TOTAL = Merge(
    "s.total", ("ranks", "batch"), lambda r, b: r * b, lambda total: (1, total), integer(8), "the product counts"
)
SPAN = Split("span", ("s.low", "s.high"), list, lambda *both: list(both), (integer(0), integer(9)), "clearer")


def round_trip(operation: Operation, tree: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Return what up and down make of a document, and what they lose."""
    new, record = up(operation, copied(tree))
    losses = list(operation.down(new, record))
    assert record == Record()
    return new, losses


def test_several_fields_become_one_and_come_back() -> None:
    tree, record = up(TOTAL, {"ranks": 3, "batch": 4})
    assert tree == {"s": {"total": 12}}
    assert set(record.renamed) == {"ranks", "batch"}
    assert record.converted["s.total"]["value"] == {"ranks": 3, "batch": 4}
    assert round_trip(TOTAL, {"ranks": 3, "batch": 4}) == ({"ranks": 3, "batch": 4}, [])
    assert up(TOTAL, {"ranks": 1, "batch": 4})[1].converted == {}, "which the inverse gives back"


def test_what_an_edited_merged_value_was_is_what_the_inverse_says() -> None:
    tree, record = up(TOTAL, {"ranks": 3, "batch": 4})
    tree["s"]["total"] = 20
    assert list(TOTAL.down(tree, record)) == []
    assert tree == {"ranks": 1, "batch": 20}


def test_a_merged_value_that_the_old_fields_cannot_hold_is_lost() -> None:
    even = Merge("total", ("half", "rest"), lambda h, r: 2 * h + r, lambda total: (total // 2, 0), integer(8), "why")
    tree: dict[str, Any] = {"total": 7}
    assert list(even.down(tree, Record())) == [("total", 7)]
    assert tree == {"half": 3, "rest": 0}


def test_fields_that_were_filled_in_merge_into_one_that_is() -> None:
    record = Record(filled={one: {"value": 1, "reason": "x"} for one in ("ranks", "batch")})
    tree = {"ranks": 1, "batch": 1}
    TOTAL.up(tree, record, None)
    assert record.filled == {"s.total": {"value": 1, "reason": "the product counts"}}
    assert record.renamed == {}


def test_one_field_becomes_several_and_comes_back() -> None:
    tree, record = up(SPAN, {"span": [2, 5]})
    assert tree == {"s": {"low": 2, "high": 5}}
    assert record.renamed["span"]["value"] == "s.low"
    assert round_trip(SPAN, {"span": [2, 5]}) == ({"span": [2, 5]}, [])
    tree["s"]["high"] = 7
    assert list(SPAN.down(tree, record)) == []
    assert tree == {"span": [2, 7]}


def test_a_merge_and_a_split_change_the_schema() -> None:
    schema = section({"ranks": integer(1), "batch": integer(2), "span": {"default": [0, 9], "type": "array"}})
    for operation in (TOTAL, SPAN):
        operation.apply_to_schema(schema)
    assert schema["properties"]["s"]["properties"] == {"total": integer(8), "low": integer(0), "high": integer(9)}
    assert schema["properties"].keys() == {"s"}
    assert {**TOTAL.spellings(), **SPAN.spellings()} == {"ranks": "s.total", "batch": "s.total", "span": "s.low"}


def test_what_absence_meant_may_be_computed_from_the_document() -> None:
    """The function gets a copy, so that it cannot change the document."""
    add = Add("depth", integer(9), Computed(lambda tree: tree.pop("width") // 32, "a 32nd of the width"), "it was")
    tree, record = up(add, {"width": 64})
    assert tree == {"width": 64, "depth": 2}
    assert record.filled["depth"]["value"] == 2
    assert round_trip(add, {"width": 64}) == ({"width": 64}, [])
    tree["depth"] = 5
    assert list(add.down(tree, record)) == [("depth", 5)]


@pytest.mark.parametrize(
    ("each", "held"),
    [(True, [{"a": 1}, {"a": 2, "b": 3}]), (True, {"x.y": {"a": 1}, "": {"a": 2}}), (False, {"a": 1}), (False, None)],
    ids=str,
)
def test_changes_within_reach_every_section_and_come_back(each: bool, held: Any) -> None:
    within = Within("s", (Rename("a", "c", "clearer"), Add("b", integer(0), 7, "was"), Remove("d", "dead")), each)
    tree = {"s": held}
    new, record = up(within, {"s": held})
    sections = list(new["s"].values() if isinstance(held, dict) and each else new["s"] if each else [new["s"]])
    assert all(one is None or ("c" in one and "b" in one) for one in sections)
    assert tree == {"s": held}, "the value itself is not changed"
    assert all(name.startswith("s.") for name in (*record.filled, *record.renamed))
    assert round_trip(within, {"s": held})[0] == {
        "s": held if held != [{"a": 1}, {"a": 2, "b": 3}] else [{"a": 1}, {"a": 2}]
    }


def test_within_changes_the_schema_of_what_is_held() -> None:
    stages = {"default": [], "anyOf": [{"type": "array", "items": section({"a": integer(1)})}, {"type": "null"}]}
    schema = section({"stages": stages})
    Within("stages", (Rename("a", "c", "clearer"), Add("b", integer(0), 7, "was"))).apply_to_schema(schema)
    held = schema["properties"]["stages"]["anyOf"][0]["items"]
    assert held["properties"] == {"c": integer(1), "b": integer(0)}
    assert stages["anyOf"][0]["items"]["properties"] == {"a": integer(1)}, "the older version's is as it was"
    with pytest.raises(LookupError, match="holds no section"):
        Within("none", ()).apply_to_schema(schema)
