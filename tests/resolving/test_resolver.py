"""What resolving finds, derives, refuses and hashes."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import (
    HEAD,
    MODEL,
    SEED_EXCERPT,
    alternatives,
    checkpoint,
    document_file,
    old_document,
    trained,
    write_json,
)
from tttcfg import ContradictionError, Effective, InputError, Problem, Role
from tttcfg.cli import main
from tttcfg.documents.effective import Origin
from tttcfg.resolving.resolver import origins_place
from tttcfg.schema.fields import ConfigField
from tttcfg.ttt_moshi.family import TTT_MOSHI

FIELDS = TTT_MOSHI.fields
TTT_ON = {"ttt.enable": True, "ttt.layers": [1, 2]}


def found(effective: Effective, code: str) -> list[Problem]:
    return [finding for finding in effective.findings if finding.code == code]


def test_deviation_from_training(tmp_path: Path) -> None:
    """An override of what the weights compute is allowed, and reported with both values."""
    effective = tttcfg.resolve(trained(tmp_path, {"ttt.mini_batch_size": 8}), None, ["ttt.mini_batch_size=16"])
    (deviation,) = found(effective, "deviation")
    assert (deviation.severity, deviation.key) == ("warning", "ttt.mini_batch_size")
    assert deviation.message == "is 16, but the weights were trained with 8"


def test_override_of_training_is_no_deviation(tmp_path: Path) -> None:
    """Another batch size is normal when a checkpoint is evaluated."""
    assert found(tttcfg.resolve(trained(tmp_path), None, ["batch_size=4"]), "deviation") == []


def test_restored_value(tmp_path: Path) -> None:
    """A file's value that the checkpoint overrides is named with its place."""
    config = write_json(tmp_path / "any.json", {"ttt": {"base_lr": 0.5}})
    effective = tttcfg.resolve(trained(tmp_path / "run", {"ttt.base_lr": 0.125}), config)
    (restored,) = found(effective, "restored")
    assert (restored.severity, restored.key) == ("info", "ttt.base_lr")
    assert restored.message == "is 0.125 from the checkpoint, not 0.5"
    assert str(restored.place).startswith(f"{config}:1:")


def test_restore_none_reports_deviations(tmp_path: Path) -> None:
    """Leaving the checkpoint's configuration out does not silence what departs from it."""
    effective = tttcfg.resolve(trained(tmp_path, {"ttt.base_lr": 0.125}), restore="none")
    assert [finding.key for finding in found(effective, "deviation")] == ["ttt.base_lr"]


def test_settings_of_a_checkpoint_without_document_are_unconfirmed(tmp_path: Path) -> None:
    """Each computation field that no override gives is named, since it cannot be confirmed."""
    model = write_json(tmp_path / "config.json", MODEL)
    effective = tttcfg.resolve(model, {"ttt": {"base_lr": 0.5}}, ["ttt.mini_batch_size=8"])
    computation = {name for name, field in FIELDS.items() if field.role is Role.COMPUTATION}
    assert {finding.key for finding in found(effective, "unconfirmed")} == computation - {"ttt.mini_batch_size"}
    assert effective.training.ttt.base_lr == 0.5


def test_legacy_value(tmp_path: Path) -> None:
    """What an old program did not record is reported while TTT uses it."""
    effective = tttcfg.resolve(checkpoint(tmp_path, SEED_EXCERPT, {**MODEL, "num_layers": 32}))
    (legacy,) = found(effective, "legacy")
    assert (legacy.severity, legacy.key) == ("warning", "ttt.rope_mode")
    assert "override it if you know" in legacy.advice


@pytest.mark.parametrize("overrides", [["ttt.rope_mode=off"], ["ttt.enable=false"]])
def test_legacy_value_that_does_not_matter(tmp_path: Path, overrides: list[str]) -> None:
    """Who overrides an unknown value, or switches its section off, is not warned of it."""
    folder = checkpoint(tmp_path, SEED_EXCERPT, {**MODEL, "num_layers": 32})
    effective = tttcfg.resolve(folder, None, overrides)
    assert not [one for one in found(effective, "legacy") if one.severity == "warning"]


def test_an_override_of_an_unknown_value_is_reported(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, SEED_EXCERPT, {**MODEL, "num_layers": 32})
    effective = tttcfg.resolve(folder, None, ["ttt.rope_mode=off"])
    (legacy,) = found(effective, "legacy")
    assert (legacy.severity, legacy.key) == ("info", "ttt.rope_mode")
    assert "'off'" in legacy.message


