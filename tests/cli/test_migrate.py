"""`tttcfg migrate` as a process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.builders import HEAD, SEED_EXCERPT, checkpoint, document_file, old_document, trained, write_json
from tests.cli.process import Result, run, run_on_terminal
from tttcfg.cli.migrate import REMEMBERED


def migrate(*arguments: str | Path, code: int = 0) -> Result:
    result = run("migrate", "--no-fsync", *arguments)
    assert result.code == code, result.err
    return result


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with one checkpoint of each version from 1 on."""
    for version in range(1, HEAD):
        checkpoint(tmp_path / f"run{version}", old_document(version))
    trained(tmp_path / f"run{HEAD}")
    return tmp_path


def test_plan_changes_nothing(tree: Path) -> None:
    """Without --write every file is as it was, and the summary gives the next command."""
    before = contents(tree)
    result = migrate(tree)
    assert contents(tree) == before
    assert result.out.count("would go from version") == HEAD - 1
    assert result.out.splitlines()[-1].startswith(f"{HEAD - 1} to migrate (1 from version 1 to {HEAD}, ")
    assert result.out.endswith("1 already current, 0 failed; --write does it\n")


def test_the_plan_gives_the_reason_of_every_change(tmp_path: Path) -> None:
    """Changes are listed under their reason; many nulls are one line."""
    lines = migrate(checkpoint(tmp_path, old_document(3))).out.splitlines()
    reason = lines.index("  one learning rate served all parameters")
    assert [line.split() for line in lines[reason + 1 : reason + 3]] == [
        ["+", "ttt.weight_lr_multiplier", "1.0"],
        ["+", "ttt.alpha_lr_multiplier", "1.0"],
    ]
    assert any(line.startswith("    + ") and line.endswith("null") and " more" in line for line in lines)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_write_migrates_all_and_keeps_what_was_there(tree: Path, workers: str) -> None:
    """Every document is current afterwards, the old one lies beside it, and running again does nothing."""
    before = contents(tree)
    result = migrate(tree, "--write", "--workers", workers)
    assert f"{HEAD - 1} migrated" in result.out
    for version in range(1, HEAD):
        name = f"run{version}/checkpoints/checkpoint_001000/consolidated/training_config.json"
        assert json.loads((tree / name).read_text())["schema_version"] == HEAD
        assert (tree / f"{name}.v{version}.bak").read_bytes() == before[name]
    after = contents(tree)
    assert f"0 migrated, {HEAD} already current, 0 failed" in migrate(tree, "--write").out
    assert contents(tree) == after


def test_up_and_down_between_old_versions(tmp_path: Path) -> None:
    """--to N goes up part of the way, and down to the very same document."""
    folder = checkpoint(tmp_path, old_document(4))
    migrate(folder, "--to", "6", "--write")
    assert json.loads(document_file(folder).read_text())["ttt"]["use_rope"] == "legacy"
    migrate(folder, "--write")
    migrate(folder, "--to", "4", "--write")
    assert json.loads(document_file(folder).read_text()) == old_document(4)


def test_loss_is_refused(tmp_path: Path) -> None:
    """What an older version cannot hold stops the file, which stays; --allow-loss drops it."""
    folder = trained(tmp_path, {"ttt.kernel": "triton"})
    before = document_file(folder).read_bytes()
    result = migrate(folder, "--to", "6", "--write", code=1)
    assert "ttt.kernel: version 6" in result.err
    assert document_file(folder).read_bytes() == before
    migrate(folder, "--to", "6", "--write", "--allow-loss")
    assert "kernel" not in json.loads(document_file(folder).read_text())["ttt"]


def test_going_down_shows_a_plan(tmp_path: Path) -> None:
    """A downgrade without --write lists what is dropped and what changes its form."""
    folder = trained(tmp_path, {"ttt.layers": [1, 2]})
    out = migrate(folder, "--to", "6", "--allow-loss").out
    assert "    ~ ttt.layers" in out
    assert "[1, 2] -> 1,2" in out


