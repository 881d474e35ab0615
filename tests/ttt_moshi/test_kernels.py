"""What each kernel can run, what `auto` takes and how it reports that."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tttcfg
from tests.builders import checkpoint, old_document, write_json
from tests.evidence.dialects.tensors import Size, consolidated
from tests.safetensors.files import weights_file
from tttcfg.ttt_moshi.kernels import KERNELS, Implementation, Limit, choose, declare, needs, unmet_limits
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.ttt_moshi.ttt_settings import KernelName

TOKENS = 640
FUSED: dict[str, Any] = {"inner_norm_eps": 1e-6, "read_out": "once", "scan_dtype": "float32", "state_dtype": "scan"}
"""What is compiled into the fused kernels, which is not what the trainer's checkpoints were trained with."""
MLP: dict[str, Any] = {"head_dim": 64, "inner_layer_sizes": (64, 256, 64), "mini_batch_size": 64}
LINEAR: dict[str, Any] = {
    "inner_model": "linear",
    "head_dim": 128,
    "inner_layer_sizes": (128, 128),
    "mini_batch_size": 32,
    "dtype": "float32",
}
MULTI = {**MLP, "inner_layer_sizes": (64, 256, 256, 64)}
MOSHI = {**MLP, "head_dim": 128, "inner_layer_sizes": (128, 512, 128)}
FITTING = {"thunderkittens": MLP, "triton": LINEAR, "torch": MOSHI}


def layers(values: dict[str, Any], **changes: Any) -> TTTConfig:
    values = {"num_heads": 48, "dtype": "bfloat16", **FUSED, **values, **changes}
    return TTTConfig(
        model_dim=values["num_heads"] * values["head_dim"],
        num_layers=4,
        layer_indices=(1, 2),
        ttt_layer_context=3000,
        non_ttt_layer_context=3000,
        **values,
    )


def messages(kernel: str, config: TTTConfig, tokens: int = TOKENS) -> list[str]:
    return [one.message for one in unmet_limits(kernel, config, tokens)]


def test_every_kernel_that_can_be_set_has_its_limits() -> None:
    assert {"auto", *KERNELS} == set(get_args(KernelName))


@pytest.mark.parametrize("kernel", FITTING)
def test_what_fits_breaks_no_limit(kernel: str) -> None:
    assert messages(kernel, layers(FITTING[kernel])) == []


@pytest.mark.parametrize(
    ("kernel", "changes", "message"),
    [
        ("thunderkittens", {"inner_layer_sizes": (64, 256, 256, 64)}, "an inner MLP of 2 layers (not 3)"),
        (
            "thunderkittens",
            {"inner_model": "linear", "inner_layer_sizes": (64, 64)},
            "an inner MLP of 2 layers (not TTT-Linear)",
        ),
        (
            "thunderkittens",
            {"inner_layer_sizes": (64, 255, 64)},
            "a hidden width of 4 times head_dim (not 255 for head_dim 64)",
        ),
        ("thunderkittens", {"head_dim": 32, "inner_layer_sizes": (32, 128, 32)}, "head_dim 64 (not 32)"),
        ("thunderkittens", {"mini_batch_size": 16}, "mini_batch_size 64 (not 16)"),
        ("thunderkittens", {"dtype": "float32"}, "dtype bfloat16 (not float32)"),
        ("triton", {"inner_model": "mlp", "inner_layer_sizes": (128, 512, 128)}, "inner_model linear (not mlp)"),
        ("triton", {"head_dim": 96}, "head_dim a power of two of at least 16 (not 96)"),
        ("triton", {"head_dim": 8}, "head_dim a power of two of at least 16 (not 8)"),
        ("triton", {"mini_batch_size": 40}, "mini_batch_size a power of two of at least 16 (not 40)"),
        ("triton", {"mini_batch_size": 1}, "mini_batch_size a power of two of at least 16 (not 1)"),
        *(
            (kernel, changes, message)
            for kernel in ("thunderkittens", "triton")
            for changes, message in (
                ({"inner_norm_eps": 1e-8}, "inner_norm_eps 1e-06 (not 1e-08)"),
                ({"read_out": "twice"}, "read_out once (not twice)"),
                (
                    {"scan_dtype": "parameters", "dtype": "bfloat16"},
                    "a scan in float32 (not bfloat16)",
                ),
                (
                    {"state_dtype": "parameters", "dtype": "bfloat16"},
                    "a state that stays float32 (not rounded to bfloat16)",
                ),
            )
        ),
        ("torch", {"tensor_parallel_size": 2}, "all heads on one rank (not on 2)"),
    ],
)
def test_a_limit_speaks_alone_where_it_is_broken(kernel: str, changes: dict[str, Any], message: str) -> None:
    assert messages(kernel, layers(FITTING[kernel], **changes)) == [f"{kernel} needs {message}"]