def doubts(effective: Effective) -> list[Problem]:
    """Return the doubts of the attention context; the constants of the last public commit have others."""
    return [one for one in found(effective, "doubt") if one.key == "ttt.ttt_layer_context"]


def test_doubted_value(tmp_path: Path) -> None:
    """A recorded value that the program of that time may not have obeyed is doubted."""
    document = old_document(6, {"ttt.enable": True, "ttt.ttt_layer_context": 100})
    (doubt,) = doubts(tttcfg.resolve(checkpoint(tmp_path, document)))
    assert doubt.severity == "warning"


def test_a_value_that_was_doubted_and_is_another_now(tmp_path: Path) -> None:
    document = old_document(6, {"ttt.enable": True, "ttt.ttt_layer_context": 100})
    folder = checkpoint(tmp_path, document)
    (doubt,) = doubts(tttcfg.resolve(folder))
    (overridden,) = doubts(tttcfg.resolve(folder, overrides={"ttt.ttt_layer_context": 50}))
    assert overridden.message == f"is 50, recorded as 100: {doubt.message}"


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        ("https://me:hunter2@host/model", True),
        ("https://host/model?signature=hunter2", True),
        ("https://host/model", False),
        ("what?/a@b", False),
    ],
)
def test_a_setting_that_may_give_access_away_is_named_and_not_repeated(value: str, reported: bool) -> None:
    warned = found(tttcfg.resolve(overrides={"moshi_paths.moshi_path": value}), "secret")
    assert [(one.severity, one.key) for one in warned] == [("warning", "moshi_paths.moshi_path")] * reported
    assert not any("hunter2" in one.message for one in warned)


def test_assumed_values(tmp_path: Path) -> None:
    """Of the absent settings, each one that decides what is computed has a finding, and the others share one."""
    effective = tttcfg.resolve(checkpoint(tmp_path, SEED_EXCERPT, {**MODEL, "num_layers": 32}))
    *model_defining, others = found(effective, "assumed")
    assert ("warning", "param_dtype") in {(one.severity, one.key) for one in model_defining}
    assert "lora.rank" not in {one.key for one in model_defining}, "LoRA is off, so its rank decides nothing"
    assert (others.severity, others.key) == ("info", "")
    assert "max_steps" in others.message
    assert "optim.lr" in others.message


def test_partial_configuration() -> None:
    """Configuration files that could not start a run alone are called partial."""
    (partial,) = found(tttcfg.resolve(config={"ttt": {"base_lr": 0.5}}), "partial")
    assert "run_dir or data.train_data" in partial.message


def test_a_whole_configuration_is_not_partial() -> None:
    """A file that names run folder and data is complete."""
    assert found(tttcfg.resolve(config={"run_dir": "r", "data": {"train_data": "d"}}), "partial") == []


def test_renamed_and_removed(tmp_path: Path) -> None:
    """Old spellings of a file are read, and named with their place."""
    config = write_json(tmp_path / "old.json", {"ttt": {"use_rope": True, "target_output_norm": 25.0}})
    effective = tttcfg.resolve(config=config)
    assert effective.training.ttt.rope_mode == "mini_batch"
    assert [(one.key, str(one.place).startswith(f"{config}:1:")) for one in found(effective, "renamed")] == [
        ("ttt.use_rope", True)
    ]
    assert [one.key for one in found(effective, "removed")] == ["ttt.target_output_norm"]


def test_renamed_override() -> None:
    """An old spelling as an override is read, and named with its position."""
    effective = tttcfg.resolve(overrides=["seed=1", "ttt.use_rope=true"])
    (renamed,) = found(effective, "renamed")
    assert effective.training.ttt.rope_mode == "mini_batch"
    assert renamed.place == "override 2 (ttt.use_rope)"


def test_without_dimensions_there_is_no_layer_configuration(tmp_path: Path) -> None:
    """No model dimensions are invented: `ttt` is None and a finding names what to give."""
    effective = tttcfg.resolve(trained(tmp_path, TTT_ON, model=None))
    (missing,) = found(effective, "model_config")
    assert effective.ttt is None
    assert (missing.severity, "--model-config" in missing.advice) == ("warning", True)


