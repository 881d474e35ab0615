"""Extensions in a running program: their own section, version, chain and roles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import HEAD, document_file, old_document, trained, write_json
from tttcfg.errors import InputError
from tttcfg.family import extension as extensions
from tttcfg.family.extension import Extension, passed_through_in
from tttcfg.fleet.migrate import MigrationTask, migrate_file
from tttcfg.verification.tags import tag_of

UNKNOWN = '{"schema_version":  3,\n  "text": "h\\u00e9",   "rate": 1.50, "big": [1E3, {"a": null}]}'


def written(run: Path, section: Any) -> Path:
    """Make a checkpoint whose document has the section of an extension."""
    folder = trained(run)
    tree = json.loads(document_file(folder).read_bytes())
    write_json(document_file(folder), {**tree, "extensions": {"noise": section}})
    return folder


@pytest.mark.parametrize("version", [6, HEAD])
def test_null_is_no_extensions(version: int, tmp_path: Path) -> None:
    path = write_json(tmp_path / "training_config.json", old_document(version) | {"extensions": None})
    assert migrate_file(str(path), MigrationTask()).status in ("planned", "current")
    assert tttcfg.load_document(path).passed_through == {}


def test_its_settings_come_with_the_rest(noise: Any, tmp_path: Path) -> None:
    folder = written(tmp_path, {"schema_version": 1, "dropout": 0.5, "patience": 9, "cache": "there"})
    config = {"extensions": {"noise": {"dropout": 0.25, "cache": "here"}}}
    effective = tttcfg.resolve(folder, config, {"extensions.noise.patience": 3})
    settings = effective.extension(noise.Noise)
    assert settings == noise.Noise(dropout=0.5, patience=3, cache="here")
    sources = {name: effective.origins[f"extensions.noise.{name}"][0].source for name in noise.Noise.model_fields}
    assert sources == {"dropout": "checkpoint", "patience": "override", "cache": "config"}


@pytest.mark.usefixtures("noise")
def test_a_departure_from_its_computation_is_reported(tmp_path: Path) -> None:
    folder = written(tmp_path, {"schema_version": 1, "dropout": 0.5, "patience": 9, "cache": "there"})
    effective = tttcfg.resolve(folder, overrides=["extensions.noise.dropout=0.25"])
    (finding,) = (one for one in effective.findings if one.code == "deviation")
    assert finding.key == "extensions.noise.dropout"
    assert "trained with 0.5" in finding.message


def test_a_checkpoint_without_its_section_did_what_the_trainer_did_without_it(noise: Any, tmp_path: Path) -> None:
    effective = tttcfg.resolve(trained(tmp_path))
    assert effective.extension(noise.Noise) == noise.Noise(dropout=0.0, patience=1000, cache="/tmp")
    assert "the trainer did without it" in effective.origins["extensions.noise.dropout"][0].where


def test_without_a_checkpoint_it_has_its_defaults(noise: Any) -> None:
    assert tttcfg.resolve().extension(noise.Noise) == noise.Noise()


def test_its_section_has_a_version_and_a_chain_of_its_own(noise: Any, tmp_path: Path) -> None:
    document = tttcfg.load_document(document_file(written(tmp_path, {"schema_version": 0, "drop": 0.5, "patience": 9})))
    part = document.parts["noise"]
    assert (part.version, document.version, document.is_current) == (0, HEAD, False)
    assert part.training == noise.Noise(dropout=0.5, patience=9, cache="/tmp")
    saved = tttcfg.migrate_document(json.loads(document_file(tmp_path / "checkpoints/checkpoint_001000").read_bytes()))
    section = saved["extensions"]["noise"]
    assert (section["schema_version"], section["dropout"], "drop" in section) == (1, 0.5, False)
    assert section["provenance"]["migrated_from"] == 0
    assert tttcfg.migrate_document(saved) == saved


def test_its_old_names_are_read_from_files_and_overrides(noise: Any) -> None:
    effective = tttcfg.resolve(None, {"extensions": {"noise": {"drop": 0.5}}})
    assert effective.extension(noise.Noise).dropout == 0.5
    assert tttcfg.resolve(overrides=["extensions.noise.drop=0.75"]).extension(noise.Noise).dropout == 0.75


def test_what_is_saved_loads_again(noise: Any, tmp_path: Path) -> None:
    settings = noise.Noise(dropout=0.3)
    path = tttcfg.save_document(tmp_path / "training_config.json", tttcfg.TrainingArgs(), extensions=[settings])
    assert tttcfg.load_document(path).parts["noise"].training == settings
    assert tttcfg.load_document(tttcfg.save_document(path, tttcfg.resolve(path))).parts["noise"].training == settings


@pytest.mark.usefixtures("noise")
def test_two_configurations_that_differ_in_it_differ() -> None:
    left, right = (tttcfg.resolve(overrides=[f"extensions.noise.dropout={value}"]) for value in (0.5, 0.25))
    (found,) = tttcfg.diff(left, right)
    assert (found.key, found.left, found.right) == ("extensions.noise.dropout", 0.5, 0.25)
    assert left.digest != right.digest


@pytest.mark.usefixtures("noise")
def test_a_run_setting_of_it_is_no_part_of_the_digest() -> None:
    left, right = (tttcfg.resolve(overrides=[f"extensions.noise.cache={value}"]) for value in "ab")
    assert left.digest == right.digest


@pytest.mark.usefixtures("noise")
def test_its_model_defining_settings_are_bound_to_the_weights(tmp_path: Path) -> None:
    import safetensors.numpy
    from numpy import zeros

    effective = tttcfg.resolve(overrides=["extensions.noise.dropout=0.5", "ttt.enable=false"])
    tag = tttcfg.tag_for(effective)
    assert list((tag_of(tag) or {})["extensions"]) == ["noise"]
    tensors = {"transformer.layers.0.norm1.alpha": zeros((1, 1, 8), "float32")}
    safetensors.numpy.save_file(tensors, tmp_path / "consolidated.safetensors", tag)
    tttcfg.save_document(tmp_path, effective)
    assert tttcfg.load_document(tmp_path / "training_config.json").parts["noise"].training.dropout == 0.5
    tree = json.loads((tmp_path / "training_config.json").read_bytes())
    tree["extensions"]["noise"]["dropout"] = 0.25
    write_json(tmp_path / "training_config.json", tree)
    with pytest.raises(tttcfg.ContradictionError, match="other settings of the extension noise"):
        tttcfg.resolve(tmp_path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"schema_version": 1, "dropout": 2.0}, r"extensions\.noise\.dropout: 2\.0 is refused"),
        ({"schema_version": 1, "dorpout": 0.5}, r"extensions\.noise\.dorpout: .*did you mean dropout"),
        ({"schema_version": 2}, r"extensions\.noise\.schema_version: is 2, and this tttcfg reads versions up to 1"),
        ({"dropout": 0.5, "cache": "x"}, r"extensions\.noise\.schema_version: is missing"),
        (3, r"extensions\.noise: must be a mapping of settings"),
    ],
)
@pytest.mark.usefixtures("noise")
def test_a_section_that_is_refused_is_reported_with_its_place(tmp_path: Path, section: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tttcfg.load_document(document_file(written(tmp_path, section)))


def test_overrides_of_it_are_checked_together(noise: Any) -> None:
    assert noise
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(
            overrides=["extensions.noise.dropout=2", "extensions.nois.dropout=1", "extensions.noise=1", "sed=1"]
        )
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"extensions.noise.dropout", "extensions.nois.dropout", "extensions.noise", "sed"}


def test_one_that_needs_a_later_core_is_refused(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "_REGISTERED", {})
    tttcfg.register(Extension("later", package.Noise, "noise.migrations", "noise.schemas", needs=99))
    with pytest.raises(InputError, match=f"later: needs version 99 of ttt_moshi, and this tttcfg has {HEAD}"):
        tttcfg.resolve()


def test_two_of_one_name_are_refused(noise: Any) -> None:
    with pytest.raises(InputError, match="another extension that is registered"):
        tttcfg.register(Extension("noise", noise.Noise, "noise.steps", "noise.schemas"))


def test_one_that_is_declared_again_takes_its_own_place(noise: Any) -> None:
    """A notebook runs a cell twice, and has another class of the same name the second time."""
    again = type("Noise", (noise.Noise,), {"__module__": noise.Noise.__module__, "__qualname__": "Noise"})
    second = Extension("noise", again, "noise.migrations", "noise.schemas")
    assert tttcfg.register(second) is second
    assert tttcfg.register(second) is second
    assert type(tttcfg.resolve().extension(again)) is again


def test_one_of_another_family_is_none_of_this_one(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "_REGISTERED", {})
    tttcfg.register(Extension("noise", package.Noise, "noise.migrations", "noise.schemas", extends="other"))
    with pytest.raises(InputError, match="no extension"):
        tttcfg.resolve().extension(package.Noise)


def unread(folder: Path) -> Path:
    """Make a checkpoint with an oddly written section of an unknown extension, and return its document."""
    path = document_file(trained(folder))
    text = path.read_text("utf-8")
    path.write_text(
        text.replace('  "provenance"', f'  "extensions": {{"unread": {UNKNOWN}}},\n  "provenance"'), "utf-8"
    )
    return path


def test_one_that_is_not_installed_is_reported_and_passed_through_to_the_byte(tmp_path: Path) -> None:
    path = unread(tmp_path)
    effective = tttcfg.resolve(path)
    (finding,) = (one for one in effective.findings if one.code == "extension")
    assert (finding.severity, finding.key) == ("warning", "extensions.unread")
    saved = tttcfg.save_document(tmp_path / "again.json", effective)
    assert UNKNOWN.encode() in saved.read_bytes()
    once = tttcfg.save_document(tmp_path / "once.json", tttcfg.load_document(saved)).read_bytes()
    assert once == saved.read_bytes()
    assert passed_through_in(once.decode())["unread"] == UNKNOWN.encode()


def test_strictly_one_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"extensions\.unread: is an extension that is not installed"):
        tttcfg.resolve(unread(tmp_path), strict_extensions=True)


def test_one_that_is_not_installed_survives_as_plain_values(tmp_path: Path) -> None:
    tree = tttcfg.migrate_document(json.loads(unread(tmp_path).read_bytes()))
    assert tree["extensions"] == {"unread": json.loads(UNKNOWN)}


def test_a_file_that_sets_one_that_is_not_installed_is_reported(tmp_path: Path) -> None:
    config = tmp_path / "any.yaml"
    config.write_text("extensions:\n  unread:\n    rate: 2\n", encoding="utf-8")
    (finding,) = tttcfg.resolve(None, config).findings[:1]
    assert (finding.code, finding.key) == ("extension", "extensions.unread")
    assert str(finding.place).endswith("any.yaml:2:3")


def test_of_several_files_the_later_one_takes_precedence_in_it_as_well(noise: Any) -> None:
    files = [{"extensions": {"noise": {"dropout": 0.25, "cache": "a"}}}, {"extensions": {"noise": {"dropout": 0.5}}}]
    found = tttcfg.resolve(config=files).extension(noise.Noise)
    assert (found.dropout, found.cache) == (0.5, "a")
