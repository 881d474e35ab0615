"""From structure to text for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import tttcfg
from tests.builders import alternatives
from tests.strategies import encodable
from tttcfg import Effective, Problem, Role, TrainingArgs
from tttcfg.documents.differences import Difference
from tttcfg.fleet.plan import DocumentChange
from tttcfg.report.render import (
    Ink,
    differences_text,
    effective_json,
    effective_yaml,
    findings_text,
    plan_text,
    table,
    value_pair,
    value_text,
    yaml_text,
)
from tttcfg.testing.values import plain_values, texts
from tttcfg.ttt_moshi.family import TTT_MOSHI

PLAIN, COLOUR = Ink(False), Ink(True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1e-8, "1e-08"),
        (16, "16"),
        ("middle", "middle"),
        ("", '""'),
        ((28, 29), "[28, 29]"),
        ("a\nb", '"a\\nb"'),
        ("\x1b[31m", '"\\u001b[31m"'),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_value_on_one_line(value: Any, text: str) -> None:
    """A value is shown as JSON or plain text, escaped and clipped."""
    assert value_text(value) == text


def test_table_aligns_its_columns() -> None:
    assert table([("a", "b", "c"), ("long", "x", "last\nline")], PLAIN) == "a     b  c\nlong  x  last line\n"


def test_table_of_nothing_is_nothing() -> None:
    assert table([], PLAIN) == ""


def test_ink_colours_only_where_it_is_on() -> None:
    assert (PLAIN("red", "x"), COLOUR("red", "x"), COLOUR("red", "")) == ("x", "\x1b[31mx\x1b[0m", "")


def test_findings_of_one_quiet_kind_are_one_line() -> None:
    """Many renamed settings do not bury the rest."""
    found = [Problem("renamed", "is now called new", f"old{index}", severity="info") for index in range(5)]
    found.append(Problem("deviation", "is 1", "seed", severity="warning"))
    assert findings_text(found, PLAIN).splitlines() == [
        "info [renamed] old0, old1, old2, … (5 settings; all of them with --output json)",
        "warning [deviation] seed: is 1",
    ]


def test_equal_findings_share_a_line() -> None:
    """What cannot be confirmed is listed once, every key named."""
    found = [Problem("unconfirmed", "cannot be confirmed", name, severity="warning") for name in ("a", "b", "c", "d")]
    assert findings_text(found, PLAIN) == "warning [unconfirmed] a, b, c, d: cannot be confirmed\n"


def test_one_finding_is_printed_in_full() -> None:
    found = [Problem("renamed", "is now called new", "old", severity="info")]
    assert findings_text(found, PLAIN) == "info [renamed] old: is now called new\n"


def test_many_settings_of_the_checkpoint_share_a_line() -> None:
    found = [
        Problem("restored", f"is {one} from the checkpoint, not 0", key=f"k{one}", severity="info") for one in range(5)
    ]
    assert len(findings_text(found[:4], PLAIN).splitlines()) == 4
    (line,) = findings_text(found, PLAIN).splitlines()
    assert line.startswith("info [restored] 5 settings are the checkpoint's")
    assert "k0, k1, k2, k3, k4" in line


def test_plan_groups_changes_by_reason() -> None:
    """A reason is printed once, its changes beneath; nulls that are filled in are one line."""
    plan = [
        DocumentChange("added", "a", None, "new"),
        DocumentChange("added", "b", 1, "new"),
        DocumentChange("renamed", "c", None, "tidier", "d"),
        DocumentChange("added", "e", None, "new"),
        DocumentChange("converted", "f", "1,2", "one form", [1, 2]),
        DocumentChange("removed", "g", None, "nothing read it"),
        DocumentChange("doubted", "h", 100, "ignored"),
    ]
    assert plan_text(plan, PLAIN).splitlines() == [
        "  new",
        "    + b             1",
        "    + a and 1 more  null",
        "  tidier",
        "    ~ c  -> d",
        "  one form",
        "    ~ f  1,2 -> [1, 2]",
        "  nothing read it",
        "    - g  null",
        "  ignored",
        "    ? h  100",
    ]


def test_plan_names_a_single_null() -> None:
    assert plan_text([DocumentChange("added", "a", None, "new")], PLAIN) == "  new\n    + a  null\n"


def test_plan_is_coloured_by_kind() -> None:
    assert "\x1b[31m    - g  1\x1b[0m" in plan_text([DocumentChange("removed", "g", 1, "gone")], COLOUR)


def test_plan_escapes_what_a_file_holds() -> None:
    """Keys and values come from files, and may be anything."""
    text = plan_text([DocumentChange("removed", "g\x1b[2J", "\x1b[31m", "gone")], PLAIN)
    assert "\x1b" not in text


def test_differences_are_listed_under_their_role() -> None:
    found = [Difference("a", Role.ARCHITECTURE, 1, 2), Difference("seed", Role.TRAINING, None, [1])]
    assert differences_text(found, PLAIN) == "architecture\n  a  1  ->  2\ntraining\n  seed  null  ->  [1]\n"


TEXTS = st.text(encodable, max_size=30) | st.sampled_from(
    ["yes", "null", "1e3", "0x1", "~", "- a", "#", "a: b", "2026-01-01", "="]
)


def read_back(folder: Path, text: str) -> TrainingArgs:
    """Return what a file of that text configures."""
    path = folder / "back.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return tttcfg.resolve(config=path).training


@given(text=TEXTS, ascii_only=st.booleans())
def test_yaml_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, text: str, ascii_only: bool) -> None:
    """Any text survives the way to YAML and back, and nothing that a terminal obeys is in it."""
    written = yaml_text({"run_dir": text}, ascii_only=ascii_only)
    assert all(character.isprintable() or character == "\n" for character in written)
    assert written.isascii() or not ascii_only
    assert read_back(tmp_path_factory.getbasetemp(), written).run_dir == text


def test_every_field_survives_the_yaml(tmp_path: Path) -> None:
    """The YAML of a configuration in which every field differs from its default reads back equal."""
    values = {name: alternatives(field)[0] for name, field in TTT_MOSHI.fields.items() if field.role is not Role.SECRET}
    values |= {"ttt.mlp.layers": 2, "lora.enable": False, "ttt.tensor_parallel_size": 1}  # what goes together
    effective = tttcfg.resolve(overrides=values)
    assert read_back(tmp_path, effective_yaml(effective, [])) == effective.training


def test_header_cannot_leave_the_comment(tmp_path: Path) -> None:
    """A line break in a path stays a comment."""
    text = effective_yaml(tttcfg.resolve(), ["from a\nseed: 5"])
    assert text.startswith("# from a\n# seed: 5\n")
    assert read_back(tmp_path, text).seed == 0


def test_json_object_holds_plain_values() -> None:
    effective: Effective = tttcfg.resolve(overrides=["ttt.layers=[2,1]"])
    found = effective_json(effective, TTT_MOSHI)
    assert found["training"]["ttt"]["layers"] == [1, 2]
    assert found["origins"]["ttt.layers"][0] == {
        "source": "override",
        "value": [1, 2],
        "where": "override 1 (ttt.layers)",
    }
    assert found["training"] == TrainingArgs.model_validate(effective.training).model_dump(mode="json")


@given(st.dictionaries(texts, plain_values, max_size=4))
def test_yaml_means_the_same_to_readers_of_yaml_1_1(tree: dict[str, Any]) -> None:
    """PyYAML takes 3e-05 and 1e+16 for text, and yes, on and 1:30 for no text."""
    tree |= {
        "small": 3e-05,
        "large": 1e16,
        "list": [1e-7, "3e-05"],
        "words": ["yes", "1:30", "0x1f", "~", "=", "1_000"],
    }
    assert yaml.safe_load(yaml_text(tree)) == tree


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("steps", "epochs", ("steps", "epochs")),
        (
            "How often the weights of all layers are written to the disk, in steps of the optimiser.",
            "How often the weights of all layers are written to the disk, in steps of the scheduler.",
            ("…disk, in steps of the optimiser.", "…disk, in steps of the scheduler."),
        ),
        (
            "x" * 100 + "a" * 50,
            "x" * 100 + "b" * 70,
            ("…" + "x" * 20 + "a" * 38 + "…", "…" + "x" * 20 + "b" * 38 + "…"),
        ),
        ("short", "s" * 80, ("short", "s" * 59 + "…")),
    ],
)
def test_of_two_long_values_what_differs_is_shown(one: str, other: str, shown: tuple[str, str]) -> None:
    assert value_pair(one, other) == shown
