"""What is caught in adapter files, and in files of other programs and other versions: on whole small checkpoints."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors

import tttcfg
from tests.builders import checkpoint, trained
from tests.evidence.dialects import tensors
from tests.evidence.dialects.tensors import Shapes, Size
from tests.safetensors.files import sharded, weights_file
from tttcfg import ContradictionError
from tttcfg.documents.effective import Effective

SIZE = Size()
MODEL = {"dim": 64, "num_heads": 4, "num_layers": 4, "context": 3000}
LORA = {"lora": True, "lora_rank": 8, "lora_scaling": 2.0}
OF_ADAPTERS = {"ttt.enable": True, "ttt.layers": [1, 2], "lora.enable": True, "lora.rank": 8, "param_dtype": "bfloat16"}
OF_TTT = {**OF_ADAPTERS, "lora.enable": False}
OF_LORA = {**OF_ADAPTERS, "ttt.enable": False}
ADAPTERS = tensors.adapters(SIZE, (1, 2), (64,), 8)
ONLY_TTT = tensors.moshi_ttt(SIZE, (1, 2), (64,))
ONLY_LORA = tensors.lora(tensors.moshi_linears(SIZE), 8)
WHOLE = tensors.consolidated(SIZE, (1, 2), (64,))
BLOCK = "transformer.layers.{}.seq_modeling_block."


def saved(
    run: Path,
    shapes: Shapes,
    values: Mapping[str, Any] | None,
    model: Mapping[str, Any] = MODEL,
    file: str = "lora.safetensors",
) -> Path:
    """Make a checkpoint of tensors and a configuration that need not be theirs; None for no saved configuration."""
    folder = checkpoint(run, None, dict(model)) if values is None else trained(run, dict(values), dict(model))
    weights_file(folder / "consolidated" / file, {name: ("BF16", shape) for name, shape in shapes.items()})
    return folder


def refused(folder: Path, *overrides: str, **options: Any) -> dict[str, str]:
    """Return what contradicts a checkpoint, by key."""
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(folder, overrides=overrides, **options)
    return {problem.key: f"{problem.sentence} ({problem.place})" for problem in caught.value.problems}


def warned(folder: Path) -> list[str]:
    return [one.sentence for one in tttcfg.verify(folder).findings if one.severity == "warning"]


@pytest.mark.parametrize(
    ("shapes", "values"),
    [(ADAPTERS, OF_ADAPTERS), (ONLY_TTT, OF_TTT), (ONLY_LORA, OF_LORA), (WHOLE, OF_TTT)],
    ids=["adapters", "TTT alone", "LoRA alone", "whole"],
)
def test_a_healthy_file_is_whole_and_has_no_finding(tmp_path: Path, shapes: Shapes, values: dict[str, Any]) -> None:
    folder = saved(tmp_path, shapes, values, {**MODEL, **(LORA if values["lora.enable"] else {})})
    data = (folder / "consolidated" / "lora.safetensors").read_bytes()
    assert {name for name, _ in safetensors.deserialize(data)} == shapes.keys()
    assert warned(folder) == []


@pytest.mark.parametrize(
    ("shapes", "values", "keys", "words"),
    [
        (tensors.adapters(SIZE, (0, 3), (64,), 8), OF_ADAPTERS, ["ttt.layers"], "TTT in layers [0,3]"),
        (tensors.adapters(SIZE, (1, 2), (64,) * 4, 8), OF_ADAPTERS, ["ttt.mlp.layers"], "the weights have 5"),
        (ADAPTERS, {**OF_ADAPTERS, "ttt.mlp.layers": 5}, ["ttt.mlp.layers"], "the weights have 2"),
        (tensors.adapters(SIZE, (1, 2), (), 8), OF_ADAPTERS, ["ttt.inner_model"], "have 'linear'"),
        (ADAPTERS, {**OF_ADAPTERS, "ttt.mlp.hidden_dims": [32]}, ["ttt.mlp.hidden_dims"], "the weights have [64]"),
        (tensors.adapters(SIZE, (1, 2), (64,), 4), OF_ADAPTERS, ["lora.rank"], "the weights have 4"),
        (ONLY_TTT, OF_ADAPTERS, ["lora.enable"], "no adapter is among the weights; override lora.enable=false"),
        (ADAPTERS, OF_TTT, ["lora.enable"], "adapters are left out"),
        (ONLY_LORA, OF_ADAPTERS, ["ttt.enable"], "no tensor of"),
        (ADAPTERS, OF_LORA, ["ttt.enable"], "would be left out"),
        (ADAPTERS, {**OF_ADAPTERS, "moshi_paths.hf_repo_id": None}, ["moshi_paths.hf_repo_id"], "adapters only"),
        (ONLY_LORA, {**OF_LORA, "moshi_paths.hf_repo_id": None}, ["moshi_paths.hf_repo_id"], "no base model"),
    ],
)
def test_an_adapter_file_of_another_configuration_is_caught(
    tmp_path: Path, shapes: Shapes, values: dict[str, Any], keys: list[str], words: str
) -> None:
    found = refused(saved(tmp_path, shapes, values))
    assert list(found) == keys
    assert words in found[keys[0]]


def test_an_adapter_file_of_another_head_count_is_caught(tmp_path: Path) -> None:
    found = refused(saved(tmp_path, tensors.adapters(Size(heads=8, head_dim=8), (1, 2), (32,), 8), OF_ADAPTERS))
    assert "is 4," in found["ttt.num_heads"]
    assert "weights have 8" in found["ttt.num_heads"]


@pytest.mark.parametrize(("shapes", "values"), [(ADAPTERS, OF_ADAPTERS), (ONLY_LORA, OF_LORA)], ids=["TTT", "no TTT"])
@pytest.mark.parametrize(("theirs", "ours"), [("dim", "ttt.model_dim"), ("num_layers", "ttt.num_layers")])
def test_a_config_json_of_another_model_is_caught_beside_adapters(
    tmp_path: Path, shapes: Shapes, values: dict[str, Any], theirs: str, ours: str
) -> None:
    """Adapters take what the base model gives, so they show its width without it."""
    found = refused(saved(tmp_path, shapes, values, {**MODEL, theirs: 2 * MODEL[theirs]}))
    assert f"config.json, {theirs})" in found[ours]
    assert f"but the weights have {MODEL[theirs]} (" in found[ours]


@pytest.mark.parametrize(("spec", "layers"), [("middle", (1, 2)), ("all", (0, 1, 2, 3))])
def test_a_word_for_layers_is_verified_without_all_of_config_json(
    tmp_path: Path, spec: str, layers: tuple[int, ...]
) -> None:
    """The depth is enough: whatever else is absent from config.json, it determines what the word means."""
    partly = {"num_layers": 4}
    healthy = saved(tmp_path / "a", tensors.moshi_ttt(SIZE, layers, (64,)), {**OF_TTT, "ttt.layers": spec}, partly)
    assert tttcfg.verify(healthy).verdicts["ttt.layers"].outcome == "verified"
    other = saved(tmp_path / "b", tensors.moshi_ttt(SIZE, (0, 3), (64,)), {**OF_TTT, "ttt.layers": spec}, partly)
    assert f"is '{spec}', which means" in refused(other)["ttt.layers"]


@pytest.mark.parametrize("depth", [None, True, "4", 0, 10**9])
def test_a_word_for_layers_is_not_verified_with_an_unusable_depth(tmp_path: Path, depth: Any) -> None:
    folder = saved(tmp_path, ONLY_TTT, {**OF_TTT, "ttt.layers": "middle"}, {**MODEL, "num_layers": depth})
    assert tttcfg.verify(folder).verdicts["ttt.layers"].shown == "how many layers the model has is not known"


def test_another_scaling_in_config_json_is_caught(tmp_path: Path) -> None:
    """No tensor shows it; a loader takes the one in config.json, whatever the weights were trained with."""
    folder = saved(tmp_path, ADAPTERS, OF_ADAPTERS, {**MODEL, **LORA, "lora_scaling": 4.0})
    found = refused(folder)
    assert list(found) == ["lora.scaling"]
    assert "config.json has lora_scaling 4.0" in found["lora.scaling"]
    assert "override lora.scaling=4.0" in found["lora.scaling"]
    chosen = tttcfg.verify(folder, overrides=["lora.scaling=1.0"]).verdicts["lora.scaling"]
    assert chosen.outcome == "not_determined"
    assert "the override is 1.0" in chosen.shown


def test_config_json_does_not_contradict_a_scaling_that_is_not_given(tmp_path: Path) -> None:
    folder = saved(tmp_path, ONLY_LORA, None, {**MODEL, **LORA, "lora_scaling": 4.0})
    chosen = tttcfg.verify(folder).verdicts["lora.scaling"]
    assert chosen.outcome == "not_determined"
    assert chosen.advice == "override lora.scaling=4.0"


@pytest.mark.parametrize(("recorded", "held"), [(True, False), (False, True)])
def test_embeddings_that_are_recorded_and_not_there_are_caught(tmp_path: Path, recorded: bool, held: bool) -> None:
    embeddings = {"text_emb.weight": [51, 64], "emb.0.weight": [33, 64]} if held else {}
    folder = saved(tmp_path, ADAPTERS | embeddings, {**OF_ADAPTERS, "lora.ft_embed": recorded})
    found = refused(folder)
    assert list(found) == ["lora.ft_embed"]
    assert f"override lora.ft_embed={str(held).lower()}" in found["lora.ft_embed"]
    tttcfg.verify(folder, overrides=[f"lora.ft_embed={held}"])


@pytest.mark.parametrize(
    ("recorded", "held", "advice"),
    [([0], (), "none"), ("none", (0, 2), "[0,2]"), ([0], (0, 2), "[0,2]"), ("middle", (0,), "[0]")],
)
def test_trained_attention_of_other_layers_is_caught(
    tmp_path: Path, recorded: Any, held: tuple[int, ...], advice: str
) -> None:
    key = "ttt.unfrozen_attention_layers"
    shapes = ONLY_TTT | tensors.unfrozen(SIZE, held, (1, 2))
    folder = saved(tmp_path, shapes, {**OF_TTT, key: recorded})
    found = refused(folder)
    assert list(found) == [key]
    assert f"override {shlex.quote(f'{key}={advice}')}" in found[key]
    tttcfg.verify(folder, overrides=[f"{key}={advice}"])


@pytest.mark.parametrize("recorded", ["middle", [1, 2]])
def test_trained_attention_is_that_of_the_recorded_layers_in_any_words(tmp_path: Path, recorded: Any) -> None:
    shapes = ONLY_TTT | tensors.unfrozen(SIZE, (1, 2), (1, 2))
    assert warned(saved(tmp_path, shapes, {**OF_TTT, "ttt.unfrozen_attention_layers": recorded})) == []


def test_trained_attention_that_adapters_stand_before_need_not_be_saved(tmp_path: Path) -> None:
    """The trainer leaves out what it calls frozen, trained or not."""
    assert warned(saved(tmp_path, ADAPTERS, {**OF_ADAPTERS, "ttt.unfrozen_attention_layers": [0]}, MODEL)) == []


@pytest.mark.parametrize(
    ("hidden", "names", "words"),
    [
        (
            (64,),
            tensors.many_layers,
            "2 inner layers named",
        ),
        ((), tensors.many_layers, "1 inner layer named"),
        (
            (64, 64),
            tensors.scan,
            "3 inner layers named",
        ),
    ],
)
def test_an_inner_model_that_the_trainer_never_names_so_is_caught(
    tmp_path: Path, hidden: tuple[int, ...], names: Any, words: str
) -> None:
    """Its layers would not find their tensors, and so nothing of the inner model is verified."""
    inner = tensors.scan(SIZE, (64,)) | tensors.many_layers(SIZE, (64, 64))
    shapes = {name: shape for name, shape in ONLY_TTT.items() if name.rpartition("ttt.")[2] not in inner}
    for layer in (1, 2):
        shapes |= tensors.below(f"{BLOCK.format(layer)}ttt_layer.ttt.", names(SIZE, hidden))
    kind = {"ttt.mlp.layers": len(hidden) + 1} if hidden else {"ttt.inner_model": "linear"}
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(saved(tmp_path, shapes, {**OF_TTT, **kind}))
    (problem,) = caught.value.problems
    assert words in problem.message
    effective: Effective = caught.value.effective
    assert effective.verification is not None
    verdicts = effective.verification.verdicts
    assert {verdicts[f"ttt.{name}"].outcome for name in ("inner_model", "inner_layer_sizes")} == {"not_determined"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "ema.", "base_model.model."])
def test_names_behind_a_prefix_are_unknown_and_prove_nothing(tmp_path: Path, prefix: str) -> None:
    """What DDP, torch.compile, averaging and PEFT add to every name; nothing is guessed behind it."""
    shapes = {prefix + name: shape for name, shape in WHOLE.items()}
    found = tttcfg.inspect_weights(saved(tmp_path, shapes, None))
    assert found.dialect is None
    assert set(found.proved) == {"param_dtype", "ttt.dtype"}
    assert f"no known program ('{prefix}" in str([one.message for one in found.findings])


def test_a_single_compiled_layer_leaves_it_open_which_layers_have_ttt(tmp_path: Path) -> None:
    """Its tensors begin with `_orig_mod`: the file is not taken for one with TTT elsewhere alone, or without."""
    for hidden_in, shapes in {"a": tensors.converted(tensors.moshi(SIZE), (2,)) | ONLY_TTT, "b": WHOLE}.items():
        start = {"a": (BLOCK.format(1),), "b": (BLOCK.format(1), BLOCK.format(2))}[hidden_in]
        names = {name: name.replace(".seq_modeling_block.", "._orig_mod.seq_modeling_block.") for name in shapes}
        compiled = {names[name] if name.startswith(start) else name: shape for name, shape in shapes.items()}
        found = tttcfg.inspect_weights(saved(tmp_path / hidden_in, compiled, None))
        assert found.proved["ttt.enable"] is True
        assert "ttt.layers" not in found.proved
        assert any("not known which" in one.message for one in found.findings if one.severity == "warning")


UNKNOWN = {"transformer.layers.0.my_extra.weight": [64]}
COMPILED = {name.replace(".layers.1.", ".layers.1._orig_mod."): shape for name, shape in ONLY_TTT.items()}


@pytest.mark.parametrize(
    ("shapes", "values", "key", "advice"),
    [
        (WHOLE | UNKNOWN, {"ttt.enable": False}, "ttt.enable", "override ttt.enable=true"),
        (WHOLE | UNKNOWN, {"ttt.layers": "none"}, "ttt.layers", "override 'ttt.layers=[1,2]' and what else has TTT"),
        (WHOLE | UNKNOWN, {"ttt.layers": [0]}, "ttt.layers", "override 'ttt.layers=[1,2]' and what else has TTT"),
        (ONLY_TTT | UNKNOWN, {"ttt.enable": False}, "ttt.enable", "override ttt.enable=true"),
        (COMPILED, {"ttt.enable": False}, "ttt.enable", "override ttt.enable=true"),
        (COMPILED, {"ttt.layers": [0]}, "ttt.layers", "override 'ttt.layers=[2]' and what else has TTT"),
        (COMPILED, {}, "ttt.layers", "or give weights whose names are all known"),
    ],
)
def test_known_layers_count_beside_unknown_tensors(
    tmp_path: Path, shapes: Shapes, values: dict[str, Any], key: str, advice: str
) -> None:
    """One tensor more does not make a wrong set of layers right."""
    folder = saved(tmp_path, shapes, {**OF_TTT, **values})
    found = refused(folder)
    assert list(found) == [key]
    assert "as far as they are known" in found[key]
    assert advice in found[key]


def test_layers_are_not_verified_where_more_of_them_may_have_ttt(tmp_path: Path) -> None:
    found = tttcfg.verify(saved(tmp_path / "a", WHOLE | UNKNOWN, OF_TTT)).verdicts
    assert {found[f"ttt.{name}"].outcome for name in ("enable", "inner_model", "inner_layer_sizes")} == {"verified"}
    assert {found[f"ttt.{name}"].outcome for name in ("layers", "layer_indices")} == {"not_determined"}
    plain = tttcfg.verify(
        saved(tmp_path / "b", tensors.moshi(SIZE) | UNKNOWN, {**OF_TTT, "ttt.enable": False})
    ).verdicts
    assert plain["ttt.enable"].shown == "TTT may be among the unknown tensors"
    assert plain["ttt.inner_model"].shown == "TTT is off"


@pytest.mark.parametrize("others", [tensors.moshi(SIZE), ONLY_LORA], ids=["base", "adapters"])
def test_ttt_behind_a_prefix_leaves_it_open_whether_ttt_is_on(tmp_path: Path, others: Shapes) -> None:
    shapes = others | {f"ema.{name}": shape for name, shape in ONLY_TTT.items()}
    values = OF_LORA if others is ONLY_LORA else {**OF_TTT, "ttt.enable": False}
    found = tttcfg.verify(saved(tmp_path / "off", shapes, values))
    assert "ttt.enable" not in found.proved
    assert found.verdicts["ttt.enable"].outcome == "not_determined"
    on = refused(saved(tmp_path / "on", shapes, {**values, "ttt.enable": True}))
    assert "none of the tensors is known to be of a TTT layer" in on["ttt.enable"]


@pytest.mark.parametrize("on", [True, False])
def test_adapters_under_unknown_names_leave_it_open_whether_lora_is_on(tmp_path: Path, on: bool) -> None:
    shapes = ONLY_TTT | {f"base_model.model.{name}": shape for name, shape in ONLY_LORA.items()}
    found = tttcfg.verify(saved(tmp_path, shapes, {**OF_TTT, "lora.enable": on}))
    assert found.proved.keys().isdisjoint({"lora.enable", "lora.rank", "ttt.unfrozen_attention_layers"})
    (finding,) = (one for one in found.findings if one.key == "lora.enable")
    assert (finding.severity, finding.code) == ("warning", "not_determined")
    assert "lora_A.weight has a name of LoRA, and is not read" in finding.message


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (tensors.moshi(SIZE), "has transformer.layers.1.self_attn.in_projs.0.weight, transformer.layers.2.self_attn"),
        (ONLY_LORA, "has transformer.layers.1.self_attn.in_projs.0.lora_A.weight, transformer.layers.2.self_attn"),
        (tensors.unfrozen(SIZE, (1,), ()), "has transformer.layers.1.self_attn.in_projs.0.weight, and the Moshi TTT"),
    ],
    ids=["base", "adapters", "trained attention"],
)
def test_what_a_layer_with_ttt_has_under_a_plain_layers_name_is_caught(
    tmp_path: Path, extra: Shapes, words: str
) -> None:
    values = {**OF_TTT, "lora.enable": extra is ONLY_LORA}
    if len(extra) < 5:
        values["ttt.unfrozen_attention_layers"] = [1]
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(saved(tmp_path, ONLY_TTT | extra, values))
    (problem,) = caught.value.problems
    assert words in problem.message
    assert "has no such names in layers with TTT: a loader leaves them out" in problem.message


@pytest.mark.parametrize("other", [[10, 10], [192, 65], [192]])
def test_one_tensor_of_two_shapes_is_caught(tmp_path: Path, other: list[int]) -> None:
    """The trainer registers the layer that it converts under two names, and saves both."""
    name = "seq_modeling_block.original_layer.self_attn.in_projs.0.weight"
    shapes = WHOLE | {f"transformer.layers.{layer}.{name}": other for layer in (1, 2)}
    with pytest.raises(ContradictionError) as caught:
        tttcfg.verify(saved(tmp_path, shapes, OF_TTT))
    (problem,) = caught.value.problems
    assert (
        "has one tensor under two names with different dtypes or shapes: transformer.layers.1.original_layer.self_attn"
        in problem.message
    )
    assert f"as BF16 [192, 64] and transformer.layers.1.{name} as BF16 {other}, and 1 more tensors" in problem.message


@pytest.mark.parametrize("repository", [None, "", " "])
@pytest.mark.parametrize("path", [None, ""])
def test_an_empty_name_is_no_base_model(tmp_path: Path, repository: str | None, path: str | None) -> None:
    paths = {"moshi_paths.hf_repo_id": repository, "moshi_paths.moshi_path": path}
    found = refused(saved(tmp_path, ADAPTERS, {**OF_ADAPTERS, **paths}))
    assert list(found) == ["moshi_paths.hf_repo_id"]
    assert "name the base model" in found["moshi_paths.hf_repo_id"]


def test_a_file_is_a_base_model_too(tmp_path: Path) -> None:
    paths = {"moshi_paths.hf_repo_id": "", "moshi_paths.moshi_path": "/models/moshi.safetensors"}
    assert warned(saved(tmp_path, ADAPTERS, {**OF_ADAPTERS, **paths})) == []


@pytest.mark.parametrize(
    ("stated", "key", "value", "words"),
    [
        ({"lora": "true"}, "lora.enable", "is 'true',", "lora must be true or false, not text; set it to true there"),
        ({"lora": 1}, "lora.enable", "is 1,", "lora must be true or false; set it to true there"),
        ({"lora_rank": "8"}, "lora.rank", "is '8',", "lora_rank must be a number, not text; set it to 8 there"),
        ({"lora_rank": None}, "lora.rank", "is null,", "lora_rank must be a number; set it to 8 there"),
        ({"lora_rank": True}, "lora.rank", "is true,", "lora_rank must be a number; set it to 8 there"),
        (
            {"lora_scaling": "2.0"},
            "lora.scaling",
            "is '2.0',",
            "lora_scaling must be a number, not text; set it to 2.0",
        ),
        ({"num_heads": "4"}, "ttt.num_heads", "is '4',", "num_heads must be a number, not text; set it to 4 there"),
        ({"dim": [64]}, "ttt.model_dim", "is [64],", "dim must be a number; set it to 64 there"),
    ],
)
def test_a_value_of_another_type_in_config_json_is_reported_as_that(
    tmp_path: Path, stated: dict[str, Any], key: str, value: str, words: str
) -> None:
    """How a loader reads it is anyone's guess, also where it looks right."""
    found = refused(saved(tmp_path, ADAPTERS, OF_ADAPTERS, {**MODEL, **LORA, **stated}))
    assert list(found) == [key]
    assert value in found[key]
    assert words in found[key]


