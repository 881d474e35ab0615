"""`tttcfg migrate --to` an older version: the list of what is lost, and dropping it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tttcfg
from tests.builders import SECRET, checkpoint, document_file, old_document
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
    done = run("migrate", path, "--to", "6", "--write")
    assert done.code == 0, done.err
    assert json.loads(path.read_text("utf-8")) == old_document(6, {**KNOBS})


def test_what_cannot_come_back_is_listed_and_nothing_is_written(tmp_path: Path) -> None:
    path = upgraded(tmp_path, 64)
    before = path.read_bytes()
    done = run("migrate", path, "--to", "6", "--write", "--output", "json")
    assert done.code == 1
    problems = done.json["files"][0]["problems"]
    assert [one["key"] for one in problems] == list(KNOBS)
    assert all("--allow-loss drops it" in one["message"] for one in problems)
    assert path.read_bytes() == before
    done = run("migrate", path, "--to", "6", "--write")
    assert [line.split(": ")[1] for line in done.err.splitlines()] == list(KNOBS)
    assert "ttt was edited since" in done.err


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
    done = run("migrate", path, "--to", "6", "--allow-loss", *write)
    assert done.code == 0, done.err
    dropped = [line.split()[1] for line in done.out.splitlines() if line.strip().startswith("!")]
    assert dropped == list(KNOBS)
    assert "ttt was edited since" in done.out


@pytest.mark.parametrize("output", [[], ["--output", "json"]], ids=["text", "json"])
def test_a_dropped_extension_is_not_listed_as_kept(tmp_path: Path, output: list[str]) -> None:
    path = upgraded(tmp_path, 16)
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**document, "extensions": {"odd": {"schema_version": 0, "a": 1}}}), "utf-8")
    done = run("migrate", path, "--to", "6", "--allow-loss", *output)
    assert "extensions.odd" in done.out
    assert "version 6 has no extensions" in done.out
    assert "as they are" not in done.out
    assert not output or done.json["files"][0]["passed_through"] == []


SECTIONS = [
    {"login": SECRET, "pin": 8675309},
    {"deep": [{"login": SECRET}, 8675309]},
    {SECRET: {SECRET: 8675309}},
    {"schema_version": 1, "provenance": {"note": SECRET}},
]


@pytest.mark.parametrize("section", SECTIONS, ids=repr)
@pytest.mark.parametrize(
    "words", ["", "--write", "--output json", "--write --output json", "--to 6", "--allow-loss", "--allow-loss --write"]
)
def test_of_the_section_of_an_extension_that_is_not_installed_only_the_name_is_shown(
    section: dict[str, object], words: str, tmp_path: Path
) -> None:
    """Which of its settings are secret is not known."""
    path = tttcfg.save_document(tmp_path, tttcfg.TrainingArgs())
    tree = json.loads(path.read_bytes())
    path.write_text(json.dumps({**tree, "extensions": {"foo": section}}))
    done = run("migrate", path, *(words if "--to" in words else f"{words} --to 4 --allow-loss").split())
    assert "extensions.foo" in done.out + done.err
    assert SECRET not in done.out + done.err
    assert "8675309" not in done.out + done.err
    if "json" in words:
        [lost] = [one for one in done.json["files"][0]["changes"] if one["key"].startswith("extensions")]
        assert lost == {
            "kind": "lost",
            "key": "extensions.foo",
            "value": "(withheld)",
            "reason": "version 4 has no extensions",
        }
