"""`tttcfg verify` as a process: its exit code, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import write_json
from tests.cli.process import run
from tests.safetensors.files import weights_file
from tests.verification.bound import made, sidecar


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return made(tmp_path / "run")


def test_settings_of_a_file_that_the_checkpoint_overrides_are_reported(weights: Path, tmp_path: Path) -> None:
    """The exit code is 0, because what would run is right; the difference from the file is reported."""
    config = write_json(tmp_path / "other.json", {"ttt": {"layers": "all", "mini_batch_size": 99}})
    result = run("verify", weights, "--config", config)
    assert result.code == 0
    assert "[restored] ttt.layers: is [1, 2] from the checkpoint, not 'all'" in result.err
    assert "[restored] ttt.mini_batch_size" in result.err


def test_settings_of_a_file_that_the_tensors_refute_are_reported(weights: Path, tmp_path: Path) -> None:
    """Without a document, what the tensors prove is not listed as verified, since no document states it."""
    sidecar(weights).unlink()
    config = write_json(tmp_path / "other.json", {"ttt": {"layers": "all"}})
    result = run("verify", weights, "--config", config)
    assert result.code == 0
    assert f"warning [restored] ttt.layers: is [1, 2], as {weights} (" in result.err
    assert f"proves, not 'all' ({config}:1:10)" in result.err
    taken = [line for line in result.out.splitlines() if line.endswith("(taken from the tensors themselves)")]
    assert ["ttt.layers" in line for line in taken] == [True]
    alone = run("verify", weights, "--config", config, "--restore", "none", "ttt.enable=true")
    assert alone.code == 1
    assert "error [contradiction] ttt.layers: is 'all', which means [0,1,2]" in alone.err


def cut_in_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def broken(path: Path) -> None:
    path.write_bytes((9).to_bytes(8, "little") + b'{"a": 1}]')


@pytest.mark.parametrize("command", [["verify"], ["inspect"]], ids=" ".join)
@pytest.mark.parametrize("spoil", [cut_in_the_header, emptied, made_a_folder, broken])
def test_weights_that_cannot_be_read_are_no_answer(
    weights: Path, spoil: Callable[[Path], None], command: list[str]
) -> None:
    """Standard output is empty then, and standard error names the problem of the file."""
    spoil(weights)
    result = run(*command, weights.parent, "--output", "json")
    assert (result.code, result.out) == (2, "")
    assert str(weights) in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("command", [["verify"], ["inspect"]], ids=" ".join)
def test_weights_whose_data_is_cut_off_are_an_answer(weights: Path, command: list[str]) -> None:
    weights.write_bytes(weights.read_bytes()[:-3])
    result = run(*command, weights, "--output", "json")
    assert (result.code, result.err) == (1, "")
    assert [one["code"] for one in json.loads(result.out)["findings"] if one["severity"] == "error"] == ["truncated"]


def test_weights_of_an_unknown_program_cannot_be_verified(tmp_path: Path) -> None:
    unknown = weights_file(tmp_path / "model.safetensors", {"blocks.0.w": ("F32", (4, 4))})
    assert run("inspect", unknown).code == 0
    result = run("verify", unknown, "--output", "json")
    assert result.code == 1
    assert [one["code"] for one in result.json["findings"] if one["severity"] == "error"] == ["dialect"]


def test_the_error_for_a_path_that_does_not_come_first_says_where_it_goes(weights: Path) -> None:
    result = run("verify", "--checkpoint", weights)
    assert (result.code, result.out) == (2, "")
    assert "the checkpoint's path comes first, without an option, and files go after --config" in result.err


def test_without_weights_there_is_nothing_to_verify(weights: Path) -> None:
    weights.unlink()
    result = run("verify", sidecar(weights).parent, "--output", "json")
    assert (result.code, result.out) == (2, "")
    assert "holds no weights" in result.err