def test_require_ttt_without_dimensions(tmp_path: Path) -> None:
    """Who needs the layers' configuration gets an error instead."""
    with pytest.raises(InputError, match="ttt: no layer configuration: the model's dimensions are unknown"):
        tttcfg.resolve(trained(tmp_path, TTT_ON, model=None), require_ttt=True)


def test_require_ttt_where_ttt_is_off() -> None:
    """Switched off is a reason too."""
    with pytest.raises(InputError, match="TTT is off"):
        tttcfg.resolve(require_ttt=True)


def test_model_config_given_apart(tmp_path: Path) -> None:
    """--model-config serves where the checkpoint has no config.json, and is named as the origin."""
    model = write_json(tmp_path / "model.json", MODEL)
    effective = tttcfg.resolve(trained(tmp_path, TTT_ON, model=None), model_config=model)
    assert (effective.ttt.layer_indices, effective.ttt.head_dim) == ((1, 2), 16)
    assert effective.origins["ttt.head_dim"] == (("derived", 16, f"{model} (dim / num_heads)"),)


def test_layer_configuration_of_a_checkpoint(tmp_path: Path) -> None:
    """The layers' configuration is concrete: indices, widths and contexts come from the model's config.json."""
    ttt = tttcfg.resolve(trained(tmp_path, {"ttt.enable": True})).ttt
    assert ttt.layer_indices == (2, 3, 4, 5)
    assert ttt.inner_layer_sizes == (16, 64, 16)
    assert (ttt.ttt_layer_context, ttt.non_ttt_layer_context) == (3000, 3000)


@pytest.mark.parametrize("dimension", ["dim", "num_heads", "num_layers", "context"])
@pytest.mark.parametrize("value", [None, 0, -1, True, "64", 1.5])
def test_unusable_dimension(tmp_path: Path, dimension: str, value: Any) -> None:
    """A dimension that is missing or no positive whole number is named; nothing is derived from it."""
    effective = tttcfg.resolve(trained(tmp_path, TTT_ON, {**MODEL, dimension: value}))
    assert effective.ttt is None
    assert [finding.key for finding in found(effective, "model_config")] == [dimension]


def test_contradictions_come_all_at_once_with_the_result(tmp_path: Path) -> None:
    """Layers out of range and an impossible pair of switches are one error that holds what was resolved."""
    folder = trained(tmp_path, {"ttt.enable": True, "ttt.layers": [1, 9]})
    with pytest.raises(ContradictionError) as caught:
        tttcfg.resolve(folder, None, ["full_finetuning=true", "lora.enable=true"])
    keys = [problem.key for problem in caught.value.problems]
    assert sorted(keys) == ["full_finetuning", "ttt.layers"]
    assert isinstance(caught.value.effective, Effective)
    assert caught.value.effective.training.ttt.layers == (1, 9)
    assert caught.value.effective.ttt is None


def test_require_training_names_all_that_is_missing() -> None:
    """What only a training run needs is demanded only there, all at once."""
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(require_training=True)
    assert [problem.key for problem in caught.value.problems] == ["run_dir", "data.train_data"]


def test_require_training_satisfied() -> None:
    """A file that gives run folder and data can train."""
    config = {"run_dir": "r", "data": {"train_data": "d"}}
    assert tttcfg.resolve(config=config, require_training=True).training.run_dir == "r"


def test_problems_of_all_sources_come_at_once(tmp_path: Path) -> None:
    """A bad checkpoint, a bad file and a bad override are one error."""
    config = write_json(tmp_path / "bad.json", {"ttt": {"bse_lr": 1}})
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(tmp_path / "nowhere", config, ["batch_size=many"])
    assert [problem.code for problem in caught.value.problems] == ["not_found", "unknown_key", "rejected"]


@pytest.mark.parametrize("field", [pytest.param(field, id=name) for name, field in FIELDS.items()])
def test_digest_depends_on_what_the_weights_compute(field: ConfigField) -> None:
    """The digest changes with architecture and computation fields, and with no other."""
    changed = tttcfg.resolve(overrides={field.name: alternatives(field)[0]})
    model_defining = field.role in (Role.ARCHITECTURE, Role.COMPUTATION)
    assert (changed.digest != tttcfg.resolve().digest) is model_defining


