"""A configuration checked against tensors: on real small files, everything that can go wrong, and what is proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import SEED_EXCERPT, checkpoint, trained, write_json
from tests.evidence.dialects import tensors
from tests.evidence.dialects.tensors import Size
from tests.safetensors.files import weights_file
from tttcfg import ContradictionError, InputError
from tttcfg.documents.effective import Verification
from tttcfg.schema.fields import Role, config_fields
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.ttt_moshi.ttt_config import TTTConfig

MODEL = {"dim": 64, "num_heads": 4, "num_layers": 4, "context": 3000}
Tensors = dict[str, tuple[str, Sequence[int]]]
TTT = {"ttt.enable": True, "ttt.layers": [1, 2], "param_dtype": "float32"}


def consolidated(
    layers: Sequence[int], hidden: Sequence[int] | None = None, heads: int = 4, dtype: str = "F32"
) -> Tensors:
    """Return the whole model of width 64, with the trainer's two-layer inner MLP unless `hidden` gives others."""
    size = Size(heads, 64 // heads)
    widths = [4 * size.head_dim] if hidden is None else hidden
    return {name: (dtype, shape) for name, shape in tensors.consolidated(size, layers, widths).items()}


def lora_file(layers: Sequence[int], rank: int) -> Tensors:
    return {name: ("F32", shape) for name, shape in tensors.adapters(Size(), layers, [64], rank).items()}


def saved(
    run: Path,
    shapes: Tensors,
    values: Mapping[str, Any] | None = None,
    *,
    file: str = "consolidated.safetensors",
    model: Mapping[str, Any] | None = None,
) -> Path:
    """Make a checkpoint of a configuration, with tensors that need not be of it."""
    folder = trained(run, {**TTT, **(values or {})}, {**MODEL, **(model or {})})
    weights_file(folder / "consolidated" / file, shapes)
    return folder


def bare(run: Path, shapes: Tensors, model: Mapping[str, Any] | None = None) -> Path:
    """Make a checkpoint without a configuration of its own."""
    folder = checkpoint(run, None, {**MODEL, **(model or {})})
    weights_file(folder / "consolidated" / "consolidated.safetensors", shapes)
    return folder


def refused(folder: Path, *overrides: str, **options: Any) -> dict[str, str]:
    """Return the contradictions of a checkpoint by key, having seen that nothing else was raised."""
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(folder, overrides=overrides, **options)
    return {problem.key: f"{problem.sentence} ({problem.place})" for problem in caught.value.problems}


def verdicts(verification: Verification) -> dict[str, str]:
    return {name: one.outcome for name, one in verification.verdicts.items()}


def test_a_checkpoint_of_its_own_configuration_is_verified(tmp_path: Path) -> None:
    """Every setting with a tensor is verified, and the others are not determined by the tensors, with a reason."""
    found = tttcfg.verify(saved(tmp_path, consolidated(layers=[1, 2])))
    assert found.dialect == "ttt_moshi"
    proved = {name for name, verdict in verdicts(found).items() if verdict == "verified"}
    assert proved >= {
        *("ttt.enable", "ttt.layers", "ttt.inner_model", "ttt.mlp.layers", "ttt.mlp.expansion_factor", "param_dtype"),
        *("ttt.model_dim", "ttt.num_heads", "ttt.head_dim", "ttt.num_layers", "ttt.layer_indices", "lora.enable"),
    }
    assert all(one.shown for one in found.verdicts.values() if one.outcome == "not_determined")
    assert verdicts(found)["ttt.mini_batch_size"] == verdicts(found)["ttt.base_lr"] == "not_determined"
    assert {one.key for one in found.findings if one.code == "not_determined"} >= {
        "ttt.mini_batch_size",
        "ttt.rope_mode",
    }


MODEL_DEFINING = {Role.ARCHITECTURE, Role.COMPUTATION}
OF_LAYERS = {f"ttt.{field.name}" for field in config_fields(TTTConfig).values() if field.role in MODEL_DEFINING}


@pytest.mark.parametrize("described", [True, False], ids=["config.json", "no config.json"])
@pytest.mark.parametrize("on", [True, False], ids=["TTT", "no TTT"])
def test_every_architecture_and_computation_field_has_a_verdict(tmp_path: Path, on: bool, described: bool) -> None:
    """Whatever is proved has one too, whether or not the layers' configuration can be derived."""
    shapes = consolidated(layers=[1, 2]) if on else {name: ("F32", one) for name, one in tensors.moshi(Size()).items()}
    folder = saved(tmp_path, shapes, {"ttt.enable": on})
    if not described:
        (folder / "consolidated" / "config.json").unlink()
    found = tttcfg.verify(folder)
    expected = {field.name for field in TTT_MOSHI.model_defining_fields} | OF_LAYERS | found.proved.keys()
    assert expected <= found.verdicts.keys()
    assert {found.verdicts[name].outcome for name in found.proved} == {"verified"}


@pytest.mark.parametrize("shapes", [{"a": ("F32", (4, 4))}, None], ids=["unknown", "of another program"])
def test_fields_have_a_verdict_of_weights_that_no_configuration_describes(
    tmp_path: Path, shapes: Tensors | None
) -> None:
    foreign = {name: ("F32", shape) for name, shape in tensors.in_place(Size(), [1]).items()}
    found = tttcfg.inspect_weights(bare(tmp_path, shapes or foreign)).verdicts
    assert found.keys() >= OF_LAYERS
    reason = "these tensors are of no known program" if shapes else "the TTT of moshi_in_place is another one"
    assert {found[f"ttt.{name}"].shown for name in ("enable", "layers", "model_dim", "inner_model")} == {reason}


@pytest.mark.parametrize("on", [True, False], ids=["TTT", "no TTT"])
def test_every_contradiction_is_a_verdict_too(tmp_path: Path, on: bool) -> None:
    shapes = consolidated(layers=[1, 2]) if on else {name: ("F32", one) for name, one in tensors.moshi(Size()).items()}
    folder = saved(tmp_path, shapes, {"ttt.enable": on}, model={"dim": 128, "num_layers": 9})
    found = tttcfg.inspect_weights(folder)
    contradicted = {one.key for one in found.findings if one.code == "contradiction"}
    assert contradicted >= {"ttt.model_dim", "ttt.num_layers"}
    assert {found.verdicts[key].outcome for key in contradicted} == {"contradicted"}


@pytest.mark.parametrize(
    ("made_of", "values", "key", "words"),
    [
        ({"layers": [0, 3]}, {}, "ttt.layers", "but the weights have TTT in layers [0,3]"),
        ({"layers": [1, 2]}, {"ttt.layers": "all"}, "ttt.layers", "which means [0,1,2,3]"),
        ({"layers": [1, 2], "hidden": [64] * 4}, {}, "ttt.mlp.layers", "is 2"),
        ({"layers": [1, 2]}, {"ttt.mlp.layers": 5}, "ttt.mlp.layers", "the weights have 2"),
        ({"layers": [1, 2], "hidden": []}, {}, "ttt.inner_model", "the weights have 'linear'"),
        ({"layers": [1, 2]}, {"ttt.inner_model": "linear"}, "ttt.inner_model", "the weights have 'mlp'"),
        (
            {"layers": [1, 2], "hidden": [64, 32]},
            {"ttt.mlp.layers": 3, "ttt.mlp.hidden_dims": [64, 64]},
            "ttt.mlp.hidden_dims",
            "the weights have [64, 32]",
        ),
        (
            {"layers": [1, 2], "hidden": [64, 64]},
            {"ttt.mlp.layers": 3, "ttt.mlp.expansion_factor": 2.0},
            "ttt.mlp.expansion_factor",
            "the weights have [64, 64]",
        ),
        ({"layers": []}, {}, "ttt.enable", "no tensor of a TTT layer is in the weights"),
        ({"layers": [1, 2]}, {"ttt.enable": False}, "ttt.enable", "would be left out"),
        ({"layers": [1, 2]}, {"ttt.layers": "none"}, "ttt.layers", "would be left out"),
        ({"layers": [1, 2]}, {"lora.enable": True}, "lora.enable", "adds random adapters"),
        ({"layers": [1, 2], "dtype": "BF16"}, {}, "param_dtype", "stored in bfloat16"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_a_configuration_that_is_not_the_weights_own_is_caught(
    tmp_path: Path, made_of: dict[str, Any], values: dict[str, Any], key: str, words: str
) -> None:
    """The one thing that is wrong is the only contradiction, and its message says what to do."""
    found = refused(saved(tmp_path, consolidated(**made_of), values))
    assert list(found) == [key]
    assert words in found[key]
    assert ";" in found[key]


def test_adapters_that_the_configuration_does_not_have_are_caught(tmp_path: Path) -> None:
    folder = saved(tmp_path, lora_file(layers=[1, 2], rank=8), file="lora.safetensors")
    assert "without, the adapters are left out" in refused(folder)["lora.enable"]


def test_a_wrong_rank_is_caught(tmp_path: Path) -> None:
    folder = saved(tmp_path, lora_file(layers=[1, 2], rank=8), {"lora.enable": True}, file="lora.safetensors")
    assert refused(folder) == {
        "lora.rank": "is 64, but the weights have 8 (text_linear.lora_A.weight); override lora.rank=8 "
        f"({folder}/consolidated/training_config.json)"
    }
    assert verdicts(tttcfg.verify(folder, overrides=["lora.rank=8"]))["lora.rank"] == "verified"


def test_merged_weights_whose_config_json_has_lora_are_caught(tmp_path: Path) -> None:
    """moshi-finetune writes this after `save_adapters: false`, and its loader adds random adapters."""
    folder = saved(tmp_path, consolidated(layers=[1, 2]), {"lora.enable": True}, model={"lora": True, "lora_rank": 64})
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(folder)
    first, second = (str(problem) for problem in caught.value.problems if problem.key == "lora.enable")
    assert "override lora.enable=false" in first
    assert "config.json, lora: " in second
    assert "LoRA was merged" in first


def test_merged_adapters_are_no_contradiction_where_the_configuration_merges_them(tmp_path: Path) -> None:
    """The trainer's files still have lora: true, but what is loaded has none."""
    model = {"lora": True, "lora_rank": 64, "lora_scaling": 2.0}
    values = {"lora.enable": True, "save_adapters": False}
    folder = saved(tmp_path / "a", consolidated(layers=[1, 2]), values, model=model)
    effective = tttcfg.resolve(folder)
    assert effective.training.lora.enable is False
    assert [one.source for one in effective.origins["lora.enable"]] == ["weights", "checkpoint", "default"]
    agreeing = saved(tmp_path / "e", consolidated(layers=[1, 2]), {**values, "lora.enable": False}, model=model)
    assert tttcfg.resolve(agreeing).origins["lora.enable"][0].source == "checkpoint"
    (finding,) = (one for one in effective.findings if one.key == "lora.enable")
    assert (finding.severity, finding.code) == ("info", "merged")
    assert verdicts(tttcfg.verify(folder))["lora.enable"] == "verified"
    with pytest.raises(ContradictionError, match="adds random adapters"):
        tttcfg.resolve(folder, overrides=["lora.enable=true"])
    without = bare(tmp_path / "b", consolidated(layers=[1, 2]), model=model)
    run = {"ttt": {"enable": True, "layers": [1, 2]}, "lora": {"enable": True}, "save_adapters": False}
    sources = [one.source for one in tttcfg.resolve(without, run).origins["lora.enable"]]
    assert sources == ["weights", "config", "default"]
    document = tttcfg.load_document(tttcfg.adopt(without, run))
    assert (document.training.lora.enable, document.training.save_adapters) == (False, False)
    assert tttcfg.resolve(without).training.lora.enable is False
    override = tttcfg.resolve(folder, overrides=["save_adapters=true"])  # of the next run
    assert override.training.lora.enable is False
    dangerous = saved(tmp_path / "d", consolidated(layers=[1, 2]), {**values, "save_adapters": True}, model=model)
    with pytest.raises(ContradictionError, match="adds random adapters"):
        tttcfg.resolve(dangerous, overrides=["save_adapters=false"])
    only_adapters = saved(tmp_path / "c", lora_file(layers=[1, 2], rank=8), values, file="lora.safetensors")
    assert "lora.rank" in refused(only_adapters)


def test_an_adapter_file_without_tensors_is_called_that(tmp_path: Path) -> None:
    """A run that trains nothing saves one: TTT in no layer, and no LoRA."""
    folder = saved(tmp_path / "a", {}, {"ttt.layers": "none"}, file="lora.safetensors")
    found = tttcfg.verify(folder).findings
    assert [one.message for one in found if "adapter file without tensors" in one.message]
    with_layers = saved(tmp_path / "b", {}, {"ttt.layers": [1]}, file="lora.safetensors")
    assert "no tensor of" in refused(with_layers)["ttt.enable"]
    for whole in (saved(tmp_path / "c", {}), bare(tmp_path / "d", {})):
        with pytest.raises(ContradictionError, match="holds no tensors; give the checkpoint's weights"):
            tttcfg.resolve(whole)


def test_a_config_json_of_another_model_is_caught(tmp_path: Path) -> None:
    folder = saved(tmp_path, consolidated(layers=[1, 2]), model={"dim": 128, "num_heads": 8, "num_layers": 6})
    found = refused(folder)
    assert set(found) == {"ttt.model_dim", "ttt.num_heads", "ttt.num_layers"}
    assert all("config.json" in message for message in found.values())


def test_a_wrong_head_count_is_caught(tmp_path: Path) -> None:
    folder = saved(tmp_path, consolidated(layers=[1, 2], heads=8))
    found = refused(folder)
    assert "is 4," in found["ttt.num_heads"]
    assert "weights have 8" in found["ttt.num_heads"]


def test_adapters_without_a_base_model_are_caught(tmp_path: Path) -> None:
    values = {"lora.enable": True, "lora.rank": 8, "moshi_paths.hf_repo_id": None}
    folder = saved(tmp_path, lora_file(layers=[1, 2], rank=8), values, file="lora.safetensors")
    assert "name the base model" in refused(folder)["moshi_paths.hf_repo_id"]


def test_full_fine_tuning_is_not_in_an_adapter_file(tmp_path: Path) -> None:
    shapes = {name: one for name, one in lora_file(layers=[1, 2], rank=8).items() if "lora" not in name}
    folder = saved(tmp_path, shapes, {"full_finetuning": True}, file="lora.safetensors")
    assert "no base model" in refused(folder)["full_finetuning"]


def test_a_file_whose_data_was_cut_off_is_the_answer_no(tmp_path: Path) -> None:
    folder = saved(tmp_path, consolidated(layers=[1, 2]))
    file = folder / "consolidated" / "consolidated.safetensors"
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 3)
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(folder)
    assert [problem.code for problem in caught.value.problems] == ["truncated"]
    assert [one.code for one in tttcfg.inspect_weights(folder).findings if one.severity == "error"] == ["truncated"]


@pytest.mark.parametrize("left", [0, 5, 2000], ids=["empty", "inside the length", "inside the header"])
@pytest.mark.parametrize("ask", [tttcfg.verify, tttcfg.inspect_weights], ids=["verify", "inspect"])
def test_a_header_that_was_cut_off_is_no_answer(tmp_path: Path, left: int, ask: Callable[[Path], Any]) -> None:
    """Nothing is known of the tensors then, so there is no verdict: the file is what cannot be used."""
    folder = saved(tmp_path, consolidated(layers=[1, 2]))
    with (folder / "consolidated" / "consolidated.safetensors").open("r+b") as stream:
        stream.truncate(left)
    with pytest.raises(InputError, match="download it again"):
        ask(folder)


def test_all_contradictions_come_at_once(tmp_path: Path) -> None:
    folder = saved(tmp_path, consolidated(layers=[1, 2]), {"lora.enable": True, "ttt.layers": [0]}, model={"dim": 32})
    assert set(refused(folder)) == {"lora.enable", "ttt.layers", "ttt.model_dim"}


def test_an_override_of_what_no_shape_depends_on_contradicts_nothing(tmp_path: Path) -> None:
    """Weights stored in one type may be run in another, on purpose: that is a deviation."""
    found = tttcfg.verify(saved(tmp_path, consolidated(layers=[1, 2])), overrides=["param_dtype=bfloat16"])
    assert found.verdicts["param_dtype"].outcome == "not_determined"
    assert "stored in float32" in found.verdicts["param_dtype"].shown


@pytest.mark.parametrize("taken", ["!default", "!config"])
def test_what_an_override_takes_from_a_lower_source_is_chosen_too(tmp_path: Path, taken: str) -> None:
    folder = saved(tmp_path, consolidated(layers=[1, 2]))
    found = tttcfg.verify(folder, {"param_dtype": "bfloat16"}, [f"param_dtype={taken}"])
    assert found.verdicts["param_dtype"].outcome == "not_determined"
    assert "stored in float32" in found.verdicts["param_dtype"].shown


def test_a_default_does_not_contradict_a_type_that_cannot_be_given(tmp_path: Path) -> None:
    """There is no param_dtype=float64 to ask for; who gave another one is contradicted all the same."""
    shapes = consolidated(layers=[1, 2], dtype="F64")
    (finding,) = (one for one in tttcfg.verify(bare(tmp_path / "a", shapes)).findings if one.key == "param_dtype")
    assert (finding.severity, finding.code) == ("warning", "not_determined")
    assert "stored in float64" in finding.message
    folder = saved(tmp_path / "b", shapes)
    assert "override param_dtype=float32" in refused(folder)["param_dtype"]
    assert verdicts(tttcfg.verify(folder, overrides=["param_dtype=float32"]))["param_dtype"] == "not_determined"


def test_tensors_that_are_missing_or_of_another_shape_are_named(tmp_path: Path) -> None:
    shapes = consolidated(layers=[1, 2])
    prefix = "transformer.layers.2.seq_modeling_block.ttt_layer.ttt."
    del shapes[f"{prefix}W2"]
    shapes[f"{prefix}wq.weight"] = ("F32", (64, 32))
    folder = saved(tmp_path, shapes)
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(folder)
    text = str(caught.value)
    assert "W2" in text
    assert "wq.weight" in text
    assert {problem.code for problem in caught.value.problems} == {"weights"}


UNKNOWN: dict[str, Tensors] = {"unknown names": {"model.blocks.0.w": ("F32", (4, 4))}, "no tensors": {}}
FOREIGN = {
    "ttt-lm-pytorch": tensors.lm_pytorch(Size(), [64]),
    "ttt-lm-kernels": tensors.lm_kernels(Size(), []),
    "ttt-video-dit": tensors.video_dit(Size(), [64]),
    "moshi_in_place": tensors.in_place(Size(), [1]),
}


@pytest.mark.parametrize("shapes", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_names_are_reported_as_unknown(tmp_path: Path, shapes: Tensors) -> None:
    """Nothing is guessed: inspecting the weights reports that their program is unknown."""
    folder = bare(tmp_path, shapes)
    found = tttcfg.inspect_weights(folder)
    assert found.dialect is None
    assert set(verdicts(found).values()) <= {"not_determined", "verified"}
    assert [one.severity for one in found.findings if one.code == "dialect"] == ["warning"]
    assert set(found.proved) <= {"param_dtype", "ttt.dtype"}


@pytest.mark.parametrize("shapes", UNKNOWN.values(), ids=UNKNOWN)
def test_weights_of_another_program_resolve_to_nothing(tmp_path: Path, shapes: Tensors) -> None:
    """A complete configuration beside weights that it does not describe would be taken for theirs."""
    with pytest.raises(ContradictionError, match=r"no known program|holds no tensors"):
        tttcfg.resolve(bare(tmp_path, shapes), {"batch_size": 2})


@pytest.mark.parametrize("shapes", UNKNOWN.values(), ids=UNKNOWN)
def test_nothing_of_a_configuration_is_in_unknown_weights(tmp_path: Path, shapes: Tensors) -> None:
    nothing = "nothing of this configuration is in these weights"
    for folder in (saved(tmp_path / "a", shapes), bare(tmp_path / "b", shapes)):
        with pytest.raises(ContradictionError, match=nothing):
            tttcfg.verify(folder)
    for config, overrides in (({"ttt": {"enable": True}}, []), (None, ["lora.enable=true"])):
        with pytest.raises(ContradictionError, match=nothing):
            tttcfg.resolve(bare(tmp_path / "c", shapes), config, overrides)


@pytest.mark.parametrize("title", FOREIGN)
def test_weights_of_another_program_are_reported_and_are_no_configurations_own(tmp_path: Path, title: str) -> None:
    """To ask what they are is fine; a configuration of this family is never theirs."""
    folder = bare(tmp_path, {name: ("BF16", shape) for name, shape in FOREIGN[title].items()})
    (finding,) = (one for one in tttcfg.inspect_weights(folder).findings if one.code == "dialect")
    assert (finding.severity, f"are of {title}, which" in finding.message) == ("info", True)
    for ask in (tttcfg.verify, tttcfg.resolve):
        with pytest.raises(ContradictionError, match=f"are of {title}, which a configuration of ttt_moshi does not"):
            ask(folder, {"ttt": {"enable": False}})
    with pytest.raises(ContradictionError, match="does not describe"):
        tttcfg.verify(folder)


def test_mixed_names_are_an_error(tmp_path: Path) -> None:
    mixed = {**FOREIGN["ttt-lm-pytorch"], **FOREIGN["ttt-video-dit"]}
    found = tttcfg.inspect_weights(bare(tmp_path, {name: ("BF16", shape) for name, shape in mixed.items()}))
    assert [one.code for one in found.findings if one.severity == "error"] == ["weights"]


def test_ttt_under_unknown_names_is_not_there(tmp_path: Path) -> None:
    """A loader would leave those tensors out, and take random ones for what the configuration asks for."""
    shapes = consolidated(layers=[])
    for name, (dtype, shape) in consolidated(layers=[1, 2]).items():
        if ".ttt_layer." in name:
            shapes[name.replace("seq_modeling_block", "ttt_block")] = (dtype, shape)
    assert "known to be of" in refused(saved(tmp_path, shapes))["ttt.enable"]


def test_what_tensors_prove_overrides_a_configuration_file_where_no_document_is(tmp_path: Path) -> None:
    folder = bare(tmp_path, consolidated(layers=[1, 2], hidden=[64, 32]))
    config = {"ttt": {"enable": False, "layers": "all", "base_lr": 0.5}, "lora": {"enable": True}}
    effective = tttcfg.resolve(folder, config)
    assert effective.training.ttt.enable
    assert effective.training.ttt.layers == (1, 2)
    assert effective.training.ttt.mlp.hidden_dims == (64, 32)
    assert not effective.training.lora.enable
    assert effective.training.ttt.base_lr == 0.5
    used, overridden, default = effective.origins["ttt.layers"]
    assert (used.source, overridden.source, default.source) == ("weights", "config", "default")
    assert "consolidated.safetensors" in used.where
    assert verdicts(tttcfg.verify(folder, config))["ttt.layers"] == "verified"
    doubtful = {one.key for one in effective.findings if one.code == "unconfirmed"}
    assert "ttt.base_lr" in doubtful
    assert "param_dtype" not in doubtful


def test_a_value_of_a_file_that_tensors_refute_is_reported_with_both_sides(tmp_path: Path) -> None:
    folder = bare(tmp_path / "run", consolidated(layers=[1, 2]))
    wrong = {"ttt": {"enable": True, "layers": "all", "mlp": {"layers": 5}}, "lora": {"enable": True, "rank": 8}}
    config = write_json(tmp_path / "wrong.json", wrong)
    restored = {one.key: one for one in tttcfg.verify(folder, config).findings if one.code == "restored"}
    assert restored.keys() == {"ttt.layers", "ttt.mlp.layers", "lora.enable"}
    assert {one.severity for one in restored.values()} == {"warning"}
    file = folder / "consolidated" / "consolidated.safetensors"
    tensor = "transformer.layers.1.seq_modeling_block.ttt_layer.ttt.W1"
    assert (restored["ttt.mlp.layers"].message, str(restored["ttt.mlp.layers"].place)) == (
        f"is 2, as {file} ({tensor}) proves, not 5",
        f"{config}:1:51",
    )
    assert set(restored.values()) <= set(tttcfg.resolve(folder, config).findings)


def test_a_value_of_a_file_in_other_words_than_the_tensors_is_not_refuted(tmp_path: Path) -> None:
    folder = bare(tmp_path, consolidated(layers=[1, 2], hidden=[32, 32]))
    config = {"ttt": {"enable": True, "layers": "middle", "mlp": {"layers": 3, "hidden_dims": [32, 32]}}}
    found = tttcfg.verify(folder, config)
    assert [one for one in found.findings if one.code == "restored"] == []
    assert verdicts(found)["ttt.mlp.hidden_dims"] == verdicts(found)["ttt.layers"] == "verified"


def test_a_file_alone_is_checked_against_the_tensors(tmp_path: Path) -> None:
    """Nothing of the checkpoint is a source then, its tensors no more than its document."""
    folder = bare(tmp_path, consolidated(layers=[1, 2], dtype="BF16"))
    wrong = {"ttt": {"enable": True, "layers": "all"}, "lora": {"enable": True}}
    assert set(refused(folder, config=wrong, restore="none")) == {"ttt.layers", "lora.enable"}
    right = {"ttt": {"enable": True, "layers": [1, 2]}}
    effective = tttcfg.resolve(folder, right, restore="none")
    assert [one.source for one in effective.origins["ttt.layers"]] == ["config", "default"]
    assert set(refused(folder, restore="none")) == {"ttt.enable"}


def test_an_override_takes_precedence_over_what_tensors_prove_and_is_contradicted(tmp_path: Path) -> None:
    folder = bare(tmp_path, consolidated(layers=[1, 2]))
    assert set(refused(folder, "ttt.mlp.layers=4")) == {"ttt.mlp.layers"}


def test_a_document_is_not_replaced_by_what_tensors_prove(tmp_path: Path) -> None:
    """The document is the checkpoint's word; tensors only contradict it."""
    folder = saved(tmp_path, consolidated(layers=[1, 2]), {"ttt.layers": [0, 1]})
    with pytest.raises(ContradictionError) as caught:
        tttcfg.resolve(folder)
    effective: Any = caught.value.effective
    assert effective.training.ttt.layers == (0, 1)
    assert effective.verification is not None


def test_tensors_fill_in_what_is_absent_from_a_document(tmp_path: Path) -> None:
    """The seed's excerpt has no settings of LoRA and the inner layers; the tensors prove them."""
    folder = checkpoint(tmp_path, {**SEED_EXCERPT, "ttt": {**SEED_EXCERPT["ttt"], "layers": "1,2"}}, MODEL)
    weights_file(folder / "consolidated" / "consolidated.safetensors", consolidated(layers=[1, 2], hidden=[64] * 4))
    effective = tttcfg.resolve(folder, {"ttt": {"mlp": {"layers": 3}}, "lora": {"enable": True}})
    assert effective.training.ttt.mlp.layers == 5
    assert not effective.training.lora.enable
    assert [one.source for one in effective.origins["ttt.mlp.layers"]] == ["weights", "config", "checkpoint", "default"]
    restored = {one.key for one in effective.findings if (one.code, one.severity) == ("restored", "warning")}
    assert restored == {"ttt.mlp.layers", "lora.enable"}
    assert effective.origins["ttt.layers"][0].source == "checkpoint"


def test_inspecting_reports_what_is_proved_and_raises_no_contradiction(tmp_path: Path) -> None:
    found = tttcfg.inspect_weights(saved(tmp_path, consolidated(layers=[1, 2]), {"ttt.layers": [0, 1]}))
    assert found.proved["ttt.layers"] == [1, 2]
    assert found.proved["ttt.inner_layer_sizes"] == [16, 64, 16]
    assert [one.key for one in found.findings if one.severity == "error"] == ["ttt.layers"]


def test_a_checkpoint_without_weights_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no weights"):
        tttcfg.verify(trained(tmp_path))


def test_a_weights_file_that_was_given_is_the_one_that_is_read(tmp_path: Path) -> None:
    """A second file beside it is named where the folder was given, since it is not stated which of them is meant."""
    folder = saved(tmp_path, consolidated(layers=[1, 2]))
    inside = folder / "consolidated"
    weights_file(inside / "lora.safetensors", lora_file(layers=[1, 2], rank=8))
    assert "was not read" in str([one.labelled() for one in tttcfg.verify(folder).findings])
    found = refused(inside / "lora.safetensors")
    assert "lora.enable" in found


def test_weights_behind_a_url_are_verified(tmp_path: Path) -> None:
    file = weights_file(tmp_path / "any.safetensors", consolidated(layers=[1, 2]))
    found = tttcfg.inspect_weights(f"file://{file}")
    assert found.proved["ttt.layers"] == [1, 2]
