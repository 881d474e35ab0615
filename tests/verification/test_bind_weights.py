"""Weights and configuration that name each other: bound, unbound or contradicted; and binding those that exist."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import HEAD, NUMBERED, checkpoint, document_file, old_document
from tests.calls import calls
from tests.cli.process import run
from tests.safetensors.files import weights_file
from tests.verification.bound import (
    DATA,
    MODEL,
    TENSORS,
    changed,
    contradicted,
    filled,
    in_shards,
    made,
    put,
    sidecar,
    state,
)
from tttcfg import ContradictionError, InputError, WriteError
from tttcfg.documents.checkpoint import read_model_config
from tttcfg.documents.document import parse_document
from tttcfg.evidence.evidence import gather
from tttcfg.safetensors.header import read_header
from tttcfg.safetensors.metadata import rewrite
from tttcfg.ttt_moshi.derive import derive
from tttcfg.verification import bind as binding_module
from tttcfg.verification.tags import TAG_KEY, tag_of

# Binding


@pytest.mark.parametrize("into", ["run", "consolidated", "weights", "document"])
def test_binding_makes_weights_and_document_name_each_other(into: str, tmp_path: Path) -> None:
    weights = made(tmp_path)
    paths = {"run": tmp_path, "consolidated": weights.parent, "weights": weights, "document": sidecar(weights)}
    assert state(tmp_path) == "unbound"
    assert tttcfg.bind(paths[into]).state == "bound"
    assert state(tmp_path) == "bound"
    document, header = tttcfg.load_document(sidecar(weights)), read_header(weights)
    assert document.provenance["weights"] == [{"file": weights.name, "header": header.digest}]
    assert header.metadata["format"] == "pt"
    assert json.loads(header.metadata[TAG_KEY]) == {
        "digest": tttcfg.resolve(tmp_path).digest,
        "family": "ttt_moshi",
        "schema_version": HEAD,
    }
    assert weights.read_bytes()[header.data_start :] == DATA
    assert sorted(os.listdir(weights.parent)) == ["config.json", weights.name, "training_config.json"]


def test_binding_again_changes_nothing(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in (weights, sidecar(weights))}
    assert tttcfg.bind(tmp_path).state == "bound"
    assert {path: (path.read_bytes(), path.stat().st_ino) for path in before} == before


def test_binding_what_is_bound_reads_everything_once(tmp_path: Path) -> None:
    made(tmp_path)
    tttcfg.bind(tmp_path)
    counted = calls(lambda: tttcfg.bind(tmp_path), parse_document, read_header, gather, derive, read_model_config)
    assert counted == {"parse_document": 1, "read_header": 1, "gather": 1, "derive": 1, "read_model_config": 1}


def test_binding_again_moves_no_key(tmp_path: Path) -> None:
    path = sidecar(made(tmp_path))
    tttcfg.bind(tmp_path)
    document = json.loads(path.read_bytes())
    document["provenance"] = {"weights": document["provenance"].pop("weights"), **document["provenance"]}
    path.write_text(json.dumps(document, indent=2) + "\n")
    for embed in (None, True, False):
        tttcfg.bind(tmp_path, embed=embed)
        found = json.loads(path.read_bytes())
        assert list(found["provenance"]) == list(document["provenance"])
        assert found == document


def test_the_bytes_of_bound_weights_depend_on_nothing_else(tmp_path: Path) -> None:
    """Neither on when they were bound, nor on what they were bound to before."""
    one, other = made(tmp_path / "one"), made(tmp_path / "other", {"ttt.base_lr": 0.25})
    tttcfg.bind(one)
    tttcfg.bind(other, embed=True)
    tttcfg.bind(other, tttcfg.load_document(sidecar(one)), embed=False)
    assert one.read_bytes() == other.read_bytes()


def test_what_else_the_metadata_holds_stays(tmp_path: Path) -> None:
    weights = made(tmp_path, metadata={"step": "100", "format": "mlx"})
    tttcfg.bind(tmp_path)
    metadata = read_header(weights).metadata
    assert (metadata["step"], metadata["format"]) == ("100", "mlx")


@pytest.mark.parametrize("form", ["training", "effective", "document", "tree"])
def test_any_form_of_a_configuration_can_be_bound(form: str, tmp_path: Path) -> None:
    weights = made(tmp_path)
    effective = tttcfg.resolve(tmp_path)
    document = tttcfg.load_document(sidecar(weights))
    tree = json.loads(sidecar(weights).read_bytes())
    forms = {"training": effective.training, "effective": effective, "document": document, "tree": tree}
    sidecar(weights).unlink()
    assert tttcfg.bind(tmp_path, forms[form]).state == "bound"
    assert tttcfg.resolve(tmp_path).training == effective.training


def test_a_document_of_an_older_version_is_upgraded_and_kept_beside(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, old_document(6, {"ttt.enable": True, "ttt.layers": "1,2"}), MODEL)
    filled(folder / "consolidated" / "consolidated.safetensors")
    before = document_file(folder).read_bytes()
    assert tttcfg.bind(tmp_path).state == "bound"
    document = tttcfg.load_document(document_file(folder))
    assert (document.version, document.provenance["migrated_from"]) == (HEAD, 6)
    assert Path(f"{document_file(folder)}.v6.bak").read_bytes() == before


def test_a_configuration_that_loses_its_place_is_kept_beside(tmp_path: Path) -> None:
    weights = made(tmp_path)
    before = sidecar(weights).read_bytes()
    tttcfg.bind(tmp_path, changed(sidecar(weights), {"seed": 7}))
    assert Path(f"{sidecar(weights)}.bak").read_bytes() == before


def test_a_broken_document_is_an_error_unless_another_takes_its_place(tmp_path: Path) -> None:
    weights = made(tmp_path)
    training = tttcfg.resolve(tmp_path).training
    sidecar(weights).write_text("{")
    with pytest.raises(InputError):
        tttcfg.bind(tmp_path)
    assert tttcfg.bind(tmp_path, training).state == "bound"
    assert Path(f"{sidecar(weights)}.bak").read_text() == "{"


def test_every_file_of_a_sharded_checkpoint_is_marked(tmp_path: Path) -> None:
    folder = in_shards(tmp_path, "one.safetensors", "two.safetensors")
    assert tttcfg.bind(tmp_path, embed=True).state == "bound"
    metadata = [read_header(folder / name).metadata for name in ("one.safetensors", "two.safetensors")]
    assert metadata[0] == metadata[1]
    sidecar(folder / "one.safetensors").unlink()
    assert tttcfg.resolve(tmp_path).training.ttt.base_lr == 0.5


# What is refused


@pytest.mark.parametrize(
    ("tensors", "values", "key"),
    [
        ({name: ("F32", shape) for name, (_, shape) in TENSORS.items()}, {}, "param_dtype"),
        (TENSORS, {"ttt.layers": [40]}, "ttt.layers"),
    ],
    ids=["tensors", "model"],
)
def test_a_configuration_that_the_tensors_contradict_is_not_bound(
    tensors: Any, values: dict[str, Any], key: str, tmp_path: Path
) -> None:
    weights = made(tmp_path, values)
    weights_file(weights, tensors)
    before = {path: path.read_bytes() for path in weights.parent.iterdir()}
    with pytest.raises(ContradictionError) as caught:
        tttcfg.bind(tmp_path)
    assert any(key in (problem.key, str(problem)) or key in str(problem) for problem in caught.value.problems)
    assert {path: path.read_bytes() for path in weights.parent.iterdir()} == before


def test_settings_that_are_absent_from_a_document_are_not_bound(tmp_path: Path) -> None:
    """The tensors refute a default; resolving takes what they prove, and that can be bound."""
    weights = made(tmp_path)
    tree = json.loads(sidecar(weights).read_bytes())
    del tree["ttt"]["enable"], tree["ttt"]["layers"]
    sidecar(weights).write_text(json.dumps(tree))
    assert tttcfg.verify(tmp_path).verdicts["ttt.enable"].outcome == "verified"
    with pytest.raises(ContradictionError) as caught:
        tttcfg.bind(tmp_path)
    [problem] = caught.value.problems
    assert problem.key == "ttt.enable"
    assert problem.message.startswith("is false, but")
    assert problem.place == f"{sidecar(weights)} (absent; the default of version {HEAD})"
    assert problem.advice.endswith("tttcfg.bind(path, tttcfg.resolve(path))")
    assert tttcfg.bind(tmp_path, tttcfg.resolve(tmp_path)).state == "bound"
    assert tttcfg.load_document(sidecar(weights)).training.ttt.layers == (1, 2)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    weights = made(tmp_path)
    os.truncate(weights, weights.stat().st_size - 1)
    with pytest.raises(InputError, match="its header promises"):
        tttcfg.bind(tmp_path)


def test_without_weights_there_is_nothing_to_bind(tmp_path: Path) -> None:
    made(tmp_path).unlink()
    with pytest.raises(InputError, match="holds no weights"):
        tttcfg.bind(tmp_path)


def test_without_a_configuration_there_is_nothing_to_bind_to(tmp_path: Path) -> None:
    sidecar(made(tmp_path)).unlink()
    with pytest.raises(InputError, match=r"there is no training_config\.json; give the configuration"):
        tttcfg.bind(tmp_path)


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = made(tmp_path)
    before = {path: path.read_bytes() for path in weights.parent.iterdir()}
    status = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*status[:4], 0, *status[5:])))
    with pytest.raises(WriteError, match="the disk has 0"):
        tttcfg.bind(tmp_path, changed(sidecar(weights), {"seed": 1}))
    assert {path: path.read_bytes() for path in weights.parent.iterdir()} == before


# The verdict


def test_weights_that_nothing_binds_are_worth_an_information_and_no_more(tmp_path: Path) -> None:
    made(tmp_path)
    found = [one for one in tttcfg.resolve(tmp_path).findings if one.code in ("binding", "unbound")]
    assert [(one.severity, one.code) for one in found] == [("info", "unbound")]
    assert "carries no digest of a configuration" in found[0].message


@pytest.mark.parametrize("bound", [(True, True), (True, False), (False, True)], ids=["both", "here", "there"])
def test_another_configuration_copied_beside_the_weights_is_an_error(bound: tuple[bool, bool], tmp_path: Path) -> None:
    """Equal shapes or not: of two bound checkpoints, or where only one of the two was."""
    here, there = made(tmp_path / "here"), made(tmp_path / "there", {"ttt.base_lr": 0.25})
    if not bound[0]:
        weights_file(there, {**TENSORS, "text_emb.weight": ("BF16", [60, MODEL["dim"]])})
    for path, wanted in zip((here, there), bound, strict=True):
        if wanted:
            tttcfg.bind(path)
    shutil.copy(sidecar(there), sidecar(here))
    assert "put back the one" in contradicted(tmp_path / "here").message
    before = {path: path.read_bytes() for path in here.parent.iterdir()}
    with pytest.raises(ContradictionError, match=r"bind them on purpose: tttcfg\.bind\(path, configuration\)"):
        tttcfg.bind(here)
    assert {path: path.read_bytes() for path in here.parent.iterdir()} == before
    assert tttcfg.bind(here, tttcfg.load_document(sidecar(here))).state == "bound"
    assert tttcfg.resolve(here).training.ttt.base_lr == 0.25


def test_the_command_line_leaves_with_one(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(tmp_path)
    put(sidecar(weights), changed(sidecar(weights), {"ttt.base_lr": 0.75}))
    done = run("resolve", "--checkpoint", tmp_path)
    assert done.code == 1
    assert "saved with another" in done.err


def test_a_training_field_that_differs_contradicts_nothing(tmp_path: Path) -> None:
    weights = made(tmp_path)
    tttcfg.bind(tmp_path)
    tttcfg.save_document(sidecar(weights), changed(sidecar(weights), {"seed": 7}))
    assert state(tmp_path) == "bound"


def test_an_override_contradicts_no_binding(tmp_path: Path) -> None:
    made(tmp_path)
    tttcfg.bind(tmp_path)
    assert tttcfg.verify(tmp_path, overrides={"ttt.base_lr": 0.75}).binding == "bound"


def test_a_binding_tag_of_a_newer_version_is_no_verdict(tmp_path: Path) -> None:
    tag = {"digest": "sha256:x", "schema_version": HEAD + 1, "training": {"new": 1}}
    weights = made(tmp_path, metadata={TAG_KEY: json.dumps(tag)})
    found = tttcfg.inspect_weights(tmp_path)
    assert found.binding == "unbound"
    assert "pip install --upgrade tttcfg" in found.binding_reason
    refuses_to_replace(weights)


def refuses_to_replace(weights: Path) -> None:
    """Only the tag shows whose configuration the weights have; it is replaced only where that is asked for."""
    before = {path: path.read_bytes() for path in weights.parent.iterdir()}
    with pytest.raises(InputError, match=r"nothing was written; to replace it on purpose: tttcfg\.bind\(path, conf"):
        tttcfg.bind(weights)
    assert {path: path.read_bytes() for path in weights.parent.iterdir()} == before
    assert tttcfg.bind(weights, tttcfg.load_document(sidecar(weights))).state == "bound"


def test_beside_a_tag_of_a_newer_version_no_document_is_written(tmp_path: Path) -> None:
    weights = made(tmp_path, metadata={TAG_KEY: json.dumps({"digest": "sha256:x", "schema_version": HEAD + 1})})
    document = tttcfg.load_document(sidecar(weights))
    sidecar(weights).unlink()
    with pytest.raises(InputError, match="pip install --upgrade tttcfg"):
        tttcfg.save_document(weights.parent, document)
    with pytest.raises(InputError, match="pip install --upgrade tttcfg"):
        tttcfg.adopt(weights)
    assert not sidecar(weights).exists()


@pytest.mark.parametrize("version", range(NUMBERED))
def test_a_tag_of_a_version_that_bound_nothing_is_no_verdict(version: int, tmp_path: Path) -> None:
    weights = made(tmp_path, metadata={TAG_KEY: json.dumps({"digest": "sha256:x", "schema_version": version})})
    assert state(tmp_path) == "unbound"
    refuses_to_replace(weights)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "[" * 5000, "1", f'{{"digest":1,"schema_version":{HEAD}}}', '{"digest":"x"}', "9" * 5000]
    + [json.dumps({"digest": "x", "schema_version": version}) for version in (True, -1, float(HEAD), str(HEAD), None)]
    + [json.dumps({"digest": "x", "schema_version": HEAD, "pad": "x" * (1 << 20)})],
    ids=str,
)
def test_a_tag_that_cannot_be_read_binds_nothing(text: str, tmp_path: Path) -> None:
    weights = made(tmp_path, metadata={TAG_KEY: text})
    assert "a binding tag that cannot be read" in tttcfg.inspect_weights(tmp_path).binding_reason
    refuses_to_replace(weights)


# Several files


@pytest.mark.parametrize("sidecar_too", [True, False])
def test_a_shard_of_another_configuration_is_an_error_and_named(sidecar_too: bool, tmp_path: Path) -> None:
    here, there = (in_shards(tmp_path / name, "one.safetensors", "two.safetensors") for name in ("here", "there"))
    tttcfg.bind(here)
    tttcfg.bind(there, changed(there / "training_config.json", {"ttt.base_lr": 0.75}))
    shutil.copy(there / "two.safetensors", here)
    if not sidecar_too:
        (here / "training_config.json").unlink()
    assert f"{here / 'two.safetensors'}" in contradicted(here).message
    with pytest.raises((ContradictionError, InputError)):
        tttcfg.bind(here)
    assert tttcfg.bind(here, tttcfg.load_document(there / "training_config.json")).state == "bound"


def test_a_shard_without_a_tag_leaves_the_weights_unbound(tmp_path: Path) -> None:
    folder = in_shards(tmp_path, "one.safetensors", "two.safetensors")
    tttcfg.bind(folder)
    rewrite(folder / "two.safetensors", {})
    found = tttcfg.inspect_weights(folder)
    assert found.binding == "unbound"
    assert str(folder / "two.safetensors") in found.binding_reason
    assert tttcfg.bind(folder).state == "bound"


# Breaking off


class _Died(BaseException):
    """Raised where the process would be killed."""


@pytest.mark.parametrize("embed", [True, False])
@pytest.mark.parametrize("written", range(4))
def test_what_is_broken_off_is_never_a_contradiction_and_binding_again_repairs_it(
    written: int, embed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bound anew to another configuration: document, weights, document are written; it may die before any of them."""
    weights = made(tmp_path)
    tttcfg.bind(tmp_path, embed=embed)
    new, left, real = changed(sidecar(weights), {"ttt.base_lr": 0.75, "seed": 3}), [written], os.replace

    def dying(*arguments: Any) -> None:
        if not left[0]:
            raise _Died
        left[0] -= 1
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        if written < 3:
            with pytest.raises(_Died):
                tttcfg.bind(tmp_path, new)
        else:
            tttcfg.bind(tmp_path, new)
    assert state(tmp_path) == ("unbound" if written == 1 else "bound")
    assert tttcfg.resolve(tmp_path).training.ttt.base_lr == (0.75 if written else 0.5)
    assert tttcfg.bind(tmp_path).state == "bound"
    assert "replaces" not in tttcfg.load_document(sidecar(weights)).provenance["weights"][0]
    assert state(tmp_path) == "bound"
    assert ("training" in (tag_of(read_header(weights).metadata) or {})) is embed


def test_sharded_weights_that_are_half_marked_are_unbound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = in_shards(tmp_path, "one.safetensors", "two.safetensors", "three.safetensors")
    tttcfg.bind(tmp_path, embed=True)
    real, left = binding_module.rewriting, [0]

    def dying(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise _Died
        return real(*arguments)

    for base_lr, files in ((0.75, 2), (0.25, 1)):  # broken off twice, the files have tags of three configurations
        new, left[0] = changed(folder / "training_config.json", {"ttt.base_lr": base_lr}), files
        with monkeypatch.context() as patch:
            patch.setattr(binding_module, "rewriting", dying)
            with pytest.raises(_Died):
                tttcfg.bind(tmp_path, new)
        assert state(tmp_path) == "unbound"
    assert tttcfg.bind(tmp_path).state == "bound"
    assert all("training" in (tag_of(read_header(path).metadata) or {}) for path in folder.glob("*.safetensors"))
