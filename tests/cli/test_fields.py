"""`tttcfg fields` and the command without a subcommand, as processes."""

from __future__ import annotations

import tttcfg
from tests.cli.process import run
from tttcfg.ttt_moshi.family import TTT_MOSHI


def test_fields_lists_every_field() -> None:
    """One line per field, the secret's included: it describes the field and does not show its value."""
    lines = run("fields").out.splitlines()
    assert [line.split()[0] for line in lines] == ["KEY", *TTT_MOSHI.fields]


def test_fields_of_an_old_spelling() -> None:
    """An old name leads to today's field and its history."""
    result = run("fields", "ttt.use_rope")
    assert result.out.startswith("ttt.rope_mode\n")
    assert "version 7: renamed" in result.out


def test_fields_as_json() -> None:
    (field,) = run("fields", "ttt.layers", "--output", "json").json
    assert set(field) == {"key", "role", "unit", "default", "description", "history", "required"}
    assert (field["role"], field["default"]) == ("architecture", "middle")


def test_fields_of_a_section_that_moved() -> None:
    """An old section leads to today's sections; what is no setting any more is left out."""
    result = run("fields", "paper_metrics.librilight_streaming")
    assert result.err == (
        "paper_metrics.librilight_streaming is an old name: its settings are in evaluation.librilight.streaming now\n"
    )
    names = [line.split()[0] for line in result.out.splitlines()[1:]]
    assert names == [name for name in TTT_MOSHI.fields if name.startswith("evaluation.librilight.streaming.")]


def test_fields_of_an_unknown_key() -> None:
    result = run("fields", "ttt.layer")
    assert result.code == 2
    assert result.err.startswith("error: ttt.layer: no setting")


def test_version() -> None:
    assert run("--version").out == f"tttcfg {tttcfg.__version__}\n"


def test_no_arguments_show_the_help() -> None:
    """Without a command the help is shown and the exit code shows that nothing was done."""
    result = run()
    assert result.code == 2
    assert "Commands:" in result.out + result.err
