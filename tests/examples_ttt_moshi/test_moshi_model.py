"""The same programs on the real `moshi` package: train, save, verify, evaluate, stream, and what kyutai's loaders read.

`.ci/moshi` installs the package and runs these tests.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from ttt_moshi import eval_from_checkpoint, train
from ttt_moshi.model import build
from ttt_moshi.moshi_model import base_weights, is_moshi, moshi_module
from ttt_moshi.tokenizer import MimiTokenizer, audio_tokenizer

import tttcfg
from tests.launcher import launch, python
from tttcfg import InputError
from tttcfg.nn import carrying_states

from .conftest import CONFIGS, MODEL, SETTINGS, write_json

needs_moshi = pytest.mark.skipif(find_spec("moshi") is None, reason="needs the moshi package: see .ci/moshi")
REAL: dict[str, Any] = {
    "dim": 64,
    "num_heads": 4,
    "num_layers": 4,
    "hidden_scale": 4,
    "context": 24,
    "max_period": 10000,
    "n_q": 4,
    "dep_q": 2,
    "card": 32,
    "text_card": 50,
    "existing_text_padding_id": 3,
    "delays": [0, 0, 1, 0, 1],
    "causal": True,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "layer_scale": None,
    "depformer_dim": 32,
    "depformer_dim_feedforward": 64,
    "depformer_num_heads": 2,
    "depformer_num_layers": 1,
    "depformer_multi_linear": True,
    "depformer_context": 2,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "moshi_name": "model.safetensors",
    "model_type": "moshi",
}
"""A config.json as kyutai's, of a model that is built in no time."""
TTT = {
    "enable": True,
    "layers": "1,2",
    "base_lr": 8.0,
    "mini_batch_size": 4,
    "initial_gating_alpha": 1.0,
    "persistent_states": "each_sequence",
}
FOREIGN = CONFIGS / "foreign" / "inner_loop.yaml"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.json, voices.jsonl and config.json, a configuration that trains two steps."""
    place = tmp_path_factory.mktemp("moshi")
    voices = {"seed": 1, "sequences": 4, "words": 3, "sounds": 8}
    data = str(write_json(place / "voices.jsonl", {"voices": voices, "duration": 2.56}))
    settings = {
        **SETTINGS,
        "ttt": TTT,
        "max_steps": 2,
        "moshi_paths": {"hf_repo_id": None, "config_path": str(write_json(place / "model.json", REAL))},
        "data": {"train_data": data, "eval_data": data},
    }
    write_json(place / "config.json", settings)
    return place


def trained_in(folder: Path, name: str, *overrides: str) -> Path:
    """Train two steps, and return what they saved."""
    train.train([str(folder / "config.json")], [f"run_dir={folder / name}", *overrides])
    return folder / name / "checkpoints" / "checkpoint_000002" / "consolidated"


@pytest.fixture(scope="session")
def whole(folder: Path) -> Path:
    """A checkpoint of a whole model with TTT."""
    return trained_in(folder, "whole")


@pytest.fixture(scope="session")
def base(folder: Path) -> Path:
    """The weights of a model without TTT and adapters."""
    return trained_in(folder, "base", "ttt.enable=false") / "consolidated.safetensors"


def resolved(folder: Path, *overrides: str) -> tttcfg.Effective:
    return tttcfg.resolve(config=folder / "config.json", model_config=folder / "model.json", overrides=overrides)


def lora(rank: int) -> tuple[str, ...]:
    """Return the overrides that train adapters, and not the whole model."""
    return ("full_finetuning=false", "lora.enable=true", f"lora.rank={rank}")


def shapes(path: Path) -> dict[str, list[int]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def codes(length: int = 16) -> torch.Tensor:
    return torch.randint(0, 30, (2, 5, length), generator=torch.Generator().manual_seed(1))


def kyutai_loaded(weights: Path, **others: Any) -> Any:
    """Return the model that kyutai's loader makes of weights and the config.json beside them."""
    config = {key: value for key, value in read(weights).items() if key not in ("moshi_name", "model_type")}
    loaders = moshi_module("moshi.models.loaders", "")
    return loaders.get_moshi_lm(others.pop("base", weights), config, dtype=torch.float32, **others)


