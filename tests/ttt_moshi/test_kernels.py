"""What each kernel can run, what `auto` takes and how it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tttcfg
from tests.builders import checkpoint, old_document, write_json
from tttcfg.ttt_moshi.kernels import KERNELS, choose, violations
from tttcfg.ttt_moshi.ttt_config import TTTConfig
from tttcfg.ttt_moshi.ttt_settings import Kernel

TOKENS = 640
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
    values = {"num_heads": 48, "dtype": "bfloat16", **values, **changes}
    return TTTConfig(
        model_dim=values["num_heads"] * values["head_dim"],
        num_layers=4,
        layer_indices=(1, 2),
        ttt_layer_context=3000,
        non_ttt_layer_context=3000,
        **values,
    )


def said(kernel: str, config: TTTConfig, tokens: int = TOKENS) -> list[str]:
    return [str(one) for one in violations(kernel, config, tokens)]


def test_every_kernel_that_can_be_set_has_its_limits() -> None:
    assert {"auto", *KERNELS} == set(get_args(Kernel))


@pytest.mark.parametrize("kernel", FITTING)
def test_what_fits_breaks_no_limit(kernel: str) -> None:
    assert said(kernel, layers(FITTING[kernel])) == []


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
        ("torch", {"tensor_parallel_size": 2}, "all heads on one rank, being unfused (not on 2)"),
    ],
)
def test_a_limit_speaks_alone_where_it_is_broken(kernel: str, changes: dict[str, Any], message: str) -> None:
    assert said(kernel, layers(FITTING[kernel], **changes)) == [f"{kernel} needs {message}"]


@pytest.mark.parametrize("kernel", ["thunderkittens", "triton"])
def test_a_fused_kernel_takes_whole_mini_batches(kernel: str) -> None:
    config = layers(FITTING[kernel])
    message = f"{kernel} needs a sequence of whole mini-batches (not 650 tokens by {config.mini_batch_size})"
    assert said(kernel, config, 650) == [message]


@pytest.mark.parametrize("kernel", ["thunderkittens", "triton"])
def test_a_fused_kernel_shares_heads_that_can_be_shared(kernel: str) -> None:
    assert said(kernel, layers(FITTING[kernel], tensor_parallel_size=48)) == []
    (broken,) = violations(kernel, layers(FITTING[kernel], tensor_parallel_size=5), TOKENS)
    assert broken.key == "ttt.tensor_parallel_size"
    assert str(broken) == f"{kernel} needs the same number of heads on every rank (not 48 heads on 5 ranks)"


def test_a_multi_layer_mlp_is_never_shared() -> None:
    message = "needs a multi-layer inner MLP whole on one rank (not 3 layers on 2 ranks)"
    for kernel in KERNELS:
        assert f"{kernel} {message}" in said(kernel, layers(MULTI, tensor_parallel_size=2))


def test_torch_runs_everything_on_one_rank() -> None:
    for values in (MLP, LINEAR, MULTI, MOSHI):
        assert said("torch", layers(values, mini_batch_size=7, dtype="float32"), 11) == []


def test_all_broken_limits_are_told_at_once() -> None:
    config = layers(LINEAR, mini_batch_size=10, head_dim=24, inner_layer_sizes=(24, 24), tensor_parallel_size=5)
    assert [one.partition(" (not ")[0] for one in said("thunderkittens", config, 99)] == [
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
            "triton needs inner_model linear (not mlp); torch needs all heads on one rank, being unfused (not on 2)",
        ),
    ],
    ids=["mlp", "linear", "moshi", "multi", "none"],
)
def test_auto_explains_its_choice(values: dict[str, Any], sentence: str) -> None:
    assert str(choose(layers(values), TOKENS)) == sentence


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
    fitting = [kernel for kernel in KERNELS if not violations(kernel, config, tokens)]
    choice = choose(config, tokens)
    assert choice.broken == violations(choice.name, config, tokens)
    assert fitting[:1] == ([] if choice.broken else [choice.name])
    assert fitting or config.tensor_parallel_size > 1


def resolve(tmp_path: Path, heads: int, **ttt: Any) -> tttcfg.Effective[Any, Any]:
    """Resolve for a model as wide as Moshi, over sequences of 640 tokens."""
    model = write_json(tmp_path / "model.json", {"dim": 4096, "num_heads": heads, "num_layers": 4, "context": 3000})
    overrides = {"ttt.enable": True, "duration_sec": 51.2, **{f"ttt.{name}": value for name, value in ttt.items()}}
    return tttcfg.resolve(overrides=overrides, model_config=model)


def about_kernels(effective: Any) -> list[tuple[str, str, str]]:
    return [(one.severity, one.code, one.key) for one in effective.findings if one.code in ("kernel", "contradiction")]


def test_a_kernel_that_fits_is_taken_without_a_word(tmp_path: Path) -> None:
    effective = resolve(tmp_path, 64, kernel="thunderkittens", mini_batch_size=64, tensor_parallel_size=4)
    assert about_kernels(effective) == []
    assert (effective.ttt.kernel, effective.ttt.tensor_parallel_size) == ("thunderkittens", 4)


def test_an_impossible_kernel_is_refused_with_every_reason(tmp_path: Path) -> None:
    with pytest.raises(tttcfg.ContradictionError) as caught:
        resolve(tmp_path, 32, kernel="thunderkittens", tensor_parallel_size=3)
    assert [(one.key, one.message) for one in caught.value.problems] == [
        ("ttt.kernel", "thunderkittens needs head_dim 64 (not 128)"),
        ("ttt.kernel", "thunderkittens needs mini_batch_size 64 (not 16)"),
        (
            "ttt.tensor_parallel_size",
            "thunderkittens needs the same number of heads on every rank (not 32 heads on 3 ranks)",
        ),
    ]
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


def test_an_old_checkpoint_ran_torch_and_nothing_is_said(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, old_document(6, {"ttt.enable": True}))
    effective = tttcfg.resolve(checkpoint=folder)
    assert (effective.ttt.kernel, effective.ttt.tensor_parallel_size) == ("torch", 1)
    assert about_kernels(effective) == []


def test_nothing_is_said_of_kernels_where_ttt_is_off() -> None:
    assert about_kernels(tttcfg.resolve(overrides={"ttt.kernel": "thunderkittens"})) == []
