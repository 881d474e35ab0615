"""`tttcfg scrub` as a process: what it prints, writes and ends with."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.builders import SECRET, checkpoint, document_file, old_document, trained, write_json
from tests.cli.process import Result, run

KEYS = {"wandb.key": SECRET}


def scrub(*arguments: str | Path, code: int = 0, cwd: Path | None = None) -> Result:
    result = run("scrub", *arguments, cwd=cwd)
    assert result.code == code, result.err
    assert SECRET not in result.out + result.err
    assert "Traceback" not in result.err
    return result


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A run with an old document, its backup, what a crash left, args.yaml, and one without secrets."""
    made = document_file(checkpoint(tmp_path / "run", old_document(3, KEYS)))
    write_json(made.with_name("training_config.json.v2.bak"), old_document(2, KEYS))
    write_json(tmp_path / "run" / "tmp.consolidated" / "training_config.json", old_document(1, KEYS))
    (tmp_path / "run" / "args.yaml").write_text(f"# mine\nwandb:\n  key: {SECRET}  # renew\nseed: 1\n")
    (tmp_path / "run" / "notes.txt").write_text("notes\n")
    trained(tmp_path / "now")
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            path.chmod(0o640)
    return tmp_path


def test_the_plan_changes_nothing_and_names_every_place(tree: Path) -> None:
    before = contents(tree)
    result = scrub(".", cwd=tree)
    inside = "run/checkpoints/checkpoint_001000/consolidated/training_config.json"
    lines = result.out.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        *("./run/args.yaml", f"./{inside}", f"./{inside}.v2.bak", "./run/tmp.consolidated/training_config.json")
    ]
    assert lines[0] == "./run/args.yaml:3:8: wandb.key would become null"
    assert lines[-1] == "4 to scrub, 1 without secrets, 0 failed; --write does it"
    assert contents(tree) == before


def test_writing_removes_every_secret_and_keeps_no_copy(tree: Path) -> None:
    before = contents(tree)
    result = scrub(tree, "--write")
    assert result.out.splitlines()[-1] == "4 scrubbed, 1 without secrets, 0 failed"
    assert "renew what was removed" in result.err
    after = contents(tree)
    assert after.keys() == before.keys()
    for name, data in after.items():
        secret = SECRET if name.endswith(".yaml") else f'"{SECRET}"'
        assert data == before[name].replace(secret.encode(), b"null"), name
        assert stat.S_IMODE((tree / name).stat().st_mode) == 0o640
    again = scrub(tree, "--write")
    assert (again.out, again.err) == ("0 scrubbed, 5 without secrets, 0 failed\n", "")
    assert contents(tree) == after


def test_json_has_every_file(tree: Path) -> None:
    found = scrub(tree, "--output", "json").json
    assert found["summary"] == {"planned": 4, "clean": 1}
    first = next(one for one in found["files"] if one["path"].endswith("args.yaml"))
    assert first["secrets"] == [{"key": "wandb.key", "line": 3, "column": 8, "becomes": "null"}]
    assert (first["status"], first["problems"]) == ("planned", [])


def test_the_rest_goes_on_where_one_fails(tree: Path) -> None:
    (tree / "run" / "args.yml").write_text(f"wandb: {{key: {SECRET}")
    result = scrub(tree, "--write", code=1)
    assert result.out.splitlines()[-1] == "4 scrubbed, 1 without secrets, 1 failed"
    assert "failed " in result.err


def test_what_is_left_to_be_done_by_hand_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "args.yaml").write_text(f"wandb: {{key: {SECRET}}}\n# {SECRET}\n")
    result = scrub(tmp_path, "--write", code=1)
    assert "1 scrubbed" in result.out
    assert f"left {tmp_path}/args.yaml:2:3: " in result.err


def test_a_key_that_is_no_secret_is_named(tmp_path: Path) -> None:
    path = write_json(tmp_path / "training_config.json", {"extensions": {"text": {"pad_token": "<pad>"}}})
    assert "extensions.text.pad_token would become (withheld)" in scrub(path).out
    assert scrub(path, "--keep", "extensions.text.pad_token").out.startswith("0 to scrub")


def test_a_secret_of_another_family_is_known_by_the_documents_own(tmp_path: Path) -> None:
    from tests.families import REFERENCE, install, write_family

    write_family(tmp_path)
    config = tmp_path / "other" / "config.py"
    secret = '    pin: str | None = setting(None, role=Role.SECRET, description="Access.")\n'
    config.write_text(config.read_text().replace("    learning_rate", f"{secret}    learning_rate"))
    install(tmp_path, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    path = write_json(tmp_path / "run" / "training_config.json", {"$schema": "urn:tttcfg:other:v0000", "pin": SECRET})
    found = run("scrub", "run", cwd=tmp_path, PYTHONPATH=str(tmp_path)).out
    assert "pin would become null" in found
    assert "pin would become null" in run("scrub", path, "--family", REFERENCE, cwd=tmp_path).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such"),
        (["."], "no training_config.json, backup, args.yaml or weights file in ."),
        ([".", "--family", "unknown"], "there is no family of this name"),
        ([], "Missing argument"),
    ],
    ids=["nowhere", "empty", "family", "nothing"],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("scrub", *arguments, cwd=tmp_path)
    assert result.code == 2
    assert message in result.err