def test_failures_are_reported_in_full_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Files that cannot be migrated are named one by one; the others are migrated."""
    folder = checkpoint(tmp_path / "good", SEED_EXCERPT)
    bad: list[Any] = [{"a": 1}, {"schema_version": 99}, {"schema_version": True}, {"seed": -1, "batch_size": 0}]
    for index, values in enumerate(bad):
        write_json(tmp_path / f"bad{index}" / "training_config.json", values)
    (tmp_path / "bad0" / "training_config.json.tmp").write_text("left over")
    result = migrate(tmp_path, "--write", code=1)
    assert "1 migrated" in result.out
    assert "4 failed" in result.out
    *lines, last = result.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"failed {tmp_path}/bad{index}/training_config.json" for index in range(len(bad))
    ]
    assert last.startswith(f"       {tmp_path}/bad3/training_config.json:1:")
    assert json.loads(document_file(folder).read_text())["schema_version"] == HEAD


@pytest.mark.parametrize("write", [[], ["--write"]], ids=["plan", "write"])
def test_json_report_is_one_object(tree: Path, write: list[str]) -> None:
    """--output json is one object: every file with its fate, then the counts."""
    write_json(tree / "bad" / "training_config.json", {"a": 1})
    result = migrate(tree, *write, "--output", "json", code=1)
    status = "migrated" if write else "planned"
    assert result.json["summary"] == {"failed": 1, status: HEAD - 1, "current": 1}
    assert {one["status"] for one in result.json["files"]} == {"failed", status, "current"}
    keys = {
        "path",
        "status",
        "version",
        "to",
        "decided_by",
        "problems",
        "changes",
        "passed_through",
        "secrets",
        "backup",
    }
    assert all(set(one) == keys for one in result.json["files"])
    assert all(bool(one["changes"]) == (one["status"] == status) for one in result.json["files"])
    assert result.err == ""


def test_the_json_report_lists_every_change(tmp_path: Path) -> None:
    """A change has its kind, key, reason and value; what is renamed or converted also what is new."""
    checkpoint(tmp_path, old_document(6, {"world_size": -1}))
    changes = {one["key"]: one for one in migrate(tmp_path, "--output", "json").json["files"][0]["changes"]}
    assert changes["world_size"].items() >= {"kind": "converted", "value": -1, "new": None}.items()
    assert changes["optim.eps"].items() >= {"kind": "added", "value": 1e-8}.items()
    assert changes["ttt.use_rope"]["new"] == "ttt.rope_mode"
    assert "new" not in changes["optim.eps"]
    assert all(one["reason"] for one in changes.values())


def test_only_equal_plans_are_folded(tmp_path: Path) -> None:
    """A file whose changes differ from all that were shown is shown in full, of whatever version it is."""
    for index, value in enumerate((5.0, 5.0, 6.0, 5.0)):
        checkpoint(tmp_path / f"run{index}", old_document(6, {"ttt.target_output_norm": value}))
    lines = migrate(tmp_path).out.splitlines()
    first = str(document_file(tmp_path / "run0/checkpoints/checkpoint_001000"))
    folded = [line.partition(":")[0] for line in lines if line.endswith(f"; same changes as {first}")]
    assert folded == [first.replace("run0", f"run{index}") for index in (1, 3)]
    shown = [line.split()[2] for line in lines if "ttt.target_output_norm" in line and line.startswith("    -")]
    assert shown == ["5.0", "6.0"]


def test_few_plans_are_remembered(tmp_path: Path) -> None:
    """Memory does not grow with the number of different plans: after 64 others one is shown again."""
    for index in range(REMEMBERED + 2):
        value = float(index % (REMEMBERED + 1))
        checkpoint(tmp_path / f"{index:03d}", old_document(6, {"ttt.target_output_norm": value}))
    out = migrate(tmp_path).out
    assert out.count("ttt.target_output_norm") == REMEMBERED + 2
    assert "same changes" not in out


def test_a_folder_that_cannot_be_searched_fails_and_the_rest_goes_on(tmp_path: Path) -> None:
    """It is one line of failure, also where it is deeper than the system lets a path be."""
    folder = checkpoint(tmp_path / "good", SEED_EXCERPT)
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    result = migrate(tmp_path, "--write", code=1)
    assert [line[:9] + line[-35:] for line in result.err.splitlines()] == [
        "failed " + str(tmp_path)[:2] + "cannot be searched: File name too long"[-35:]
    ]
    assert "1 migrated" in result.out
    assert "1 failed" in result.out
    assert json.loads(document_file(folder).read_text())["schema_version"] == HEAD


def test_overlapping_folders_are_searched_once(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, SEED_EXCERPT)
    result = migrate(tmp_path, tmp_path, folder.parent, document_file(folder), "--write", "--workers", "2")
    assert "1 migrated" in result.out
    assert "0 already current, 0 failed" in result.out


def test_progress_is_shown_on_a_terminal_only(tree: Path) -> None:
    """The bar knows how many documents there are, and ends before the summary."""
    shown = run_on_terminal("migrate", tree, "--write", "--no-fsync", NO_COLOR="1").out
    assert f"{HEAD}/{HEAD}" in shown
    assert "100%" not in migrate(tree).err
    assert shown.splitlines()[-1].startswith("\x1b[?25h") or shown.splitlines()[-1].startswith(f"{HEAD - 1} migrated")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such"),
        (["."], "no training_config.json in ."),
        ([".", "--to", str(HEAD + 1), "--family", "ttt_moshi"], f"--to: there is no version {HEAD + 1}"),
        ([".", "--workers", "0"], "'--workers'"),
        ([], "Missing argument"),
    ],
    ids=["nowhere", "empty", "to", "workers", "nothing"],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("migrate", *arguments, cwd=tmp_path)
    assert result.code == 2
    assert message in result.err