@pytest.mark.parametrize("version", range(1, HEAD))
def test_migrated_document_resolves_to_the_same(tmp_path: Path, version: int) -> None:
    """An old document and its migrated file mean the same, to training, layers and digest."""
    values = {"ttt.enable": True, "ttt.layers": "1,2", "ttt.mini_batch_size": 8, "ttt.base_lr": 0.5, "batch_size": 4}
    if version >= 7:
        values["ttt.layers"] = [1, 2]
    folder = checkpoint(tmp_path, old_document(version, values))
    before = tttcfg.resolve(folder)
    tttcfg.save_document(document_file(folder), tttcfg.load_document(document_file(folder)))
    after = tttcfg.resolve(folder)
    assert (after.training, after.ttt, after.digest) == (before.training, before.ttt, before.digest)
    assert {f for f in after.findings if f.severity != "info"} == {f for f in before.findings if f.severity != "info"}


@pytest.mark.parametrize("version", range(1, HEAD))
def test_assumed_values_stay_below_the_file_after_migrating(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`migrate --write` does not turn what is absent from a document into a value of the checkpoint."""
    document = old_document(version)
    del document["batch_size"], document["ttt"]["mini_batch_size"]
    folder = checkpoint(tmp_path, document)
    config = {"batch_size": 5, "ttt": {"mini_batch_size": 4}}
    before = tttcfg.resolve(folder, config)
    monkeypatch.setattr("sys.argv", ["tttcfg", "migrate", str(folder), "--write", "--no-fsync"])
    with pytest.raises(SystemExit, match="0"):
        main()
    after = tttcfg.resolve(folder, config)
    assert (after.training, after.digest) == (before.training, before.digest)
    assert (after.training.batch_size, after.training.ttt.mini_batch_size) == (5, 4)


def test_restore_is_one_of_three(tmp_path: Path) -> None:
    with pytest.raises(tttcfg.InputError, match="'None' is none of auto, all, none") as caught:
        tttcfg.resolve(checkpoint(tmp_path, SEED_EXCERPT), restore="None")  # type: ignore[arg-type]
    assert [(problem.code, problem.key) for problem in caught.value.problems] == [("rejected", "restore")]


def test_an_item_override_is_shown_as_the_field_has_it() -> None:
    """The value that is used is the effective one, in canonical form."""
    effective = tttcfg.resolve(None, {"ttt": {"layers": [29, 30, 31]}}, ["ttt.layers.0=31", "optim.betas.0=0"])
    assert effective.origins["ttt.layers"][0].value == effective.training.ttt.layers == (30, 31)
    assert effective.origins["optim.betas"][0].value == (0.0, 0.95)


def test_a_derived_context_is_listed_before_the_null_that_it_fills(tmp_path: Path) -> None:
    effective = tttcfg.resolve(write_json(tmp_path / "config.json", MODEL), {"ttt": {"enable": True}})
    first, *others = effective.origins["ttt.ttt_layer_context"]
    assert (first.source, first.value) == ("derived", 3000)
    assert others[-1].source == "default"


def test_a_result_can_be_pickled(tmp_path: Path) -> None:
    """Trainers hand it to their worker processes."""
    effective = tttcfg.resolve(checkpoint(tmp_path, SEED_EXCERPT, {**MODEL, "num_layers": 32}))
    again = pickle.loads(pickle.dumps(effective))
    assert again.training == effective.training
    assert dict(again.origins) == dict(effective.origins)
    assert copy.deepcopy(effective).digest == effective.digest


def test_a_section_takes_what_the_file_gives(tmp_path: Path) -> None:
    """`ttt=!config` takes the file's settings of the section, and leaves the others to the checkpoint."""
    folder = checkpoint(tmp_path, SEED_EXCERPT, {**MODEL, "num_layers": 32})
    effective = tttcfg.resolve(folder, {"ttt": {"base_lr": 0.5}}, ["ttt=!config"])
    assert (effective.training.ttt.base_lr, effective.training.ttt.mini_batch_size) == (0.5, 8)
    with pytest.raises(tttcfg.InputError, match="no configuration file"):
        tttcfg.resolve(folder, {"seed": 1}, ["ttt=!config"])


def test_one_override_may_be_given_as_text() -> None:
    assert tttcfg.resolve(None, None, "ttt.base_lr=0.25").training.ttt.base_lr == 0.25


def test_a_model_configuration_that_is_not_the_checkpoints_own_is_reported(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, SEED_EXCERPT, {**MODEL, "num_layers": 32})
    other = write_json(tmp_path / "other.json", {**MODEL, "num_layers": 32, "dim": 128})
    (finding,) = found(tttcfg.resolve(folder, model_config=other), "model_config")
    assert (finding.severity, finding.message.endswith("config.json: dim 128 for 64")) == ("warning", True)


def test_of_a_model_configuration_that_differs_in_much_five_keys_are_listed(tmp_path: Path) -> None:
    own = {**MODEL, **{f"key{number}": number for number in range(5)}, "num_layers": 32}
    folder = checkpoint(tmp_path, SEED_EXCERPT, own)
    given = {**own, "dim": 128, **{f"key{number}": -1 for number in range(5)}}
    effective = tttcfg.resolve(folder, model_config=write_json(tmp_path / "other.json", given))
    listed = ", ".join(f"key{number} -1 for {number}" for number in range(4))
    assert found(effective, "model_config")[0].message.endswith(f"config.json: dim 128 for 64, {listed}")


def test_a_value_of_an_older_form_that_today_refuses_is_refused_with_its_place(tmp_path: Path) -> None:
    """Whether two inner layers ignored it, or three take it, other sources decide."""
    file = tmp_path / "old.yaml"
    file.write_text("ttt:\n  ttt_mlp_expansion_factor: -1.0\n", encoding="utf-8")
    assert tttcfg.resolve(config=file).training.ttt.mlp.expansion_factor == 4.0
    with pytest.raises(tttcfg.InputError) as caught:
        tttcfg.resolve(config=file, overrides={"ttt.mlp.layers": 3, "ttt.ttt_mlp_expansion_factor": -2.0})
    assert [problem.key for problem in caught.value.problems] == ["ttt.mlp.expansion_factor"] * 2
    assert str(caught.value.problems[0].place) == f"{file}:2:3"


def test_a_two_layer_width_of_its_own_is_reported() -> None:
    """Under its old name it meant nothing, wherever the number of layers is from."""
    effective = tttcfg.resolve(None, {"ttt": {"enable": True, "mlp": {"expansion_factor": 2.0}}})
    assert "ttt.mlp" in {finding.key for finding in found(effective, "training")}
    old = {"ttt": {"enable": True, "ttt_mlp_expansion_factor": 2.0, "ttt_mlp_hidden_dims": [8]}}
    for config, overrides in ((old, ()), ([old, {"ttt": {"mlp": {"layers": 2}}}], ()), (old, ["ttt.mlp.layers=2"])):
        effective = tttcfg.resolve(None, config, overrides)
        assert (effective.training.ttt.mlp.expansion_factor, effective.training.ttt.mlp.hidden_dims) == (4.0, None)
        assert {one.key for one in found(effective, "converted")} == {"ttt.mlp.expansion_factor", "ttt.mlp.hidden_dims"}
    effective = tttcfg.resolve(None, {"ttt": {**old["ttt"], "ttt_mlp_hidden_dims": [8, 9]}}, ["ttt.mlp.layers=3"])
    assert (effective.training.ttt.mlp.expansion_factor, effective.training.ttt.mlp.hidden_dims) == (2.0, (8, 9))
    assert not found(effective, "converted")


DEPTHS: list[tuple[dict[str, Any], str]] = [
    ({"ttt_mlp_layers": 3}, "first_sequence"),
    ({"ttt_mlp_layers": 2}, "never"),
    ({"mlp": {"layers": 5}}, "first_sequence"),
    ({"inner_model": "linear", "mlp": {"layers": 3}}, "never"),
    ({}, "never"),
]


@pytest.mark.parametrize(("depth", "expected"), DEPTHS)
@pytest.mark.parametrize("written", [False, True])
def test_an_old_boolean_of_persistence_means_what_the_depth_makes_of_it(
    depth: dict[str, Any], expected: str, written: bool
) -> None:
    """Wherever the depth comes from: the same file, one before or after it, or an override."""
    boolean = {"ttt": {"enable": True, "persistent_states": written}}
    beside = {"ttt": {"enable": True, **depth}}
    overrides = {f"ttt.{name}": value for name, value in depth.items()}
    for config, given in (
        ([{"ttt": {**boolean["ttt"], **depth}}], {}),
        ([boolean, beside], {}),
        ([beside, boolean], {}),
        ([boolean], overrides),
    ):
        effective = tttcfg.resolve(config=config, overrides=given)
        assert effective.training.ttt.persistent_states == expected
        (note,) = found(effective, "converted")
        assert note.message.startswith(f"was written as {str(written).lower()}: the trainer carried states with three")


def test_an_old_boolean_of_persistence_is_no_word_against_the_checkpoint(tmp_path: Path) -> None:
    settings = {"ttt.enable": True, "ttt.layers": [1], "ttt.persistent_states": "each_sequence"}
    effective = tttcfg.resolve(trained(tmp_path, settings), {"ttt": {"persistent_states": False}})
    assert effective.training.ttt.persistent_states == "each_sequence"
    assert [one.key for one in found(effective, "converted")] == ["ttt.persistent_states"]


def test_what_a_document_wrote_and_the_program_did_not_obey_is_reported(tmp_path: Path) -> None:
    for written, layers, expected in ((True, 2, 1), (False, 2, 0), (True, 3, 0), (False, 3, 1)):
        values = {"ttt.enable": True, "ttt.persistent_states": written, "ttt.ttt_mlp_layers": layers}
        effective = tttcfg.resolve(checkpoint(tmp_path / f"{written}{layers}", old_document(6, values)))
        assert len(found(effective, "converted")) == expected


def test_defaults_that_follow_from_the_depth_have_that_origin() -> None:
    effective = tttcfg.resolve(overrides={"ttt.mlp.layers": 3})
    for name, value in (("read_out", "twice"), ("scan_dtype", "parameters"), ("persistent_states", "first_sequence")):
        (origin,) = effective.origins[f"ttt.{name}"]
        assert (origin.source, origin.value) == ("default", value)
        assert origin.where.startswith("default: ")


def test_a_value_that_is_derived_instead_is_restored_too(tmp_path: Path) -> None:
    """The checkpoint leaves the context to the model's config.json, and the file gives one."""
    folder = trained(tmp_path / "run", {**TTT_ON, "ttt.ttt_layer_context": None})
    effective = tttcfg.resolve(folder, config={"ttt": {"ttt_layer_context": 50}})
    assert [(one.key, str(one.place)) for one in found(effective, "restored")] == [("ttt.ttt_layer_context", "config")]
    assert effective.origins["ttt.ttt_layer_context"][0].source == "derived"


def test_a_bad_item_is_refused_with_the_position_of_its_override() -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config={"ttt": {"layers": [1]}}, overrides=["seed=1", "ttt.layers.0=x"])
    (problem,) = caught.value.problems
    assert (problem.key, str(problem.place)) == ("ttt.layers.0", "override 2 (ttt.layers.0)")


