"""flavours: two families that inherit from one, made with the commands, read each other's documents or refuse them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from flavours.base.config import BASE, BaseArgs
from flavours.speech.config import SPEECH, SpeechArgs
from flavours.video.config import VIDEO

import tttcfg
from tests.cli.process import run
from tests.examples_families.conftest import FLAVOURS
from tests.families import install
from tttcfg.errors import ForeignDocumentError, InputError

GOLDEN = FLAVOURS / "tests" / "golden"
DOCUMENTS = GOLDEN / "flavours_base"
FAMILIES = {"base": BASE, "speech": SPEECH, "video": VIDEO}
REFERENCE = "flavours.speech.config:SPEECH"


def of_base(version: int, **more: Any) -> dict[str, Any]:
    return json.loads((DOCUMENTS / f"v{version:04d}.json").read_bytes()) | more


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint of the base at version 1, whose weights are bound to its document."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    safetensors.numpy.save_file({"w": np.zeros(4, np.float32)}, folder / "consolidated.safetensors")
    tttcfg.save_document(folder, tttcfg.from_any(of_base(1), family=BASE), family=BASE)
    tttcfg.bind(folder, family=BASE)
    return folder


@pytest.mark.parametrize(("name", "head"), [("base", 2), ("speech", 4), ("video", 3)])
def test_every_family_has_three_versions_or_more_and_a_history_without_problems(name: str, head: int) -> None:
    done = run("schema", "check", "--family", f"flavours.{name}.config:{name.upper()}", cwd=FLAVOURS)
    assert (done.code, done.out) == (0, "")
    assert FAMILIES[name].head == head


@pytest.mark.parametrize("name", FAMILIES)
def test_an_installed_family_is_found_by_its_name(name: str, tmp_path: Path) -> None:
    """The entry points that pyproject.toml declares, as pip would have written them."""
    declared = (FLAVOURS / "pyproject.toml").read_text("utf-8")
    points = dict(re.findall(r'^(flavours_\w+) = "(.*)"$', declared, re.MULTILINE))
    install(tmp_path, "flavours", "tttcfg.families", points)
    done = run("history", "--family", f"flavours_{name}", cwd=tmp_path, PYTHONPATH=f"{FLAVOURS}:{tmp_path}")
    assert done.code == 0, done.err
    assert f"version {FAMILIES[name].head}  " in done.out


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    page = (FLAVOURS / "README.md").read_text("utf-8")
    copy = shutil.copytree(FLAVOURS, tmp_path / "flavours", ignore=shutil.ignore_patterns("__pycache__"))
    install(tmp_path / "site", "flavours", "tttcfg.families", {"flavours_speech": REFERENCE})
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("tttcfg ")]
    assert len(commands) == 4
    for words in commands:
        done = run(*words, cwd=copy, PYTHONPATH=f"{copy}:{tmp_path / 'site'}")
        assert done.code == 0, done.err


# The base's documents as the family's


def test_a_checkpoint_of_the_base_is_read_as_one_of_the_family_that_is_asked_for(trained: Path) -> None:
    """Bound as it is; what the base did without the family's settings is filled in, and reported."""
    effective = tttcfg.resolve(trained, family=SPEECH)
    assert isinstance(effective.training, SpeechArgs)
    assert (effective.training.inner.carry, effective.training.audio.chunk) == (False, 10_000)
    assert effective.training.inner.activation == "gelu_tanh"
    (found,) = [one for one in effective.findings if one.code == "family"]
    assert "is of flavours_base, version 2, and read as one of flavours_speech" in found.message
    assert "absence of its own settings meant: inner.carry false, audio.sample_rate 24000" in found.message
    assert "audio.chunk 10000" in found.message
    assert tttcfg.verify(trained, family=SPEECH).binding == "bound"
    assert "every chunk began with the initial inner weights" in str(effective.origins["inner.carry"][0])


def test_without_asking_it_is_a_checkpoint_of_the_base(trained: Path) -> None:
    assert type(tttcfg.resolve(trained).training) is BaseArgs


