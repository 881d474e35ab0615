"""The answers of the author of a change, as options give them."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tttcfg.errors import InputError
from tttcfg.schema_tools.answers import Absent, Answers, parsed, spelled


@pytest.mark.parametrize(
    ("option", "key", "value", "reason"),
    [
        ("ttt.dropout=0.0: there was no dropout", "ttt.dropout", 0.0, "there was no dropout"),
        ("a=none: nothing: at all", "a", "none", "nothing: at all"),
        ('a="x: y": why', "a", "x: y", "why"),
        ('a={"b": [1, 2]}: why', "a", {"b": [1, 2]}, "why"),
        ("a=null:why", "a", None, "why"),
        ("a=[0.9, 0.95] : why", "a", [0.9, 0.95], "why"),
        ("a=: why", "a", "", "why"),
        ("a=1e-5: b=c", "a", 1e-5, "b=c"),
    ],
)
def test_what_an_absence_meant_is_a_value_and_a_reason(option: str, key: str, value: Any, reason: str) -> None:
    assert parsed([], [option], []).absent == {key: Absent(value, reason)}


@pytest.mark.parametrize("option", ["a", "a=1", "=1: why", "a b=1: why", "a: why"])
def test_what_is_no_statement_of_an_absence_is_refused(option: str) -> None:
    with pytest.raises(InputError, match="--absent 'KEY=VALUE: REASON'"):
        parsed([], [option], [])


def test_all_slips_are_named_at_once() -> None:
    with pytest.raises(InputError) as raised:
        parsed(["a", "b:c:d"], ["x"], ["y", "a: b"])
    assert len(raised.value.problems) == 4


def test_answers_come_back_from_their_options() -> None:
    answers = Answers(
        {"a.b": Absent("it's: odd", "because: so"), "c": Absent([1, None], "x")}, {"d": "it's gone"}, {"e": "f.g"}
    )
    words = [shlex.split(option) for option in spelled(answers)]

    def of(name: str) -> list[str]:
        return [value for option, value in words if option == name]

    assert parsed(of("--rename"), of("--absent"), of("--reason")) == answers