@pytest.mark.parametrize("kernel", ["thunderkittens", "triton"])
def test_a_fused_kernel_takes_whole_mini_batches(kernel: str) -> None:
    config = layers(FITTING[kernel])
    message = f"{kernel} needs a sequence of whole mini-batches (not 650 tokens by {config.mini_batch_size})"
    assert messages(kernel, config, 650) == [message]


@pytest.mark.parametrize("kernel", ["thunderkittens", "triton"])
def test_a_fused_kernel_shares_heads_that_can_be_shared(kernel: str) -> None:
    assert messages(kernel, layers(FITTING[kernel], tensor_parallel_size=48)) == []
    (broken,) = unmet_limits(kernel, layers(FITTING[kernel], tensor_parallel_size=5), TOKENS)
    assert broken.key == "ttt.tensor_parallel_size"
    assert broken.message == f"{kernel} needs the same number of heads on every rank (not 48 heads on 5 ranks)"


def test_parameters_in_float32_are_scanned_and_kept_in_it_whatever_is_written() -> None:
    assert messages("triton", layers(LINEAR, scan_dtype="parameters", state_dtype="parameters")) == []


def test_what_the_trainer_computes_runs_on_torch_alone() -> None:
    defaults = {name: TTTConfig.model_fields[name].default for name in ("inner_norm_eps", "state_dtype")}
    for values in (MLP, LINEAR):
        assert choose(layers(values, **defaults), TOKENS).name == "torch"


def test_a_multi_layer_mlp_is_never_shared() -> None:
    message = "needs a multi-layer inner MLP whole on one rank (not 3 layers on 2 ranks)"
    for kernel in KERNELS:
        assert f"{kernel} {message}" in messages(kernel, layers(MULTI, tensor_parallel_size=2))


def test_torch_runs_everything_on_one_rank() -> None:
    for values in (MLP, LINEAR, MULTI, MOSHI):
        assert messages("torch", layers(values, mini_batch_size=7, dtype="float32"), 11) == []


def test_all_broken_limits_are_reported_at_once() -> None:
    config = layers(LINEAR, mini_batch_size=10, head_dim=24, inner_layer_sizes=(24, 24), tensor_parallel_size=5)
    assert [one.partition(" (not ")[0] for one in messages("thunderkittens", config, 99)] == [
        "thunderkittens needs an inner MLP of 2 layers",
        "thunderkittens needs head_dim 64",
        "thunderkittens needs mini_batch_size 64",
        "thunderkittens needs dtype bfloat16",
        "thunderkittens needs a sequence of whole mini-batches",
        "thunderkittens needs the same number of heads on every rank",
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (MLP, "auto takes thunderkittens, which runs on an H100 (sm_90a) with CUDA 12.3 or later"),
        (
            LINEAR,
            "auto takes triton, which runs on any GPU that Triton supports; thunderkittens needs an inner MLP of "
            "2 layers (not TTT-Linear), head_dim 64 (not 128), mini_batch_size 64 (not 32), "
            "dtype bfloat16 (not float32)",
        ),
        (
            MOSHI,
            "auto takes torch, which runs on any device; thunderkittens needs head_dim 64 (not 128); "
            "triton needs inner_model linear (not mlp)",
        ),
        (
            MULTI,
            "auto takes torch, which runs on any device; thunderkittens needs an inner MLP of 2 layers (not 3); "
            "triton needs inner_model linear (not mlp)",
        ),
        (
            {**MOSHI, "tensor_parallel_size": 2},
            "auto finds no kernel; thunderkittens needs head_dim 64 (not 128); "
            "triton needs inner_model linear (not mlp); torch needs all heads on one rank (not on 2)",
        ),
    ],
    ids=["mlp", "linear", "moshi", "multi", "none"],
)
def test_auto_explains_its_choice(values: dict[str, Any], sentence: str) -> None:
    assert str(choose(layers(values), TOKENS)) == sentence