def test_weights_of_another_configuration_are_noticed_in_the_family_too(trained: Path) -> None:
    document = trained / "training_config.json"
    document.write_text(document.read_text("utf-8").replace('"mini_batch": 16', '"mini_batch": 32'), "utf-8")
    for family in (BASE, SPEECH):
        with pytest.raises(tttcfg.ContradictionError, match="was saved with another configuration"):
            _ = tttcfg.resolve(trained, family=family)


def test_migrating_does_not_change_the_family(trained: Path) -> None:
    shutil.copy(DOCUMENTS / "v0000.json", trained / "training_config.json")
    done = run("migrate", trained, "--family", REFERENCE, "--write", cwd=FLAVOURS)
    assert done.code == 1
    assert "is a document of flavours_base, and migrating does not make one of flavours_speech of it" in done.err
    with pytest.raises(ForeignDocumentError, match="is a document of the family flavours_base"):
        _ = tttcfg.migrate_document(of_base(0), family=SPEECH)


def test_what_is_saved_of_it_is_a_document_of_the_family(tmp_path: Path) -> None:
    """It records where it comes from, and what was filled in; it is read back as any other."""
    document = tttcfg.load_document(DOCUMENTS / "v0001.json", family=SPEECH)
    saved = tttcfg.save_document(tmp_path / "speech.json", document)
    again = tttcfg.load_document(saved, family=SPEECH)
    assert again.training == document.training
    assert (again.family, again.written) == (SPEECH, None)
    assert again.provenance["read_from"] == "urn:tttcfg:flavours_base:v0001"
    assert again.record.filled["inner.carry"]["value"] is False
    with pytest.raises(ForeignDocumentError, match="is a document of the family flavours_speech"):
        _ = tttcfg.load_document(saved, family=BASE)


def test_a_configuration_of_the_base_is_none_of_the_family() -> None:
    """A model in memory has a family; which of its values were meant for another is not known."""
    with pytest.raises(InputError, match="is a BaseArgs of the family flavours_base, not a SpeechArgs"):
        _ = tttcfg.from_any(BaseArgs(), family=SPEECH)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_whole_document_of_the_base_may_be_a_configuration_file(version: int) -> None:
    effective = tttcfg.resolve(config=of_base(version), family=SPEECH)
    assert effective.training.audio.chunk == 10_000
    assert effective.training.inner.mini_batch == 16  # and not the default of the family
    assert [one.code for one in effective.findings].count("family") == 1


def test_a_file_with_some_settings_of_the_base_gives_those() -> None:
    """In the version of the base that it states; without one, by any name that there was."""
    part = {"$schema": BASE.schema_id_of(0), "inner": {"lr": 0.5}}
    for config in (part | {"schema_version": 0}, part, {"inner": {"lr": 0.5}}):
        effective = tttcfg.resolve(config=config, family=SPEECH)
        assert (effective.training.inner.base_lr, effective.training.inner.carry) == (0.5, True)
    with pytest.raises(InputError, match=r"inner\.lr"):
        _ = tttcfg.resolve(config=part | {"$schema": BASE.schema_id_of(1), "schema_version": 1}, family=SPEECH)


def test_a_version_that_is_not_there_is_refused_with_what_to_install() -> None:
    with pytest.raises(InputError, match="reads versions up to 2"):
        _ = tttcfg.resolve(config=of_base(2, schema_version=3), family=SPEECH)


def test_a_document_of_one_flavour_is_not_read_as_the_other() -> None:
    with pytest.raises(ForeignDocumentError, match="is a document of the family flavours_speech"):
        _ = tttcfg.load_document(GOLDEN / "flavours_speech" / "v0004.json", family=VIDEO)


def test_documents_of_both_are_compared_as_the_familys() -> None:
    old, new = "tests/golden/flavours_base/v0000.json", "tests/golden/flavours_speech/v0004.json"
    done = run("diff", old, new, "--family", REFERENCE, cwd=FLAVOURS)
    assert done.code == 1
    assert "inner.carry   false  ->  true" in done.out
