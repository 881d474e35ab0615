"""`tttcfg fields`, `tttcfg history` and the command without a subcommand, as processes."""

from __future__ import annotations

import pytest

import tttcfg
from tests.cli.process import run
from tttcfg.ttt_moshi.family import TTT_MOSHI


def test_fields_lists_every_field() -> None:
    """One line per field, the secret's included: it says what the field is, not what it holds."""
    lines = run("fields").out.splitlines()
    assert [line.split()[0] for line in lines] == ["KEY", *TTT_MOSHI.fields]


def test_fields_of_an_old_spelling() -> None:
    """An old name leads to today's field and its history."""
    result = run("fields", "ttt.use_rope")
    assert result.out.startswith("ttt.rope_mode\n")
    assert "version 7: renamed ttt.use_rope to ttt.rope_mode" in result.out


def test_fields_as_json() -> None:
    (field,) = run("fields", "ttt.layers", "--output", "json").json
    assert set(field) == {"key", "role", "unit", "default", "description", "history"}
    assert (field["role"], field["default"]) == ("architecture", "middle")


def test_fields_of_an_unknown_key() -> None:
    result = run("fields", "ttt.layer")
    assert (result.code, result.err) == (
        2,
        "error: ttt.layer: no setting has this name (did you mean ttt.layers?)\n",
    )


def test_history_tells_every_version() -> None:
    lines = run("history").out.splitlines()
    heads = [line.split()[1] for line in lines if line.startswith("version ")]
    assert heads == [str(version) for version in range(TTT_MOSHI.head + 1)]


def test_history_as_json() -> None:
    (version,) = run("history", "4", "--output", "json").json
    assert set(version) == {"version", "date", "summary", "evidence", "operations"}
    assert [one["path"] for one in version["operations"]] == ["ttt.weight_lr_multiplier", "ttt.alpha_lr_multiplier"]


@pytest.mark.parametrize("version", ["8", "-1", "x"])
def test_history_of_a_version_that_is_none(version: str) -> None:
    result = run("history", "--", version)
    assert (result.code, result.out) == (2, "")


def test_version() -> None:
    assert run("--version").out == f"tttcfg {tttcfg.__version__}\n"


def test_no_arguments_show_the_help() -> None:
    """Without a command the help is shown and the exit code says that nothing was done."""
    result = run()
    assert result.code == 2
    assert "Commands:" in result.out + result.err