def read(weights: Path) -> dict[str, Any]:
    return json.loads((weights.parent / "config.json").read_text("utf-8"))


def same_logits(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    with torch.no_grad():
        first, second = one.eval()(codes()), other.eval()(codes())
    return all(
        torch.allclose(getattr(first, name), getattr(second, name), rtol=0, atol=1e-5, equal_nan=True)
        for name in ("text_logits", "logits")
    )


def restored(checkpoint: Path, base_path: Path | None = None) -> torch.nn.Module:
    return tttcfg.nn.restore(checkpoint, build=lambda config, effective: build(config, effective, base_path)).model


def test_a_depformer_in_config_json_means_the_real_model() -> None:
    assert is_moshi(REAL)
    assert not is_moshi(MODEL)


def test_without_the_package_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "moshi"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "moshi", None)
    with pytest.raises(InputError, match=r'moshi_paths\.config_path: needs the moshi package: pip install "tttcfg\[mo'):
        build(REAL, resolved(folder))
    training = resolved(folder, "moshi_paths.mimi_path=mimi.safetensors").training
    with pytest.raises(InputError, match=r'moshi_paths\.mimi_path: needs the moshi package: pip install "tttcfg\[mo'):
        audio_tokenizer(REAL, training)


@needs_moshi
def test_a_checkpoint_is_verified_and_bound_and_keeps_the_whole_config_json(whole: Path) -> None:
    verification = tttcfg.verify(whole)
    verdicts = {verdict.outcome for name, verdict in verification.verdicts.items() if name in verification.proved}
    assert (verification.dialect, verification.binding, verdicts) == ("ttt_moshi", "bound", {"verified"})
    assert read(whole / "consolidated.safetensors") == {**REAL, "lora": False, "lora_rank": 64, "lora_scaling": 2.0}
    assert "unavailable" not in json.loads((whole / "fingerprint.json").read_text("utf-8"))


@needs_moshi
def test_the_depformer_learns_from_every_audio_stream_that_is_predicted(base: Path, folder: Path) -> None:
    figures = (folder / "base" / "metrics.train.jsonl").read_text("utf-8").splitlines()
    assert all(json.loads(line)["audio_loss"] > 0 for line in figures)
    drawn, learned = build(REAL, resolved(folder, "ttt.enable=false")).state_dict(), load_file(base)
    for name in ("linears.0.weight", "linears.1.weight", "depformer_emb.0.weight", "depformer_in.1.weight"):
        assert not drawn[name].equal(learned[name]), name


@needs_moshi
def test_a_foreign_configuration_gives_the_same_numbers_to_the_last_bit(whole: Path, folder: Path) -> None:
    own = eval_from_checkpoint.evaluate(str(whole), [], [], "standard")
    data = f"data.eval_data={folder / 'voices.jsonl'}"
    found = eval_from_checkpoint.evaluate(str(whole), [str(FOREIGN)], [data], "standard")
    assert found["standard"] == own["standard"]
    assert found["configuration"] == own["configuration"]
    assert len(own["standard"]["codebooks"]) == REAL["dep_q"]
    other = eval_from_checkpoint.evaluate(str(whole), [], ["ttt.mini_batch_size=2"], "standard")
    assert other["standard"]["loss"] != own["standard"]["loss"]


