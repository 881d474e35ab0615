"""`tttcfg history`, as a process."""

from __future__ import annotations

import pytest

from tests.builders import HEAD
from tests.cli.process import run


def test_history_lists_every_version() -> None:
    lines = run("history").out.splitlines()
    heads = [line.split()[1] for line in lines if line.startswith("version ")]
    assert heads == [str(version) for version in range(HEAD + 1)]


def test_history_as_json() -> None:
    (version,) = run("history", "4", "--output", "json").json
    assert set(version) == {"version", "date", "summary", "evidence", "operations"}
    assert [one["key"] for one in version["operations"]] == ["ttt.weight_lr_multiplier", "ttt.alpha_lr_multiplier"]


@pytest.mark.parametrize("version", [str(HEAD + 1), "-1", "x"])
def test_history_of_a_version_that_is_none(version: str) -> None:
    result = run("history", "--", version)
    assert (result.code, result.out) == (2, "")