def test_values_that_do_not_go_together_have_the_place_of_the_most_deliberate() -> None:
    config = {"ttt": {"mlp": {"layers": 3, "hidden_dims": [8, 8]}}}
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config=config, overrides=["seed=1", "ttt.mlp.layers=2"])
    (problem,) = caught.value.problems
    assert (problem.key, str(problem.place)) == ("ttt.mlp", "override 2 (ttt.mlp.layers)")


ORIGINS = {
    "a.b": (Origin("default", 1, "default"),),
    "a.c": (Origin("config", 1, "the file"), Origin("default", 1, "default")),
    "a.d": (Origin("checkpoint", 1, "the checkpoint"), Origin("config", 1, "the file")),
    "a.e": (Origin("override", 1, "override 1"), Origin("checkpoint", 1, "the checkpoint")),
    "ab": (Origin("override", 1, "override 2"),),
}


@pytest.mark.parametrize(
    ("name", "left_out", "place"),
    [
        ("a", "", "override 1"),
        ("a", "a.e", "the checkpoint"),
        ("a", "a.e a.d", "the file"),
        ("a", "a.e a.d a.c", ""),
        ("a.c", "", "the file"),
        ("a.b", "", ""),
        ("a.d.0", "", "the checkpoint"),
        ("nothing", "", ""),
    ],
)
def test_the_place_of_a_problem_is_that_of_the_most_deliberate_value(name: str, left_out: str, place: str) -> None:
    origins: Any = {key: given for key, given in ORIGINS.items() if key not in left_out.split()}
    assert origins_place(origins, name) == place


def test_a_checkpoint_that_is_replaced_all_the_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tttcfg.resolving.sources.is_in_place", lambda _: False)
    with pytest.raises(InputError, match="is replaced faster than it can be read; run again, or give another step"):
        tttcfg.resolve(trained(tmp_path))
