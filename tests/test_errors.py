"""Errors: structure first, sentences that people can act on, nothing raw in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tttcfg.errors import (
    CODES,
    MAX_PROBLEMS,
    ContradictionError,
    ForeignDocumentError,
    InputError,
    LossError,
    NewerVersionError,
    Place,
    Problem,
    TttcfgError,
    WriteError,
    nearest,
    nearest_key,
    printable,
    quote,
)

SOURCES = Path(__file__).resolve().parents[1] / "src" / "tttcfg"


def test_a_problem_reads_as_place_key_message_and_suggestion() -> None:
    problem = Problem("unknown_key", "no setting has this name", "ttt.layer", Place("a.yaml", 3, 5), "ttt.layers")
    assert str(problem) == "a.yaml:3:5: ttt.layer: no setting has this name (did you mean ttt.layers?)"


@pytest.mark.parametrize(
    ("place", "text"),
    [(Place("a.yaml"), "a.yaml"), (Place("a.yaml", 3), "a.yaml:3"), (Place("a.yaml", 3, 5), "a.yaml:3:5")],
)
def test_a_place_leaves_out_what_is_unknown(place: Place, text: str) -> None:
    assert str(place) == text


def test_an_error_names_every_problem() -> None:
    error = InputError([Problem("rejected", "one", "a"), Problem("rejected", "two", "b")])
    assert str(error) == "a: one\nb: two"


def test_more_than_twenty_problems_are_clipped_in_text_and_kept_in_structure() -> None:
    error = InputError(Problem("rejected", "no", f"key{index}") for index in range(MAX_PROBLEMS + 3))
    assert str(error).splitlines()[-1] == "and 3 more"
    assert len(error.problems) == MAX_PROBLEMS + 3


@pytest.mark.parametrize("kind", [InputError, NewerVersionError, ForeignDocumentError, LossError])
def test_input_errors_are_value_errors(kind: type[TttcfgError]) -> None:
    error = kind(Problem("rejected", "no"))
    assert isinstance(error, ValueError)
    assert error.exit_code == 2


def test_a_write_error_is_an_os_error_that_reads_like_the_others() -> None:
    error = WriteError(Problem("unwritable", "is read-only", place=Place("a.json")))
    assert isinstance(error, OSError)
    assert str(error) == "a.json: is read-only"


def test_a_contradiction_is_an_answer_and_no_bad_input() -> None:
    error = ContradictionError([Problem("contradiction", "no")], effective="what was resolved")
    assert error.exit_code == 1
    assert error.effective == "what was resolved"
    assert not isinstance(error, ValueError)


def test_every_code_in_the_sources_is_explained() -> None:
    """And every explained code is used."""
    texts = [path.read_text("utf-8") for path in SOURCES.rglob("*.py") if path.name != "errors.py"]
    used = {code for text in texts for code in re.findall(r'Problem\(\s*"(\w+)"', text)}
    assert used <= set(CODES)
    assert not [code for code in CODES if not any(f'"{code}"' in text for text in texts)]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("two\nlines", "two\nlines"),
        ("é", "é"),
    ],
)
def test_control_characters_never_come_out_raw(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        ("a'b", '"a\'b"'),
        ([1, 2], "[1, 2]"),
        (["a"], "a list of 1 items"),
        ({"a": 1}, "a mapping of 1 keys"),
    ],
)
def test_values_are_quoted_as_a_file_would_hold_them(value: object, shown: str) -> None:
    assert quote(value) == shown


def test_a_long_value_is_clipped() -> None:
    assert len(quote("x" * 10_000)) == 120


def test_a_number_of_thousands_of_digits_can_be_quoted() -> None:
    assert len(quote(10**5000)) <= 120


def test_a_value_that_holds_itself_can_be_quoted() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert quote(endless) == "a list of 1 items"


def test_the_nearest_name_is_near() -> None:
    assert nearest("mini_batch_sise", ["mini_batch_size", "layers"]) == "mini_batch_size"
    assert nearest("something_else", ["mini_batch_size", "layers"]) == ""


def test_a_key_without_its_section_finds_the_whole_name() -> None:
    assert nearest_key("mini_batch_size", ["ttt.mini_batch_size", "optim.lr"]) == "ttt.mini_batch_size"
