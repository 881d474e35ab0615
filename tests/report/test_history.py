"""The schema's history, written from the migrations."""

from __future__ import annotations

import pytest

from tttcfg.migration.operations import Add, Promote, Remove, Rename
from tttcfg.report.history import field_history, operation_line, versions
from tttcfg.schema.fragments import boolean
from tttcfg.ttt_moshi.family import TTT_MOSHI


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        (Add("a.b", boolean(False), True, "it was on"), "added a.b; before: true (it was on)"),
        (Rename("a", "b", "clearer"), "renamed a to b: clearer"),
        (Remove("a", "nothing read it"), "removed a: nothing read it"),
        (Promote("a.b", "c", boolean(False), "typed"), "typed a.b as c; absent: false"),
    ],
    ids=["add", "rename", "remove", "lift"],
)
def test_operation_as_a_line(operation: Add | Rename | Remove | Promote, line: str) -> None:
    assert operation_line(operation) == line


def test_history_follows_a_field_through_its_names() -> None:
    """A renamed field's history starts where its old name came in."""
    lines = field_history(TTT_MOSHI, "ttt.rope_mode")
    assert lines[0].startswith("version 5: added ttt.use_rope; before: legacy")
    assert lines[1].startswith("version 7: renamed ttt.use_rope to ttt.rope_mode")


def test_history_of_a_first_field() -> None:
    assert field_history(TTT_MOSHI, "seed") == ["version 0: declared seed"]


@pytest.mark.parametrize("name", TTT_MOSHI.fields)
def test_every_field_has_a_history(name: str) -> None:
    """Each field of today came in by some migration."""
    assert field_history(TTT_MOSHI, name)[0].startswith("version ")


def test_versions_in_order_with_date_and_evidence() -> None:
    found = list(versions(TTT_MOSHI))
    assert [one["version"] for one in found] == list(range(TTT_MOSHI.head + 1))
    assert [one["date"] for one in found] == sorted(one["date"] for one in found)
    assert all(one["summary"] and one["evidence"] and one["operations"] for one in found)
