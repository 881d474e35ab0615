"""Finding a checkpoint from any path into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import tttcfg
from tests.builders import MODEL, checkpoint, trained, write_json
from tests.evidence.dialects.tensors import Size, consolidated
from tests.safetensors.files import weights_file
from tttcfg.documents.checkpoint import find_checkpoint
from tttcfg.errors import InputError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with three checkpoints and a half-written fourth."""
    for step in (999_999, 1_000_000, 1000):
        (checkpoint(tmp_path / "run", {}, step=step) / "consolidated" / "consolidated.safetensors").touch()
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
    with pytest.raises(InputError, match="is not a file"):
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
    (tmp_path / "model.safetensors").touch()
    found = find_checkpoint(tmp_path)
    assert (found.document, found.model_config) == (None, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "there is no such checkpoint"),
        ("absent/config.json", "no such checkpoint"),
        ("empty", "holds no checkpoint: no consolidated folder, no checkpoint_NNNNNN folder"),
        ("notes.txt", "is not a file of a checkpoint"),
        ("run/checkpoints/checkpoint_2000000", "holds neither weights nor training_config.json"),
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


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Path]:
    """A folder of files which are all at memory://run/ as well, from when a test asks for one."""
    yield tmp_path
    fsspec.filesystem("memory").rm("/run", recursive=True)


