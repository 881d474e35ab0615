"""A step of a parent as one of a family's own history."""

from __future__ import annotations

import pytest

from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.inherited import inherited
from tttcfg.migration.operations import Add, Convert, Declare, Remove, RemoveSection, Rename
from tttcfg.migration.record import Record
from tttcfg.schema.fragments import integer

FIRST = Migration(0, "2026-01-01", "first", "here", (Declare("s.a", integer(1)), Declare("b", integer(2))))
NEXT = Migration(
    1,
    "2026-01-02",
    "next",
    "there",
    (
        Rename("s.a", "c", "a name"),
        Remove("s", "empty"),
        Convert("b", lambda value: value * 10, "tenths", integer(20)),
        Add("d", integer(3), 0, "none before"),
    ),
)


def test_it_has_the_operations_and_reasons_of_the_parent_and_a_version_of_its_own() -> None:
    step = inherited(NEXT, version=7)
    assert (step.version, step.parent) == (7, 1)
    assert (step.date, step.summary, step.evidence) == (NEXT.date, NEXT.summary, NEXT.evidence)
    assert step.operations == NEXT.operations
    assert isinstance(step.operations[1], RemoveSection)


def test_old_names_fills_and_conversions_are_known_to_the_family() -> None:
    chain = Chain([inherited(FIRST, version=0), inherited(NEXT, version=1)])
    assert chain.spellings["s.a"] == "c"
    record = Record()
    assert chain.up({"s": {"a": 1}, "b": 2}, 0, record) == {"c": 1, "b": 20, "d": 0}
    assert record.filled == {"d": {"value": 0, "reason": "none before"}}


def test_operations_on_the_familys_own_fields_are_left_out_or_have_its_schema() -> None:
    step = inherited(NEXT, version=1, without=("d",), declared={"b": integer(50)})
    assert [one.path for one in step.operations] == ["s.a", "s", "b"]
    converting = step.operations[2]
    assert isinstance(converting, Convert)
    assert (converting.fragment, converting.forward(2)) == (integer(50), 20)


def test_a_field_that_the_step_does_not_touch_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="version 1 of the parent has no operation on x, y"):
        _ = inherited(NEXT, version=1, without=("y",), declared={"x": integer(1)})
