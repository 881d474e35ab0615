"""The moshi_in_place fork: distinguished from the trainer that it resembles, YaRN restored, layers proved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.numpy
from moshi_in_place_config.family import FAMILY
from numpy import float32, zeros

import tttcfg
from tests.builders import NEWEST, NUMBERED, write_json
from tests.cli.process import run
from tests.conftest import GOLDEN as OURS
from tests.evidence.dialects.tensors import Size, consolidated, in_place
from tests.examples_families.conftest import IN_PLACE
from tests.families import install
from tttcfg.ttt_moshi.family import TTT_MOSHI

THEIRS = IN_PLACE / "tests" / "golden"
REFERENCE = "moshi_in_place_config.family:FAMILY"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint that was trained with YaRN before anything had a version number."""
    shutil.copy(THEIRS / "v0002.json", tmp_path / "training_config.json")
    return tmp_path


def with_weights(folder: Path, layers: tuple[int, ...], **given: object) -> Path:
    """Write weights with TTT in `layers` of eight, and the configuration of a run that had it from 1 on."""
    shapes = in_place(Size(layers=8), layers)
    safetensors.numpy.save_file({name: zeros(shape, float32) for name, shape in shapes.items()}, folder / "x")
    (folder / "x").rename(folder / "consolidated.safetensors")
    ttt = {"enabled": True, "start_layer": 1, "layer_frequency": 3, **given}
    values = FAMILY.model.model_validate({"ttt": ttt, "param_dtype": "float32"})
    tttcfg.save_document(folder, values, family=FAMILY)
    return folder


@pytest.mark.parametrize("version", [1, 2, 3])
def test_our_trainer_refuses_a_document_of_the_fork_and_says_what_to_give(version: int) -> None:
    with pytest.raises(tttcfg.ForeignDocumentError, match="other meanings; give --family moshi_in_place"):
        tttcfg.load_document(THEIRS / f"v{version:04d}.json")


@pytest.mark.parametrize("version", range(1, NUMBERED))
def test_the_fork_refuses_a_document_of_our_trainer_and_says_what_to_give(version: int) -> None:
    with pytest.raises(tttcfg.ForeignDocumentError, match="give --family ttt_moshi"):
        tttcfg.load_document(OURS / f"v{version:04d}.json", family=FAMILY)


def test_documents_with_a_number_name_their_family() -> None:
    assert tttcfg.load_document(THEIRS / "v0004.json").family is FAMILY
    with pytest.raises(tttcfg.ForeignDocumentError, match="did you mean --family moshi_in_place"):
        tttcfg.load_document(THEIRS / "v0004.json", family=TTT_MOSHI)
    with pytest.raises(tttcfg.ForeignDocumentError, match="did you mean --family ttt_moshi"):
        tttcfg.load_document(OURS / f"{NEWEST}.json", family=FAMILY)


def test_configuration_files_are_distinguished_as_well(tmp_path: Path) -> None:
    ours = write_json(tmp_path / "ours.json", {"ttt": {"enable": True, "chunk_size": 16}})
    with pytest.raises(tttcfg.InputError, match="give --family ttt_moshi"):
        tttcfg.resolve(config=ours, family=FAMILY)
    with pytest.raises(tttcfg.InputError, match="give --family moshi_in_place"):
        tttcfg.resolve(config=IN_PLACE / "configs" / "yarn.yaml")


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A folder with a numbered document of the fork, and an older one and a part of one of our trainer."""
    write_json(tmp_path / "fork" / "training_config.json", json.loads((THEIRS / "v0004.json").read_bytes()))
    shutil.copy(OURS / "v0006.json", tmp_path / "ours.json")
    (tmp_path / "ours.yaml").write_text("ttt: {enable: true}\n", encoding="utf-8")
    return tmp_path


CONFLICTS = [
    ("diff", "fork", "ours.json"),
    ("diff", "ours.json", "fork"),
    ("diff", "fork", "ours.yaml"),
    ("resolve", "--checkpoint", "fork", "--config", "ours.yaml"),
    ("resolve", "--checkpoint", "fork", "--config", "ours.json"),
    ("verify", "fork", "--config", "ours.yaml"),
]
conflicting = pytest.mark.parametrize("command", CONFLICTS, ids=" ".join)


@conflicting
def test_sources_of_both_families_are_refused_without_an_option_that_leads_to_the_other(
    both: Path, command: tuple[str, ...]
) -> None:
    """With the option, either family's refusal names what no option changes."""
    install(both, "fork", "tttcfg.families", {"moshi_in_place": REFERENCE})
    found = {"cwd": both, "PYTHONPATH": f"{both}:{IN_PLACE}"}
    done = run(*command, **found)
    assert (done.code, done.out) == (2, "")
    assert "give sources of one family" in done.err
    assert "--family" not in done.err
    for name in ("moshi_in_place", "ttt_moshi"):
        done = run(*command, "--family", name, **found)
        assert (done.code, done.out) == (2, "")
        assert "all sources have to be of one family" in done.err