def test_what_does_not_run_here_is_passed_over_too() -> None:
    reason = needs("triton", "a GPU (there is none)")
    choice = choose(layers(LINEAR), TOKENS, lambda name: [reason] if name == "triton" else [])
    assert choice.name == "torch"
    assert str(choice).endswith("; triton needs a GPU (there is none)")


def test_a_kernel_of_another_package_comes_first() -> None:
    limit = Limit("an even number of tokens", lambda _, tokens: "odd" if tokens % 2 else "")
    declare("mine", Implementation("a desk", (limit,)))
    try:
        assert str(choose(layers(MLP), TOKENS)) == "auto takes mine, which runs on a desk"
        assert messages("mine", layers(MLP), 641) == ["mine needs an even number of tokens (not odd)"]
    finally:
        del KERNELS["mine"]


@st.composite
def configurations(draw: st.DrawFn) -> TTTConfig:
    width = draw(st.sampled_from([8, 16, 64, 96, 128]))
    hidden = draw(st.lists(st.sampled_from([width, 4 * width]), max_size=3))
    return layers(
        {"head_dim": width, "inner_layer_sizes": (width, *hidden, width)},
        inner_model="mlp" if hidden else "linear",
        mini_batch_size=draw(st.sampled_from([1, 16, 48, 64])),
        num_heads=draw(st.integers(1, 64)),
        tensor_parallel_size=draw(st.sampled_from([1, 1, 2, 3])),
        dtype=draw(st.sampled_from(["bfloat16", "float32"])),
    )


@given(configurations(), st.sampled_from([1, 48, 125, 640]))
def test_auto_takes_the_first_kernel_that_fits_and_none_only_among_ranks(config: TTTConfig, tokens: int) -> None:
    fitting = [kernel for kernel in KERNELS if not unmet_limits(kernel, config, tokens)]
    choice = choose(config, tokens)
    assert choice.unmet == unmet_limits(choice.name, config, tokens)
    assert fitting[:1] == ([] if choice.unmet else [choice.name])
    assert fitting or config.tensor_parallel_size > 1


def resolve(tmp_path: Path, heads: int, **ttt: Any) -> tttcfg.Effective[Any, Any]:
    """Resolve for a model as wide as Moshi, over sequences of 640 tokens."""
    model = write_json(tmp_path / "model.json", {"dim": 4096, "num_heads": heads, "num_layers": 4, "context": 3000})
    overrides = {
        "ttt.enable": True,
        "duration_sec": 51.2,
        **{f"ttt.{name}": value for name, value in {**FUSED, **ttt}.items()},
    }
    return tttcfg.resolve(overrides=overrides, model_config=model)


def about_kernels(effective: Any) -> list[tuple[str, str, str]]:
    return [(one.severity, one.code, one.key) for one in effective.findings if one.code in ("kernel", "contradiction")]


def test_a_kernel_that_fits_is_used_silently(tmp_path: Path) -> None:
    effective = resolve(tmp_path, 64, kernel="thunderkittens", mini_batch_size=64, tensor_parallel_size=4)
    assert about_kernels(effective) == []
    assert (effective.ttt.kernel, effective.ttt.tensor_parallel_size) == ("thunderkittens", 4)


def test_an_impossible_kernel_is_refused_with_every_reason(tmp_path: Path) -> None:
    with pytest.raises(tttcfg.ContradictionError) as caught:
        resolve(tmp_path, 32, kernel="thunderkittens", tensor_parallel_size=3)
    keys = [one.key for one in caught.value.problems]
    assert keys == ["ttt.kernel", "ttt.kernel", "ttt.tensor_parallel_size"]
    effective: Any = caught.value.effective
    assert effective.ttt.kernel == "thunderkittens"
    assert effective.origins["ttt.kernel"][0].source == "override"


def test_auto_is_one_finding(tmp_path: Path) -> None:
    effective = resolve(tmp_path, 32)
    assert about_kernels(effective) == [("info", "kernel", "ttt.kernel")]
    assert effective.ttt.kernel == "auto"


@pytest.mark.parametrize("kernel", ["auto", "torch"])
def test_ranks_that_no_kernel_can_serve_are_a_contradiction(tmp_path: Path, kernel: str) -> None:
    with pytest.raises(tttcfg.ContradictionError) as caught:
        resolve(tmp_path, 32, kernel=kernel, tensor_parallel_size=2)
    assert [one.key for one in caught.value.problems] == ["ttt.tensor_parallel_size"]
    notes = [("info", "kernel", "ttt.kernel")] if kernel == "auto" else []
    assert about_kernels(caught.value.effective)[1:] == notes