def test_text_for_a_switch_beside_merged_weights_is_caught(tmp_path: Path) -> None:
    """A loader takes any text for true, and adds random adapters."""
    found = refused(saved(tmp_path, WHOLE, OF_TTT, {**MODEL, "lora": "yes"}))
    assert "set it to false there" in found["lora.enable"]


def test_tensors_beside_the_model_are_named_and_change_nothing(tmp_path: Path) -> None:
    extra = {f"ema.{name}": shape for name, shape in ONLY_TTT.items()} | {"optimizer.step": [1]}
    (message,) = warned(saved(tmp_path, WHOLE | extra, OF_TTT))
    assert "has ema.transformer." in message
    assert "which the Moshi TTT trainer does not have; nothing is read from them" in message


def test_adapters_of_another_library_are_caught(tmp_path: Path) -> None:
    """PEFT names them after an adapter; they are not taken for weights of the base model."""
    shapes = {
        name.replace(".weight", ".default.weight") if "lora_" in name else name: s for name, s in ADAPTERS.items()
    }
    with pytest.raises(ContradictionError, match="no adapters"):
        tttcfg.verify(saved(tmp_path, shapes, OF_TTT))


def test_a_quantised_model_proves_no_precision(tmp_path: Path) -> None:
    """Norms stay as they were, and are not taken for the type of the whole model."""
    folder = checkpoint(tmp_path, None, MODEL)
    linears = tensors.moshi_linears(SIZE)
    scales = {f"{name}.weight_scb": ("BF16", shape[:1]) for name, shape in linears.items()}
    weights = {name: ("I8", shape) for name, shape in tensors.weights(linears).items()}
    others = {name: ("BF16", shape) for name, shape in tensors.moshi_others(SIZE).items()}
    weights_file(folder / "consolidated" / "consolidated.safetensors", weights | scales | others)
    found = tttcfg.inspect_weights(folder)
    assert found.dialect == "moshi_finetune"
    assert "param_dtype" not in found.proved
    assert [one.message for one in found.findings if one.severity == "error"] == []
    assert (found.proved["ttt.model_dim"], found.proved["ttt.num_layers"]) == (64, 4)


def test_a_checkpoint_in_several_files_is_checked_against_its_configuration(tmp_path: Path) -> None:
    folder = trained(tmp_path, {**OF_TTT, "ttt.layers": [0]}, MODEL)
    names = sorted(WHOLE)
    parts = {f"model-{part}.safetensors": {name: ("BF16", WHOLE[name]) for name in names[part::2]} for part in (0, 1)}
    index = sharded(folder / "consolidated", parts)
    assert list(refused(index)) == ["ttt.layers"]
    assert tttcfg.verify(index, overrides=["ttt.layers=[1,2]"]).verdicts["ttt.layers"].outcome == "verified"
