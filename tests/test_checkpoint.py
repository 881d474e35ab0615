"""Finding a checkpoint from any path into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.builders import checkpoint
from tttcfg.checkpoint import find_checkpoint
from tttcfg.errors import InputError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with three checkpoints and a half-written fourth."""
    for step in (999_999, 1_000_000, 1000):
        checkpoint(tmp_path / "run", {}, step=step)
    half = tmp_path / "run" / "checkpoints" / "checkpoint_2000000" / "tmp.consolidated"
    half.mkdir(parents=True)
    (half / "training_config.json").write_text("{}")
    return tmp_path / "run"


def test_a_run_folder_means_its_newest_checkpoint_by_number(run: Path) -> None:
    newest = run / "checkpoints" / "checkpoint_1000000" / "consolidated"
    for path in (run, run / "checkpoints", f"{run}/"):
        found = find_checkpoint(path)
        assert Path(found.folder) == newest


@pytest.mark.parametrize(
    "inside",
    ["", "/", "/consolidated", "/consolidated/", "/consolidated/config.json", "/consolidated/consolidated.safetensors"],
)
def test_any_path_into_a_checkpoint_finds_it(inside: str, run: Path) -> None:
    found = find_checkpoint(f"{run}/checkpoints/checkpoint_001000{inside}")
    assert os.path.normpath(found.folder) == str(run / "checkpoints" / "checkpoint_001000" / "consolidated")
    assert found.document is not None
    assert found.model_config is not None


@pytest.mark.parametrize("inside", ["optimizer_state.pt", "README", "consolidated/args.yaml", "consolidated/log"])
def test_any_file_in_a_checkpoint_finds_it(inside: str, run: Path) -> None:
    folder = run / "checkpoints" / "checkpoint_001000"
    (folder / inside).write_text("x")
    assert Path(find_checkpoint(folder / inside).folder) == folder / "consolidated"


def test_a_stray_model_config_does_not_make_a_run_folder_a_checkpoint(run: Path) -> None:
    (run / "config.json").write_text("{}")
    (run / "checkpoints" / "config.json").write_text("{}")
    (run / "checkpoints" / "checkpoint_001000" / "config.json").write_text("{}")
    newest = run / "checkpoints" / "checkpoint_1000000" / "consolidated"
    assert Path(find_checkpoint(run).folder) == Path(find_checkpoint(run / "checkpoints").folder) == newest
    inside = run / "checkpoints" / "checkpoint_001000"
    assert Path(find_checkpoint(inside / "config.json").folder) == inside / "consolidated"
    with pytest.raises(InputError, match="is no file of a checkpoint"):
        find_checkpoint(run / "config.json")


@pytest.mark.parametrize("below", ["checkpoints", "consolidated"])
def test_a_run_folder_without_a_finished_checkpoint_is_none(below: str, tmp_path: Path) -> None:
    (tmp_path / below).mkdir()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds no checkpoint"):
        find_checkpoint(tmp_path)


def test_a_model_config_alone_is_a_checkpoint_where_nothing_better_is_below(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path, tmp_path / "config.json"):
        found = find_checkpoint(path)
        assert (found.folder, found.document) == (str(tmp_path), None)


def test_a_document_beside_checkpoints_is_taken_for_what_it_is(run: Path) -> None:
    (run / "training_config.json").write_text("{}")
    assert find_checkpoint(run).folder == str(run)


def test_an_empty_path_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable of a shell means no folder, least of all the one we are in."""
    monkeypatch.chdir(run)
    with pytest.raises(InputError, match="the path is empty"):
        find_checkpoint("")


def test_a_relative_path_finds_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run / "checkpoints" / "checkpoint_001000" / "consolidated")
    for path in (".", "config.json", "../..", "../../checkpoint_001000"):
        assert find_checkpoint(path).document is not None


def test_files_that_are_not_there_are_none(tmp_path: Path) -> None:
    found = find_checkpoint(checkpoint(tmp_path, model=None))
    assert (found.document, found.model_config) == (None, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "there is no such checkpoint"),
        ("absent/config.json", "there is no such checkpoint"),
        ("empty", "holds no checkpoint: no consolidated folder, no checkpoint_NNNNNN folder"),
        ("notes.txt", "is no file of a checkpoint"),
        ("run/checkpoints/checkpoint_2000000", "holds no checkpoint"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("a\0b", "is no path"),
    ],
)
def test_what_is_no_checkpoint_is_refused(name: str, message: str, run: Path) -> None:
    (run.parent / "empty").mkdir()
    (run.parent / "notes.txt").write_text("x")
    (run.parent / "loop").symlink_to("loop")
    with pytest.raises(InputError) as caught:
        find_checkpoint(run.parent / name)
    assert message in str(caught.value)