@needs_moshi
def test_names_and_shapes_are_those_of_the_real_trainer(whole: Path, folder: Path, shared_data: Path) -> None:
    with_lora = build(REAL, resolved(folder, *lora(8))).state_dict()
    for name, found in (
        ("moshi_ttt_mlp2", shapes(whole / "consolidated.safetensors")),
        ("moshi_ttt_lora_mlp2", {name: list(tensor.shape) for name, tensor in with_lora.items()}),
    ):
        header = json.loads((shared_data / "headers" / f"{name}.json").read_text("utf-8"))
        assert found == {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


@needs_moshi
@pytest.mark.parametrize("rank", [0, 2], ids=["plain", "lora"])
def test_streaming_whole_mini_batches_gives_what_the_whole_sequence_gives(folder: Path, rank: int) -> None:
    """As long as the ring of the attention has not gone round: then only pieces of one token see all of its context."""
    model: Any = build(REAL, resolved(folder, *(lora(rank) if rank else ()))).eval()
    given = codes(24)
    with torch.no_grad():
        at_once, _ = model.forward_text(given)
        with carrying_states(model), model.streaming(2):
            parts = [model.forward_text(piece)[0] for piece in given.split(4, dim=2)]
        with model.streaming(2):
            forgetful = [model.forward_text(piece)[0] for piece in given.split(4, dim=2)]
    torch.testing.assert_close(torch.cat(parts, dim=1), at_once, rtol=1e-4, atol=1e-5)
    assert (torch.cat(forgetful, dim=1) - at_once).abs().max() > 1e-3


@needs_moshi
def test_a_piece_longer_than_the_ring_is_refused(folder: Path) -> None:
    model: Any = build(REAL, resolved(folder, "ttt.ttt_layer_context=8")).eval()
    with torch.no_grad(), model.streaming(2):
        model.forward_text(codes(8))
        with pytest.raises(InputError, match="context: is 8, and a piece of 9 tokens is streamed"):
            model.forward_text(codes(9))
        model.forward_text(codes(8))
    with torch.no_grad():
        assert model(codes(64)).text_logits.isfinite().all()


@needs_moshi
def test_recomputing_activations_changes_nothing(whole: Path, folder: Path) -> None:
    """The state of the TTT layers is passed on once, though the layers below them are computed twice."""
    again = trained_in(folder, "kept", "gradient_checkpointing=false")
    one, other = (load_file(place / "consolidated.safetensors") for place in (whole, again))
    assert all(one[name].equal(other[name]) for name in one)


@needs_moshi
def test_fresh_adapters_change_nothing(folder: Path, base: Path) -> None:
    """Moshi's own start with a random second half."""
    with_lora, without = (build(REAL, resolved(folder, *one, "ttt.enable=false"), base) for one in (lora(2), ()))
    assert same_logits(with_lora, without)


@needs_moshi
def test_adapters_go_onto_their_base_and_merge_into_it(folder: Path, base: Path) -> None:
    options = (*lora(2), f"moshi_paths.moshi_path={base}")
    adapters = trained_in(folder, "adapters", *options)
    merged = trained_in(folder, "merged", *options, "save_adapters=false")
    assert {part for name in shapes(adapters / "lora.safetensors") for part in ("lora_A", "ttt") if part in name} == {
        "lora_A",
        "ttt",
    }
    assert same_logits(restored(adapters, base), restored(merged))


@needs_moshi
def test_kyutais_own_loader_reads_adapters_and_merged_weights(folder: Path, base: Path) -> None:
    """Without TTT, which it does not know; rank and scaling are in config.json, where it looks for them."""
    options = (*lora(2), "lora.scaling=3.0", "ttt.enable=false", f"moshi_paths.moshi_path={base}")
    adapters = trained_in(folder, "lora", *options) / "lora.safetensors"
    merged = trained_in(folder, "fused", *options, "save_adapters=false") / "consolidated.safetensors"
    ours = restored(adapters, base)
    assert same_logits(kyutai_loaded(adapters, base=base, lora_weights=adapters), ours)
    assert same_logits(kyutai_loaded(merged), ours)


@needs_moshi
def test_unfrozen_attention_is_the_models_and_not_the_depformers(folder: Path, base: Path) -> None:
    options = ("full_finetuning=false", "ttt.unfrozen_attention_layers=[0]", f"moshi_paths.moshi_path={base}")
    names = shapes(trained_in(folder, "unfrozen", *options) / "lora.safetensors")
    unfrozen = {name for name in names if "seq_modeling_block" not in name}
    assert unfrozen == {f"transformer.layers.0.self_attn.{way}_projs.0.weight" for way in ("in", "out")}


@needs_moshi
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depformer_dmi": 8}, "is no config.json of moshi .*dmi"),
        ({"norm": "rms"}, "is no config.json of moshi"),
        ({"dep_q": 0}, "predicts no audio"),
        ({"dim": None}, "dim: is None"),
    ],
)
def test_a_config_json_that_cannot_be_built_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build({**REAL, **changes}, resolved(folder))