@conflicting
def test_a_family_that_is_not_installed_is_not_suggested(both: Path, command: tuple[str, ...]) -> None:
    done = run(*command, cwd=both)
    assert done.code == 2
    assert "--family moshi_in_place" not in done.err
    assert "no family moshi_in_place is installed (there are: ttt_moshi)" in done.err
    (both / "fork.yaml").write_text("ttt: {enabled: true}\n", encoding="utf-8")
    done = run("resolve", "--config", "fork.yaml", cwd=both)
    assert done.code == 2
    assert "is a configuration of the moshi_in_place fork; its TTT settings have the same names" in done.err
    assert "--family" not in done.err


def test_the_ancestor_of_both_is_a_document_of_both() -> None:
    """What kyutai's trainer wrote before either began."""
    assert tttcfg.load_document(THEIRS / "v0000.json").version == 0
    assert tttcfg.load_document(OURS / "v0000.json", family=FAMILY).version == 0


def test_yarn_is_restored_where_inference_forgot_it(trained: Path) -> None:
    """The fork's own failure, fixed there in 965d167: positions that the weights were not trained with."""
    effective = tttcfg.resolve(trained, IN_PLACE / "configs" / "inference.yaml", family=FAMILY)
    assert effective.training.yarn.enabled
    assert effective.training.yarn.scale == 4.0
    findings = {one.key: one for one in effective.findings}
    assert findings["yarn.enabled"].code == "restored"
    assert "is true from the checkpoint, not false" in findings["yarn.enabled"].message


def test_switching_yarn_off_on_purpose_is_a_deviation(trained: Path) -> None:
    done = run("resolve", "--checkpoint", trained, "--family", REFERENCE, "yarn.enabled=false", cwd=IN_PLACE)
    assert done.code == 0, done.err
    assert "[deviation] yarn.enabled: is false" in done.err


def test_a_run_from_before_clipping_is_not_clipped(trained: Path) -> None:
    """Today's default is 1e-5, which its weights never saw."""
    effective = tttcfg.resolve(trained, family=FAMILY)
    assert effective.training.ttt.delta_clip_fro_norm is None
    assert "updates were not clipped" in effective.origins["ttt.delta_clip_fro_norm"][0].where
    assert tttcfg.resolve(family=FAMILY).training.ttt.delta_clip_fro_norm == 1e-5


def test_a_trainer_from_before_clipping_gets_no_document_that_was_clipped() -> None:
    """It would clip nothing, and the older shape cannot express that."""
    document = json.loads((THEIRS / "v0004.json").read_bytes())
    with pytest.raises(tttcfg.LossError, match=r"ttt.delta_clip_fro_norm: version 2 cannot hold it"):
        tttcfg.migrate_document(document, 2, family=FAMILY)
    older = tttcfg.migrate_document(document, 2, allow_loss=True, family=FAMILY)
    assert "delta_clip_fro_norm" not in older["ttt"]
    assert older["yarn"] == document["yarn"]


def test_a_config_json_that_differs_is_reported(trained: Path) -> None:
    yarn = {"enabled": False, "scale": 4.0}
    model = {"dim": 64, "yarn_config": yarn, "ttt_config": {"enabled": True, "chunk_size": 256}}
    write_json(trained / "config.json", model)
    warnings = [one for one in tttcfg.resolve(trained, family=FAMILY).findings if one.code == "model_config"]
    assert [one.key for one in warnings] == ["yarn.enabled"]
    assert "yarn_config.enabled, which a loader takes, is false" in warnings[0].message


