"""From differences and answers to operations."""

from __future__ import annotations

from typing import Any

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Convert, Declare, Redeclare, Remove, RemoveSection, Rename, Withhold
from tttcfg.schema.fragments import boolean, choice, integer, number, text
from tttcfg.schema_tools.answers import Absent, Answers
from tttcfg.schema_tools.plan import answered, first_step, plan, unchanged

OLD: dict[str, Any] = {"a": integer(1), "b": choice("x", "x", "y"), "s.c": boolean(True)}


def test_the_answer_to_every_change_becomes_its_operation() -> None:
    new = {"s.a": integer(1), "b": choice("x", "x", "y", "z"), "d": text("")}
    answers = Answers({"d": Absent("", "was none")}, {"s.c": "nothing read it"}, {"a": "s.a"})
    planned = plan(OLD, new, answers, "all of it")
    assert planned.missing == ()
    assert planned.operations == (
        Rename("a", "s.a", "all of it"),
        Redeclare("b", new["b"], "all of it"),
        Remove("s.c", "nothing read it"),
        Add("d", text(""), "", "was none"),
    )


def test_a_rename_with_a_reason_and_the_same_shape_is_only_a_rename() -> None:
    planned = plan({"a": integer(1)}, {"b": integer(1)}, Answers({}, {"a": "clearer"}, {"a": "b"}), "x")
    assert planned.operations == (Rename("a", "b", "clearer"),)


def test_a_rename_may_change_the_shape_on_the_way() -> None:
    planned = plan({"a": integer(1)}, {"b": text("")}, Answers({}, {}, {"a": "b"}), "x")
    assert planned.operations == (Rename("a", "b", "x"), Convert("b", unchanged, "x", text("")))


def test_a_narrower_shape_is_converted_and_a_wider_one_is_not() -> None:
    wide, narrow = {"a": integer(1, minimum=0)}, {"a": integer(1, minimum=1)}
    assert isinstance(plan(wide, narrow, Answers(), "x").operations[0], Convert)
    assert isinstance(plan(narrow, wide, Answers(), "x").operations[0], Redeclare)


def test_a_field_that_became_a_secret_is_withheld() -> None:
    planned = plan({"a": text("")}, {}, Answers({}, {"a": "a login"}), "x", {"a"})
    assert planned.operations == (Withhold("a", "a login"),)


def test_a_secret_by_another_name_is_withheld_whether_it_is_new_or_not() -> None:
    """No schema lists secrets, so a new one cannot be distinguished from one that was there."""
    planned = plan({"hub.login": text("")}, {}, Answers({}, {}, {"hub.login": "access"}), "no secrets", {"access"})
    assert planned.missing == ()
    assert planned.operations == (Withhold("hub.login", "no secrets"), RemoveSection("hub", "no secrets"))


def test_a_renamed_section_is_all_its_fields_that_moved() -> None:
    old = {"a.b": integer(1), "a.c.d": integer(1), "a.e": integer(1)}
    new = {"z.b": integer(1), "z.c.d": integer(1), "a.e": integer(1)}
    planned = plan(old, new, Answers({}, {}, {"a": "z"}), "x")
    assert planned.missing == ()
    assert planned.operations == (
        Rename("a.b", "z.b", "x"),
        Rename("a.c.d", "z.c.d", "x"),
        RemoveSection("a.c", "x"),
    )


def test_all_missing_answers_are_named_with_their_options() -> None:
    planned = plan(OLD, {"a": integer(1), "b": OLD["b"], "d": number(1.0)}, Answers(), "x")
    assert [(one.key, one.advice) for one in planned.missing] == [
        ("d", "--absent 'd=VALUE: REASON'"),
        ("s.c", "--reason 's.c: REASON'"),
    ]


def test_the_answers_of_a_step_are_known_when_it_is_made_anew() -> None:
    old, new = {"a": integer(1), "c": integer(1)}, {"b": integer(1), "d": integer(1)}
    answers = Answers({"d": Absent(3, "three")}, {"a": "clearer", "c": "dead"}, {"a": "b"})
    step = Migration(1, "2026-01-01", "x", "y", plan(old, new, answers, "x").operations)
    assert plan(old, new, answered(step), "another").operations == step.operations


def test_a_new_answer_takes_a_rename_back() -> None:
    before = Answers({}, {}, {"a": "b"})
    after = Answers({"b": Absent(0, "none")}, {"a": "dead"}).over(before)
    assert after.renamed == {}


def test_the_first_version_declares_and_adds_what_an_absence_meant_something_for() -> None:
    """An extension is younger than the documents that it comes into."""
    planned = first_step({"a": integer(1), "b": integer(2)}, Answers({"b": Absent(0, "there was none")}))
    assert planned.operations == (Declare("a", integer(1)), Add("b", integer(2), 0, "there was none"))


def test_two_fields_cannot_become_one() -> None:
    planned = plan({"a": integer(1), "b": integer(1)}, {"c": integer(1)}, Answers({}, {}, {"a": "c", "b": "c"}), "x")
    assert [(one.key, one.message) for one in planned.missing] == [("c", "is the new name of more than one field")]