@needs_moshi
def test_weights_of_another_model_are_refused(folder: Path, base: Path) -> None:
    with pytest.raises(InputError, match=r"moshi_path: is no base model of this config\.json: .*size mismatch"):
        build({**REAL, "text_card": 60}, resolved(folder, "ttt.enable=false"), base)


@needs_moshi
def test_the_base_model_comes_from_the_hub(folder: Path, base: Path, tmp_path: Path) -> None:
    """As huggingface_hub keeps what it has downloaded; offline, so nothing else can be had."""
    repository = tmp_path / "hub" / "models--someone--tiny"
    (repository / "snapshots" / "0123").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123", "utf-8")
    shutil.copy(base, repository / "snapshots" / "0123" / "model.safetensors")
    program = CONFIGS.parent / "train.py"
    env = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    for name, code, message in (
        ("tiny", 0, "Base model: model.safetensors of someone/tiny"),
        ("gone", 2, "someone/gone: moshi_paths.hf_repo_id: gives no model.safetensors; name a local file"),
    ):
        words = [f"run_dir={folder / name}", f"moshi_paths.hf_repo_id=someone/{name}", "max_steps=1"]
        done = python(program, "--config", folder / "config.json", *words, env=env, code=code)
        assert message in done.err
        assert "Traceback" not in done.err


def test_the_small_model_has_no_base_on_the_hub(folder: Path) -> None:
    assert base_weights(MODEL, resolved(folder, "moshi_paths.hf_repo_id=kyutai/moshiko-pytorch-bf16").training) is None


@needs_moshi
def test_mimi_makes_codes_of_sound(folder: Path, tmp_path: Path) -> None:
    """Weights that are drawn give codes of the right shape, and no more."""
    path = tmp_path / "mimi.safetensors"
    save_file(moshi_module("moshi.models.loaders", "").get_mimi(None).state_dict(), path)
    tokenizer = MimiTokenizer(path, 2)
    assert (tokenizer.sample_rate, tokenizer.card) == (24_000, 2048)
    for samples, tokens in ((0, 1), (1, 1), (1920, 1), (1921, 2), (24_000, 13)):
        assert tokenizer.encode(torch.zeros(samples)).shape == (2, tokens)
    assert tokenizer.describe()["weights"].startswith("sha256:")
    training = resolved(folder, f"moshi_paths.mimi_path={path}").training
    with pytest.raises(InputError, match="has 2048 tokens in a codebook, and the model's card is 32"):
        audio_tokenizer(REAL, training)
    assert isinstance(audio_tokenizer({**REAL, "card": 2048}, training), MimiTokenizer)


@needs_moshi
def test_a_file_that_is_not_mimis_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no Mimi with 2 codebooks"):
        MimiTokenizer(base, 2)
    (tmp_path / "mimi.pt").touch()
    with pytest.raises(InputError, match=r"is no \.safetensors file"):
        MimiTokenizer(tmp_path / "mimi.pt", 2)


@needs_moshi
def test_the_log_names_the_model(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        build(REAL, resolved(folder))
    assert any(line.startswith("Model: LMModel of moshi 0.2.") for line in caplog.messages)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the script is bash's")
@pytest.mark.parametrize(
    ("environment", "code", "message"),
    [
        ({"PIP_NO_INDEX": "1"}, 1, "cannot be installed, so nothing was tested; TTTCFG_WITHOUT_MOSHI=1 leaves its"),
        ({"TTTCFG_WITHOUT_MOSHI": "1"}, 0, "NOT TESTED, because TTTCFG_WITHOUT_MOSHI=1"),
    ],
)
def test_without_the_package_its_tests_fail_unless_they_are_left_out_on_purpose(
    environment: dict[str, str], code: int, message: str
) -> None:
    script = CONFIGS.parent.parent.parent / ".ci" / "moshi"
    done = launch("bash", script, env={"TTTCFG_WITHOUT_MOSHI": None, **environment}, code=code)
    assert done.out == ""
    assert message in done.err
