"""What only the author of a change can answer, and has not."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg.errors import Problem
from tttcfg.schema.fragments import boolean, choice, free_form, integer, nullable, number, text
from tttcfg.schema_tools.answers import Absent, Answers
from tttcfg.schema_tools.changes import changes
from tttcfg.schema_tools.missing import likely_renames, likely_secret, misplaced, missing_statements, without_refused

OLD: dict[str, Any] = {"a": integer(1), "b": integer(1)}
NEW: dict[str, Any] = {"b": integer(1), "c": integer(1)}


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ("b", "c", "b is still in the code"),
        ("x", "c", "the version before has no x"),
        ("a", "b", "the version before has b already"),
        ("a", "x", "the code has no x"),
    ],
)
def test_the_reason_why_something_is_no_rename_is_given(was: str, now: str, why: str) -> None:
    (one,) = misplaced(OLD, NEW, Answers({}, {}, {was: now}))
    assert one.message == f"is not a rename: {why}"


SIZE = integer(8, description="Sequences of a batch.")
LOCAL = integer(8, description="Sequences of a batch on one rank.")
BATCH, TRAINING, VALIDATION = "training.batch_size", "training.local_batch_size", "validation.local_batch_size"


def renames(gone: Any, new: Any) -> dict[str, str]:
    """Return what is printed as a rename, with the old field of each new one."""
    found, _ = likely_renames(changes(gone, new))
    return {path: one.fields[0] for path, one in found.items() if one.likely}


@pytest.mark.parametrize(
    ("gone", "new", "expected"),
    [
        ({"ttt.base_lr": number(1.0)}, {"ttt.inner_lr": number(1.0)}, {"ttt.inner_lr": "ttt.base_lr"}),
        ({"a.width": integer(1)}, {"b.width": integer(1)}, {"b.width": "a.width"}),
        ({"dropout": number(0.0)}, {"seed": number(0.0)}, {}),
        ({"rate": number(1.0)}, {"rates": boolean(True)}, {}),
        ({"rate": number(1.0), "ratio": number(1.0)}, {"rates": number(1.0)}, {"rates": "rate"}),
        ({"x": number(1.0, description="Same.")}, {"zzz": number(2.0, description="Same.")}, {"zzz": "x"}),
        ({BATCH: SIZE}, {TRAINING: LOCAL, VALIDATION: LOCAL}, {TRAINING: BATCH}),
        ({BATCH: SIZE}, {VALIDATION: LOCAL, TRAINING: LOCAL}, {TRAINING: BATCH}),
        ({BATCH: SIZE}, {VALIDATION: integer(0, description="Sequences that are validated.")}, {}),
        ({"lr": number(0.1)}, {"optim.lr": number(0.1)}, {"optim.lr": "lr"}),
        ({"lr": number(0.1)}, {"actor.lr": number(0.1), "critic.lr": number(0.1)}, {}),
        ({"a.lr": number(0.1), "b.lr": number(0.1)}, {"c.lr": number(0.1)}, {}),
    ],
)
def test_a_new_field_that_resembles_one_that_is_gone_may_be_it(gone: Any, new: Any, expected: Any) -> None:
    assert renames(gone, new) == expected


def test_where_several_are_near_all_are_named_and_no_command_picks_one() -> None:
    """Neither of the two is more like the one that is gone."""
    gone, new = {"lr": number(0.1)}, {"actor.lr": number(0.1), "other.lr": number(0.1), "seed": integer(0)}
    actor, other, seed, lr = missing_statements(changes(gone, new), Answers())
    assert (actor.suggestion, actor.advice) == ("lr", "--absent 'actor.lr=VALUE: REASON'")
    assert "lr is gone: --rename lr:actor.lr if it is that field" in actor.message
    assert (other.suggestion, seed.suggestion) == ("lr", "")
    assert lr.advice == "--reason 'lr: REASON'"
    assert (
        "other.lr and actor.lr are new: --rename lr:other.lr or --rename lr:actor.lr if it is that field" in lr.message
    )


@pytest.mark.parametrize(
    ("fragment", "secret"),
    [
        (text(""), "hub.token"),
        (nullable(text(None)), "hub.token"),
        (choice("x", "x", "y"), ""),
        (integer(1), ""),
        (free_form(), ""),
    ],
)
def test_only_free_text_may_have_become_a_secret(fragment: Any, secret: str) -> None:
    assert likely_secret("tokens", fragment, {"hub.token", "password"}) == secret
    assert likely_secret("tokens", fragment, set()) == ""


def test_what_was_refused_is_not_suggested_again() -> None:
    answers = Answers({"c": Absent(1, "x"), "d": Absent(1, "x")}, {"e": "x"}, {"f": "g", "h": "i"})
    refused = [Problem(kind, "", path) for kind, path in (("absent", "c"), ("reason", "e"), ("rename", "f:g"))]
    assert without_refused(answers, refused) == Answers({"d": Absent(1, "x")}, {}, {"h": "i"})