def impossible(**given: Any) -> list[str]:
    """Return why a configuration for an unknown model is refused."""
    with pytest.raises(tttcfg.ContradictionError) as caught:
        tttcfg.resolve(**given)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("ttt", "wrong"),
    [
        ({"kernel": "thunderkittens"}, "not 16"),
        ({"kernel": "thunderkittens", "mini_batch_size": 64, "inner_model": "linear"}, "not TTT-Linear"),
        ({"kernel": "thunderkittens", "mini_batch_size": 64, "mlp": {"layers": 3}}, "not 3"),
        ({"kernel": "thunderkittens", "mini_batch_size": 64, "mlp": {"expansion_factor": 2.0}}, "not 128"),
        ({"kernel": "thunderkittens", "mini_batch_size": 64, "mlp": {"hidden_dims": [512]}}, "not 512"),
        ({"kernel": "triton", "inner_model": "linear", "mini_batch_size": 8}, "not 8"),
        ({"kernel": "torch", "tensor_parallel_size": 2}, "not on 2"),
    ],
)
def test_what_the_configuration_alone_shows_needs_no_model(ttt: dict[str, Any], wrong: str) -> None:
    config = {"duration_sec": 51.2, "ttt": {"enable": True, **FUSED, **ttt}}
    (message,) = impossible(config=config)
    assert message.startswith(f"{ttt['kernel']} needs ")
    assert f"({wrong}" in message


def test_unknown_dimensions_break_no_limit() -> None:
    ttt = {"enable": True, **FUSED, "kernel": "thunderkittens", "mini_batch_size": 64, "tensor_parallel_size": 3}
    effective = tttcfg.resolve(config={"duration_sec": 51.2, "ttt": ttt})
    assert {one.code for one in effective.findings if one.key.startswith("ttt")} == {"model_config"}


def test_auto_reports_no_choice_that_a_model_may_change() -> None:
    assert about_kernels(tttcfg.resolve(overrides={"ttt.enable": True})) == []


def test_ranks_that_no_kernel_can_serve_need_no_model() -> None:
    ttt = {"enable": True, "tensor_parallel_size": 2, "mini_batch_size": 8}
    (message,) = impossible(config={"ttt": ttt})
    assert "not on 2" in message


def test_a_model_without_other_dimensions_gives_what_it_can(tmp_path: Path) -> None:
    model = write_json(tmp_path / "model.json", {"dim": 4096, "num_heads": 32, "num_layers": 0, "context": 3000})
    ttt = {"enable": True, **FUSED, "kernel": "thunderkittens", "mini_batch_size": 64, "tensor_parallel_size": 3}
    width, heads = impossible(config={"duration_sec": 51.2, "ttt": ttt}, model_config=model)
    assert "(not 128)" in width
    assert "not 32 heads" in heads


def test_dimensions_that_tensors_prove_are_checked_against_the_kernel(tmp_path: Path) -> None:
    """Even without a config.json; the heads are 4, of 16 channels."""
    folder = checkpoint(tmp_path, None, model=None)
    shapes = {name: ("BF16", shape) for name, shape in consolidated(Size(4, 16), [1, 2], [64]).items()}
    weights_file(folder / "consolidated" / "consolidated.safetensors", shapes)
    fitting = {"duration_sec": 51.2, "ttt.mini_batch_size": 64, **{f"ttt.{name}": one for name, one in FUSED.items()}}
    wrong = {**fitting, "ttt.kernel": "thunderkittens", "ttt.tensor_parallel_size": 3}
    width, heads = impossible(checkpoint=folder, overrides=wrong)
    assert "(not 16)" in width
    assert "not 4 heads" in heads
    (note,) = [one for one in tttcfg.resolve(folder, overrides=fitting).findings if one.code == "kernel"]
    assert "auto takes torch" in note.message
    assert "head_dim 64 (not 16)" in note.message


def test_an_old_checkpoint_ran_torch_and_nothing_is_reported(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, old_document(6, {"ttt.enable": True}))
    effective = tttcfg.resolve(checkpoint=folder)
    assert (effective.ttt.kernel, effective.ttt.tensor_parallel_size) == ("torch", 1)
    assert about_kernels(effective) == []


def test_nothing_is_reported_of_kernels_where_ttt_is_off() -> None:
    assert about_kernels(tttcfg.resolve(overrides={"ttt.kernel": "thunderkittens"})) == []