def serve(folder: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("memory://run/notes.txt", b"x")
    for path in folder.rglob("*.*"):
        files.pipe(f"memory://run/{path.relative_to(folder)}", path.read_bytes())


def bound(run: Path, **values: Any) -> Path:
    """Return the files of a checkpoint whose weights and document are bound to each other."""
    shapes = {name: ("F32", shape) for name, shape in consolidated(Size(), [1, 2], [64]).items()}
    given = {"ttt.enable": True, "ttt.layers": [1, 2], "param_dtype": "float32", **values}
    folder = trained(run, given, {**MODEL, "num_layers": 4}) / "consolidated"
    weights_file(folder / "consolidated.safetensors", shapes)
    assert tttcfg.bind(folder).state == "bound"
    return folder


def test_what_lies_beside_weights_at_a_url_is_read(remote: Path) -> None:
    serve(bound(remote, **{"ttt.mini_batch_size": 8}))
    found = tttcfg.verify("memory://run/consolidated.safetensors")
    assert (found.binding, found.verdicts["ttt.num_layers"].outcome) == ("bound", "verified")
    assert tttcfg.resolve("memory://run/consolidated.safetensors").training.ttt.mini_batch_size == 8


def test_another_document_beside_weights_at_a_url_is_an_error(remote: Path) -> None:
    folder = bound(remote / "a")
    other = bound(remote / "b", **{"ttt.mini_batch_size": 8})
    shutil.copy(other / "training_config.json", folder)
    serve(folder)
    with pytest.raises(tttcfg.ContradictionError) as caught:
        tttcfg.verify("memory://run/consolidated.safetensors")
    assert [problem.code for problem in caught.value.problems] == ["binding"]


@pytest.mark.parametrize(
    "given",
    ["step", "step/", "step/consolidated", "step/consolidated/config.json", "step/consolidated/training_config.json"],
)
def test_a_folder_at_a_url_is_a_checkpoint_by_the_names_in_it(given: str, remote: Path) -> None:
    bound(remote).parent.rename(remote / "step")
    serve(remote)
    found = find_checkpoint(f"memory://run/{given}")
    inside = "memory://run/step/consolidated"
    assert found == (
        inside,
        f"{inside}/training_config.json",
        f"{inside}/config.json",
        (f"{inside}/consolidated.safetensors",),
        (),
        (),
    )


@pytest.mark.parametrize("given", ["", "nothing/", "notes/", "nothing/config.json"])
def test_a_url_where_nothing_is_is_refused(given: str, remote: Path) -> None:
    serve(remote)
    with pytest.raises(InputError, match=r"holds no checkpoint: none of training_config\.json"):
        find_checkpoint(f"memory://run/{given}")


def test_weights_of_any_name_may_be_at_a_url(remote: Path) -> None:
    serve(remote)
    found = find_checkpoint("memory://run/notes.txt")
    assert (found.folder, found.weights) == ("memory://run", ("memory://run/notes.txt",))
    assert found.document is None


def test_a_url_of_this_machine_is_a_path(run: Path) -> None:
    assert find_checkpoint(f"file://{run}") == find_checkpoint(run)


@pytest.mark.parametrize("name", ["checkpoint-{}", "step_{}", "iter_{:07d}", "epoch=1-step={}", "checkpoint_{:06d}"])
def test_steps_are_found_as_other_programs_name_them(name: str, tmp_path: Path) -> None:
    """Hugging Face's trainer, plain scripts, Megatron and Lightning."""
    for step in (900, 1000):
        trained(tmp_path / str(step), {"batch_size": step}).rename(tmp_path / name.format(step))
        shutil.rmtree(tmp_path / str(step))
    assert tttcfg.resolve(tmp_path).training.batch_size == 1000


def hollow(run: Path, step: int, *names: str) -> Path:
    """Make a step that has neither weights nor a configuration, but perhaps other files."""
    folder = run / "checkpoints" / f"checkpoint_{step:06d}" / "consolidated"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("names", [(), ("config.json",), ("config.json", "optimizer.pt")])
def test_a_step_without_weights_and_configuration_is_passed_over_with_a_warning(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    trained(tmp_path, {"batch_size": 3})
    folder = hollow(tmp_path, 2000, *names)
    effective = tttcfg.resolve(tmp_path)
    assert effective.training.batch_size == 3
    (passed_over,) = (one for one in effective.findings if "is passed over" in one.message)
    assert passed_over.severity == "warning"
    assert "checkpoint_001000 is taken" in passed_over.message
    assert "checkpoint_002000" in str(passed_over.place)
    for explicit in (folder, folder.parent, *(folder / name for name in names)):
        with pytest.raises(InputError, match=r"holds neither weights"):
            tttcfg.resolve(explicit)


def test_a_run_of_such_steps_alone_is_refused(tmp_path: Path) -> None:
    hollow(tmp_path, 1000)
    hollow(tmp_path, 2000, "config.json")
    with pytest.raises(InputError, match=r"of its steps \(checkpoint_002000, checkpoint_001000\), none has weights or"):
        tttcfg.resolve(tmp_path)


def test_of_another_programs_config_json_only_what_is_read_has_to_be_sound(tmp_path: Path) -> None:
    folder = trained(tmp_path, {"ttt.enable": True, "ttt.layers": [1]})
    path = folder / "consolidated" / "config.json"
    model = path.read_text()
    path.write_text(model.replace("{", '{"clip": Infinity, "twice": 1, "twice": 2, ', 1))
    assert tttcfg.resolve(folder).ttt is not None
    path.write_text(model.replace("{", '{"dim": NaN, ', 1).replace('"dim": 64', '"other": 64'))
    with pytest.raises(InputError, match=r"config\.json:1:9: dim: NaN"):
        tttcfg.resolve(folder)
    path.write_text("{}")
    missing = {one.key for one in tttcfg.resolve(folder).findings if "is missing" in one.message}
    assert {"dim", "num_heads", "num_layers"} <= missing


def test_an_index_that_only_names_the_file_beside_it_is_no_other_checkpoint(tmp_path: Path) -> None:
    shapes = consolidated(Size(), [1], [64])
    weights_file(tmp_path / "model.safetensors", {name: ("F32", shape) for name, shape in shapes.items()})
    index = {"metadata": {}, "weight_map": dict.fromkeys(shapes, "model.safetensors")}
    write_json(tmp_path / "model.safetensors.index.json", index)
    assert not [one for one in tttcfg.inspect_weights(tmp_path).findings if "was not read" in one.message]
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"a": "other.safetensors"}})
    assert [one for one in tttcfg.inspect_weights(tmp_path).findings if "was not read" in one.message]
