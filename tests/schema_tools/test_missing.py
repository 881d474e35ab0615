"""What only the author of a change can answer, and has not."""

from __future__ import annotations

from typing import Any

import pytest

from tttcfg.errors import Problem
from tttcfg.schema.fragments import choice, free_form, integer, nullable, text
from tttcfg.schema_tools.answers import Absent, Answers
from tttcfg.schema_tools.missing import likely_secret, misplaced, without_refused

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
