"""What a document records of its weights: each file alone, whatever it is called; and saving beside weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import write_json
from tests.cli.process import run
from tests.safetensors.files import weights_file
from tests.verification.bound import MODEL, TENSORS, TRAINED, changed, contradicted, filled, made, put, sidecar, state
from tttcfg import ContradictionError, InputError
from tttcfg.safetensors.header import read_header
from tttcfg.verification.tags import EMBEDDED, tag_of

OTHER = {**TENSORS, "text_emb.weight": ("BF16", [60, MODEL["dim"]])}
"""Tensors that fit the same configuration and are not the same."""


def records(weights: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tttcfg.load_document(sidecar(weights)).provenance["weights"]
    return found


def record(path: Path) -> dict[str, str]:
    return {"file": path.name, "header": read_header(path).digest}


# Several files, and names that change


def test_two_files_of_one_folder_are_bound_separately(tmp_path: Path) -> None:
    one = made(tmp_path)
    other = weights_file(one.with_name("lora.safetensors"), OTHER)
    assert tttcfg.bind(one).state == "bound"
    assert state(other) == "unbound"
    assert f"with other weights ('{one.name}')" in tttcfg.inspect_weights(other).binding_reason
    assert tttcfg.bind(other).state == "bound"
    assert (state(one), state(other)) == ("bound", "bound")
    assert records(one) == [record(one), record(other)]
    found = tttcfg.bind(one, changed(sidecar(one), {"ttt.base_lr": 0.75}))
    assert found.state == "bound"
    assert f"{other} beside it was saved with another configuration: bind that as well" in found.reason
    assert tttcfg.bind(other, tttcfg.load_document(sidecar(one))).reason.count("beside it") == 0


def test_a_document_of_which_no_file_is_there_may_be_anothers(tmp_path: Path) -> None:
    """Copied beside weights of another name: a warning, and nothing is bound to it but on purpose."""
    there = made(tmp_path / "there")
    tttcfg.bind(there)
    here = weights_file(tmp_path / "here" / "lora.safetensors", OTHER)
    shutil.copy(sidecar(there), sidecar(here))
    shutil.copy(there.with_name("config.json"), here.parent)
    [found] = [one for one in tttcfg.resolve(here).findings if one.code == "unbound"]
    assert found.severity == "warning"
    assert "was saved with other weights ('consolidated.safetensors'), and none of those is there" in found.message
    before = here.read_bytes()
    with pytest.raises(ContradictionError, match="none of those is there; put back the one that belongs there"):
        tttcfg.bind(here)
    assert here.read_bytes() == before
    assert tttcfg.bind(here, tttcfg.load_document(sidecar(here))).state == "bound"
    assert records(here) == [record(here)]


@pytest.mark.parametrize("name", ["consolidated.safetensors", "lora.safetensors"])
@pytest.mark.parametrize("first", ["weights", "document"])
def test_what_is_made_of_a_document_records_nothing_of_its_weights(name: str, first: str, tmp_path: Path) -> None:
    """A trainer that goes on from a checkpoint saves the configuration that it read, beside weights of its own."""
    there = made(tmp_path / "there")
    tttcfg.bind(there)
    document, here = tttcfg.load_document(sidecar(there)), tmp_path / "here" / name
    here.parent.mkdir()
    if first == "weights":
        weights_file(here, OTHER, tttcfg.tag_for(document))
    tttcfg.save_document(here.parent, document)
    weights_file(here, OTHER, tttcfg.tag_for(document) if first == "weights" else None)
    assert tttcfg.load_document(sidecar(here)).provenance.get("weights", []) == [record(here)] * (first == "weights")
    assert tttcfg.bind(here).state == "bound"
    assert records(here) == [record(here)]


def test_a_record_leaves_with_its_file_and_with_its_configuration(tmp_path: Path) -> None:
    one = made(tmp_path)
    other = weights_file(one.with_name("lora.safetensors"), OTHER)
    tttcfg.bind(one)
    tttcfg.bind(other)
    tttcfg.bind(one, changed(sidecar(one), {"ttt.base_lr": 0.75}))
    assert records(one) == [record(one)]
    assert "saved with another" in contradicted(other).message
    one.rename(one.with_name("model.safetensors"))
    tttcfg.bind(one.with_name("model.safetensors"))
    assert [each["file"] for each in records(one)] == ["model.safetensors"]


def test_a_renamed_file_stays_bound(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(weights)
    assert state(weights.rename(weights.with_name("final.safetensors"))) == "bound"


def test_other_tensors_under_the_recorded_name_are_an_error(tmp_path: Path) -> None:
    """Even if they have no binding tag."""
    weights = made(tmp_path)
    tttcfg.bind(weights)
    weights_file(weights, OTHER)
    assert "it belongs to another checkpoint" in contradicted(weights).message


@pytest.mark.parametrize("named", [True, False])
def test_one_record_alone_needs_no_list(named: bool, tmp_path: Path) -> None:
    weights = made(tmp_path)
    document = tttcfg.load_document(sidecar(weights))
    kept = {key: value for key, value in record(weights).items() if named or key != "file"}
    put(sidecar(weights), document_with(document, {**kept, "header": "sha256:x"}))
    assert "to another checkpoint" in contradicted(weights).message
    put(sidecar(weights), document_with(document, kept))
    assert state(weights) == "unbound"
    assert tttcfg.bind(weights).state == "bound"
    assert records(weights) == [record(weights)]


@pytest.mark.parametrize("kept", [5, [5], {"header": 5}, [{"header": "sha256:x", "file": 5}], [{"replaces": 5}]])
def test_a_record_that_means_nothing_binds_nothing(kept: Any, tmp_path: Path) -> None:
    weights = made(tmp_path)
    put(sidecar(weights), document_with(tttcfg.load_document(sidecar(weights)), kept))
    assert state(weights) == "unbound"
    assert tttcfg.bind(weights).state == "bound"
    assert records(weights) == [record(weights)]


def document_with(document: tttcfg.Document, kept: Any) -> tttcfg.Document:
    return replace(document, provenance={**document.provenance, "weights": kept})


def test_what_an_adopted_document_records_is_of_its_file(tmp_path: Path) -> None:
    weights = made(tmp_path)
    sidecar(weights).unlink()
    config = write_json(tmp_path / "any.json", {"ttt": {"enable": True, "layers": [1, 2], "base_lr": 0.5}})
    tttcfg.adopt(weights, config)
    assert records(weights) == [record(weights)]


# Saving


Save = Callable[..., Path]


@pytest.fixture(params=["numpy", "torch"])
def saved(request: pytest.FixtureRequest) -> Save:
    """Return what saves a small model as a trainer does and gives the weights, with either `save_file`."""
    library = pytest.importorskip(request.param)
    save_file = pytest.importorskip(f"safetensors.{request.param}").save_file

    def save(folder: Path, configuration: Any, *, embed: bool = False) -> Path:
        tensors = {name: library.zeros(tuple(shape), dtype=library.float32) for name, (_, shape) in TENSORS.items()}
        path = folder / "consolidated.safetensors"
        save_file(tensors, path, metadata=tttcfg.tag_for(configuration, embed=embed))
        tttcfg.canonicalize_header(path)
        tttcfg.save_document(folder, configuration)
        return path

    return save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_json(tmp_path / "checkpoints" / "checkpoint_001000" / "consolidated" / "config.json", MODEL).parent


@pytest.fixture(scope="module")
def training() -> tttcfg.TrainingArgs:
    return tttcfg.resolve(overrides={**TRAINED, "param_dtype": "float32"}).training


@pytest.mark.parametrize("embed", [True, False])
def test_a_trainer_binds_what_it_saves_in_three_lines(
    embed: bool, saved: Save, folder: Path, training: tttcfg.TrainingArgs
) -> None:
    weights = saved(folder, training, embed=embed)
    assert state(folder) == "bound"
    assert records(weights) == [record(weights)]
    metadata = read_header(weights).metadata
    assert metadata["format"] == "pt"
    assert (EMBEDDED in (tag_of(metadata) or {})) is embed


def test_the_saved_bytes_do_not_change_from_save_to_save(
    saved: Save, folder: Path, training: tttcfg.TrainingArgs
) -> None:
    """Although the library writes metadata in an order that does."""
    assert len({saved(folder, training).read_bytes() for _ in range(12)}) == 1


def test_a_checkpoint_may_be_saved_in_a_temporary_folder(
    saved: Save, folder: Path, training: tttcfg.TrainingArgs
) -> None:
    temporary = folder.with_name("temporary")
    temporary.mkdir()
    saved(temporary, training)
    shutil.copy(folder / "config.json", temporary)
    shutil.rmtree(folder)
    assert state(temporary.rename(folder)) == "bound"


@pytest.mark.parametrize("first", ["weights", "document"])
def test_without_a_binding_tag_nothing_is_confirmed(first: str, tmp_path: Path) -> None:
    weights = made(tmp_path)
    document = tttcfg.load_document(sidecar(weights))
    assert "weights" not in document.provenance
    sidecar(weights).unlink()
    if first == "document":
        weights.unlink()
    tttcfg.save_document(weights.parent, document.training)
    filled(weights)
    assert "weights" not in tttcfg.load_document(sidecar(weights)).provenance
    assert state(tmp_path) == "unbound"


@pytest.mark.parametrize("embed", [True, False])
def test_saving_beside_the_weights_of_another_configuration_is_refused(embed: bool, tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(weights, embed=embed)
    before = sidecar(weights).read_bytes()
    other = changed(sidecar(weights), {"ttt.base_lr": 0.75})
    with pytest.raises(ContradictionError, match=r"bind them on purpose"):
        tttcfg.save_document(weights.parent, other)
    assert sidecar(weights).read_bytes() == before
    assert tttcfg.bind(weights, other).state == "bound"
    tttcfg.save_document(weights.parent, other)
    assert state(weights) == "bound"


def test_adopting_beside_weights_of_another_configuration_is_refused(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(weights)
    sidecar(weights).unlink()
    config = write_json(tmp_path / "any.json", {"ttt": {"enable": True, "layers": [1, 2], "base_lr": 0.25}})
    with pytest.raises(ContradictionError, match="saved with another"):
        tttcfg.adopt(weights, config)
    assert not sidecar(weights).exists()


def test_what_is_recorded_stays_as_long_as_the_configuration_does(tmp_path: Path) -> None:
    """Of weights without a binding tag, too, which an adopted document knows by their header alone."""
    weights = made(tmp_path)
    sidecar(weights).unlink()
    tttcfg.adopt(weights)
    tttcfg.save_document(weights.parent, tttcfg.resolve(weights))
    assert records(weights) == [record(weights)]
    tttcfg.save_document(weights.parent, tttcfg.resolve(weights, overrides={"ttt.base_lr": 0.75}))
    assert "weights" not in tttcfg.load_document(sidecar(weights)).provenance


def test_the_command_line_writes_a_document_as_it_is_saved(tmp_path: Path) -> None:
    """Over a bound checkpoint's own, with its records; and none of another configuration."""
    weights = made(tmp_path)
    tttcfg.bind(weights)
    again = ("resolve", "--checkpoint", weights, "--write", sidecar(weights))
    assert run(*again).code == 0
    assert (records(weights), state(weights)) == ([record(weights)], "bound")
    before = sidecar(weights).read_bytes()
    refused = run(*again, "ttt.base_lr=0.125")
    assert refused.code == 1
    assert "bind them on purpose" in refused.err
    assert sidecar(weights).read_bytes() == before
    sidecar(weights).unlink()
    assert run(*again, "ttt.base_lr=0.125").code == 1
    assert not sidecar(weights).exists()


def test_a_document_of_another_name_is_nothing_to_the_weights(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(weights)
    path = tttcfg.save_document(weights.with_name("other.json"), tttcfg.TrainingArgs())
    assert tttcfg.load_document(path).training == tttcfg.TrainingArgs()


def test_broken_weights_do_not_keep_a_document_from_being_saved(tmp_path: Path) -> None:
    weights = made(tmp_path)
    document = tttcfg.load_document(sidecar(weights))
    weights.write_bytes(b"torn")
    tttcfg.save_document(weights.parent, document)
    assert "weights" not in tttcfg.load_document(sidecar(weights)).provenance


def test_what_is_no_configuration_makes_no_binding_tag() -> None:
    with pytest.raises(InputError, match="is a NoneType, not a TrainingArgs"):
        tttcfg.tag_for(None)