def test_tensors_prove_which_layers_learn_and_how_wide_the_convolution_is(tmp_path: Path) -> None:
    verification = tttcfg.verify(with_weights(tmp_path, (1, 4, 7)), family=FAMILY)
    verified = {name for name, one in verification.verdicts.items() if one.outcome == "verified"}
    assert verified >= {"ttt.enabled", "ttt.start_layer", "ttt.layer_frequency", "ttt.conv_kernel_size", "lora.enable"}
    assert verification.verdicts["ttt.chunk_size"].shown == "no tensor depends on it"
    assert verification.proved["ttt.layer_frequency"] == 3


@pytest.mark.parametrize(
    ("layers", "given", "message"),
    [
        ((2, 5), {}, "ttt.start_layer: is 1, but the weights have 2 .*override ttt.start_layer=2"),
        ((1, 3, 5, 7), {}, "ttt.layer_frequency: is 3, but the weights have 2 "),
        ((1, 4), {}, "ttt.layer_frequency: is every 3 layers"),
        ((), {}, "ttt.enabled: is true, but the weights have false"),
        ((1, 4, 7), {"enabled": False}, "ttt.enabled: is false, but"),
        ((1, 4, 7), {"conv_kernel_size": 4}, "ttt.conv_kernel_size: is 4, but"),
    ],
)
def test_a_configuration_of_other_layers_is_refused(
    tmp_path: Path, layers: tuple[int, ...], given: dict[str, object], message: str
) -> None:
    folder = with_weights(tmp_path, layers, **given)
    with pytest.raises(tttcfg.ContradictionError, match=message):
        tttcfg.verify(folder, family=FAMILY)


def test_a_run_without_ttt_has_the_names_of_the_common_ancestor(tmp_path: Path) -> None:
    """They are described by the fork's configurations as well."""
    verification = tttcfg.verify(with_weights(tmp_path, (), enabled=False), family=FAMILY)
    assert verification.dialect == "moshi_finetune"
    assert verification.verdicts["ttt.enabled"].outcome == "verified"
    assert not [one for one in verification.findings if one.code == "dialect"]


def test_weights_of_our_trainer_prove_nothing_of_the_fork(tmp_path: Path) -> None:
    shapes = consolidated(Size(layers=8), (1, 2), (64,))
    safetensors.numpy.save_file({name: zeros(shape, float32) for name, shape in shapes.items()}, tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / "consolidated.safetensors")
    assert tttcfg.inspect_weights(tmp_path, family=FAMILY).proved == {}
    with pytest.raises(
        tttcfg.ContradictionError, match="of the Moshi TTT trainer, which a configuration of moshi_in_pl"
    ):
        tttcfg.resolve(tmp_path, family=FAMILY)


def test_without_a_document_the_tensors_are_believed(tmp_path: Path) -> None:
    (with_weights(tmp_path, (1, 4, 7)) / "training_config.json").unlink()
    config = {"ttt": {"start_layer": 0, "chunk_size": 64}}
    effective = tttcfg.resolve(tmp_path, config, family=FAMILY)
    assert (effective.training.ttt.start_layer, effective.training.ttt.chunk_size) == (1, 64)
    assert {"ttt.start_layer"} == {one.key for one in effective.findings if one.code == "restored"}


def test_weights_of_the_fork_are_not_described_by_our_trainer(tmp_path: Path) -> None:
    (with_weights(tmp_path, (1, 4, 7)) / "training_config.json").unlink()
    with pytest.raises(tttcfg.ContradictionError, match="ttt_moshi does not describe"):
        tttcfg.resolve(tmp_path, {"ttt": {"enable": True}})


def test_no_secret_of_an_old_document_survives() -> None:
    assert json.loads((THEIRS / "v0000.json").read_bytes())["wandb"]["key"] == "0000000000"
    assert b"0000000000" not in (THEIRS / "v0000.upgraded.json").read_bytes()
