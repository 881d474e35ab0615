"""What a configuration may be written over: nothing of another program's, also through a link."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.verification.bound import changed, made, sidecar
from tttcfg.documents.document import DOCUMENT_CAP
from tttcfg.documents.replaced import replaced_by_writing
from tttcfg.errors import WriteError
from tttcfg.files.storage import CONFIGURATION_CAP
from tttcfg.ttt_moshi.family import TTT_MOSHI

SCRIPTS = "no version has the key 'compilerOptions'"
WRITERS: dict[str, Callable[[Path, Any], object]] = {
    "save": lambda document, new: tttcfg.save_document(document.parent, new),
    "save under a name": tttcfg.save_document,
    "bind": lambda document, new: tttcfg.bind(document.parent, new),
    "adopt": lambda document, _: tttcfg.adopt(document.parent, {"ttt": {"base_lr": 0.5}}),
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


KEPT = {
    "a.yaml": "seed: 3\n",
    "b.json": '{"schema_version": 7}',
    "c.yaml": "ttt:\n  use_rope: true\n",
    "d.toml": "batch_size = 2\n",
    "e.yaml": " \n",
}


@pytest.mark.parametrize("name", KEPT)
def test_a_configuration_of_any_version_and_an_empty_file_may_be_replaced(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, KEPT[name])
    assert replaced_by_writing(path, TTT_MOSHI) == KEPT[name].encode()


def test_a_document_of_a_newer_version_or_another_family_is_one_of_ours(tmp_path: Path) -> None:
    """Its unknown keys are no other program's; what may be done with it, others decide."""
    path = write(tmp_path, "a.json", '{"$schema": "urn:tttcfg:video_dit:v0099", "job": {}, "schema_version": 99}')
    assert replaced_by_writing(path, TTT_MOSHI) == path.read_bytes()


def test_nothing_is_replaced_where_nothing_is(tmp_path: Path) -> None:
    assert replaced_by_writing(tmp_path / "none.yaml", TTT_MOSHI) is None


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.yaml", "shopping: [milk]\n", "no version has the key 'shopping'"),
        ("b.json", "{}", "it has no setting of any version"),
        ("c.yaml", "just text", "not a mapping"),
        ("tsconfig.json", '{"$schema": "https://json.schemastore.org/tsconfig", "compilerOptions": {}}', SCRIPTS),
        (
            "schema.json",
            '{"$schema": "https://json-schema.org/draft/2020-12/schema"}',
            "it has no setting of any version",
        ),
        ("k8s.yaml", "data: {a: b}\napiVersion: v1\nkind: ConfigMap\n", "no version has the key 'apiVersion'"),
        ("lock.json", '{"schema_version": 1, "packages": []}', "no version has the key 'packages'"),
        ("typo.yaml", "seed: 1\nbatchsize: 2\n", "no version has the key 'batchsize'"),
        ("d.json", "{", "a key in double quotes is missing"),
        ("e.yaml", "seed: 1 #" + "x" * CONFIGURATION_CAP, "bytes"),
        ("f.json", '{"seed": 1}' + " " * CONFIGURATION_CAP, ""),
        ("g.json", '{"seed": 1}' + " " * DOCUMENT_CAP, "bytes"),
    ],
)
def test_nothing_else_is_replaced(name: str, text: str, reason: str, tmp_path: Path) -> None:
    """A document may be longer than a file that people write."""
    path = write(tmp_path, name, text)
    if not reason:
        assert replaced_by_writing(path, TTT_MOSHI) == text.encode()
        return
    with pytest.raises(WriteError) as caught:
        replaced_by_writing(path, TTT_MOSHI)
    (problem,) = caught.value.problems
    assert (problem.code, str(problem.place), problem.advice) == ("unwritable", str(path), "give another file name")
    assert problem.message.startswith("is no configuration, and is not replaced: ")
    assert reason in problem.message


def contents(folder: Path) -> dict[str, bytes | str]:
    """Return what is in a folder: of a file its bytes, of a link where it leads."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path): os.readlink(path) if path.is_symlink() else path.read_bytes() for path in found}


@pytest.mark.parametrize("how", WRITERS)
@pytest.mark.parametrize("text", ["#!/bin/sh\n", '{"compilerOptions": {}}'])
def test_what_a_link_leads_to_is_replaced_only_where_it_is_a_configuration(how: str, text: str, tmp_path: Path) -> None:
    document = sidecar(made(tmp_path / "run"))
    new = changed(document, {"ttt.base_lr": 0.25})
    tool = write(tmp_path, "tool.sh", text)
    document.unlink()
    document.symlink_to(tool)
    before = contents(tmp_path)
    with pytest.raises(tttcfg.TttcfgError) as caught:
        WRITERS[how](document, new)
    assert contents(tmp_path) == before
    if how != "adopt":  # which writes where there is nothing at all
        (problem,) = caught.value.problems
        assert isinstance(caught.value, WriteError)
        assert (problem.code, problem.advice) == ("unwritable", "give another file name")
        assert problem.message.startswith(f"leads to {tool}, which is no configuration, and is not replaced: ")


@pytest.mark.parametrize("there", ["empty", "a document", "an old document", "settings", "nothing"])
def test_a_document_that_is_linked_on_purpose_is_followed(there: str, tmp_path: Path) -> None:
    document = sidecar(made(tmp_path / "run"))
    new = changed(document, {"ttt.base_lr": 0.25})
    linked = tmp_path / "linked.json"
    if there == "a document":
        document.rename(linked)
    elif there != "nothing":
        linked.write_text({"empty": " ", "settings": '{"seed": 3}'}.get(there, '{"schema_version": 3, "seed": 3}'))
    document.unlink(missing_ok=True)
    document.symlink_to(linked)
    for configuration in (new, changed(tttcfg.save_document(document, new), {"ttt.base_lr": 0.125})):
        assert tttcfg.bind(tmp_path / "run", configuration).state == "bound"
        assert document.is_symlink()
        assert tttcfg.load_document(linked).training == configuration


def test_a_documents_own_name_is_replaced_whatever_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path, "training_config.json", "not JSON")
    assert tttcfg.load_document(tttcfg.save_document(tmp_path, tttcfg.TrainingArgs()))
    assert not path.is_symlink()
