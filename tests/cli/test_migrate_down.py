"""`tttcfg migrate --to` an older version: the list of what is lost, and dropping it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import checkpoint, document_file, old_document
from tests.cli.process import run

KNOBS = {"ttt.chunk_size": 25, "ttt.log_inner_loop_losses": True}


def upgraded(tmp_path: Path, mini_batch_size: int) -> Path:
    """Make a checkpoint of version 6, upgrade it with the command, and set one field of its file."""
    folder = checkpoint(tmp_path, old_document(6, {**KNOBS}))
    assert run("migrate", folder, "--write").code == 0
    path = document_file(folder)
    document = json.loads(path.read_text("utf-8"))
    document["ttt"]["mini_batch_size"] = mini_batch_size
    path.write_text(json.dumps(document), "utf-8")
    return path


def test_an_untouched_document_comes_back_value_for_value(tmp_path: Path) -> None:
    path = upgraded(tmp_path, 16)
    told = run("migrate", path, "--to", "6", "--write")
    assert told.code == 0, told.err
    assert json.loads(path.read_text("utf-8")) == old_document(6, {**KNOBS})


def test_what_cannot_come_back_is_listed_and_nothing_is_written(tmp_path: Path) -> None:
    path = upgraded(tmp_path, 64)
    before = path.read_bytes()
    told = run("migrate", path, "--to", "6", "--write", "--output", "json")
    assert told.code == 1
    problem = told.json["files"][0]["problem"]
    assert [line.split(": ")[1] for line in problem.splitlines()] == list(KNOBS)
    assert "was removed, and ttt was edited since, so that it would be stale; --allow-loss drops it" in problem
    assert path.read_bytes() == before
    told = run("migrate", path, "--to", "6", "--write")
    assert [line.split(": ")[1] for line in told.err.splitlines()] == list(KNOBS)
    assert "was removed, and ttt was edited since" in told.err


def test_allow_loss_drops_what_is_listed_and_nothing_else(tmp_path: Path) -> None:
    path = upgraded(tmp_path, 64)
    assert run("migrate", path, "--to", "6", "--write", "--allow-loss").code == 0
    expected = old_document(6, {"ttt.mini_batch_size": 64})
    found = json.loads(path.read_text("utf-8"))
    gone = set(expected["ttt"]) - set(found["ttt"])
    assert set(KNOBS) <= {f"ttt.{name}" for name in gone}
    assert {name: found["ttt"][name] for name in found["ttt"]} == {
        name: value for name, value in expected["ttt"].items() if name not in gone
    }
    assert {**found, "ttt": 0} == {**expected, "ttt": 0}


@pytest.mark.parametrize("write", [[], ["--write"]], ids=["plan", "write"])
def test_what_allow_loss_drops_is_listed(tmp_path: Path, write: list[str]) -> None:
    path = upgraded(tmp_path, 64)
    told = run("migrate", path, "--to", "6", "--allow-loss", *write)
    assert told.code == 0, told.err
    marked = [line.split()[1] for line in told.out.splitlines() if line.strip().startswith("!")]
    assert marked == list(KNOBS)
    assert "ttt was edited since, so that it would be stale" in told.out


@pytest.mark.parametrize("output", [[], ["--output", "json"]], ids=["text", "json"])
def test_an_extension_that_goes_is_not_told_as_kept(tmp_path: Path, output: list[str]) -> None:
    path = upgraded(tmp_path, 16)
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**document, "extensions": {"odd": {"schema_version": 0, "a": 1}}}), "utf-8")
    told = run("migrate", path, "--to", "6", "--allow-loss", *output)
    assert "extensions.odd" in told.out
    assert "version 6 has no extensions" in told.out
    assert "as they are" not in told.out
    assert not output or told.json["files"][0]["passed_through"] == []
