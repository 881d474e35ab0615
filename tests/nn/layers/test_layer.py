"""The TTT layer against its float64 reference, and what its docstring promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call

from tests.nn.models import DEEP, LINEAR, MLP, MULTI, layer, tokens, ttt_config
from tttcfg.errors import ContradictionError
from tttcfg.nn import TTTLayer, reference_layer
from tttcfg.ttt_moshi.ttt_config import TTTConfig

LIMITS = {
    ("float32", "float32"): 1e-5,
    ("float32", "parameters"): 1e-5,
    ("bfloat16", "float32"): 5e-3,
    ("bfloat16", "parameters"): 5e-2,
}
"""How far a layer may be from the reference, by the parameters' dtype and what the scan computes in."""
KINDS = pytest.mark.parametrize("sizes", [LINEAR, MLP, MULTI, DEEP], ids=["linear", "mlp", "multi", "deep"])


@st.composite
def configurations(draw: st.DrawFn) -> TTTConfig:
    """Draw a configuration of any depth, shape and dtype, with every setting that decides what a layer computes.

    A norm over two or three channels makes of every rounding a difference of its own size, so heads are wider.
    """
    width, heads = draw(st.sampled_from([6, 8, 16])), draw(st.integers(1, 4))
    hidden = draw(st.lists(st.integers(1, 24), max_size=4))
    return ttt_config(
        (width, *hidden, width),
        model_dim=heads * width,
        num_heads=heads,
        dtype=draw(st.sampled_from(["float32", "bfloat16"])),
        mini_batch_size=draw(st.integers(1, 6)),
        base_lr=draw(st.sampled_from([0.01, 1.0, 8.0])),
        reconstruction_eps=draw(st.sampled_from([1e-8, 1e-5, 0.5])),
        inner_norm_eps=draw(st.sampled_from([1e-8, 1e-6, 0.1])),
        read_out=draw(st.sampled_from(["once", "twice"])),
        scan_dtype=draw(st.sampled_from(["float32", "parameters"])),
        state_dtype=draw(st.sampled_from(["scan", "parameters"])),
        rope_mode=draw(st.sampled_from(["off", "mini_batch"])),
        rope_scaling=draw(st.sampled_from(["none", "audio"])),
        rope_theta=draw(st.sampled_from([10.0, 10000.0])),
    )


@given(config=configurations(), batch=st.integers(1, 3), length=st.integers(1, 12), seed=st.integers(0, 99))
def test_the_layer_computes_what_the_reference_computes(config: TTTConfig, batch: int, length: int, seed: int) -> None:
    """Within what the dtypes round; a scan in bfloat16 rounds every operation, and in another order."""
    made, x = layer(config, seed), tokens(batch, length, config.model_dim, seed)
    expected = reference_layer(config, made.state_dict(), x)
    found = made(x.to(made.wq.weight.dtype))[0].double()
    assert (found - expected).norm() <= LIMITS[config.dtype, config.scan_dtype] * expected.norm()


@KINDS
@pytest.mark.parametrize("read_out", ["once", "twice"])
def test_its_gradients_are_the_reference_s(sizes: tuple[int, ...], read_out: str) -> None:
    config = ttt_config(sizes, rope_mode="mini_batch", read_out=read_out)
    made, x = layer(config), tokens(2, 10)
    along = tokens(2, 10, seed=2)
    own = {name: one.detach().double().requires_grad_() for name, one in made.named_parameters()}
    (made(x)[0] * along).sum().backward()
    (reference_layer(config, own, x) * along).sum().backward()
    for name, parameter in made.named_parameters():
        if parameter.grad is None:
            assert name.startswith(("wo.", "post_norm."))
            assert own[name].grad is None
        else:
            error = (parameter.grad - own[name].grad).norm() / own[name].grad.norm()
            assert error < 1e-5, name


def test_post_norm_and_wo_have_no_effect() -> None:
    made, x = layer(ttt_config()), tokens(1, 4)
    before = made(x)[0]
    for parameter in (*made.wo.parameters(), *made.post_norm.parameters()):
        torch.nn.init.normal_(parameter)
    torch.testing.assert_close(made(x)[0], before, rtol=0, atol=0)


def test_a_token_sees_its_mini_batch_and_those_before() -> None:
    """The step is not causal inside the mini-batch, and nothing else reaches backwards."""
    made, x = layer(ttt_config()), tokens(1, 12)
    changed = x.clone()
    changed[:, 6] += 1
    seen = (made(changed)[0] - made(x)[0]).abs().amax(dim=(0, 2)) > 1e-4
    assert seen.tolist() == [False] * 4 + [True] * 8


def test_zeros_fill_the_last_mini_batch_and_update_the_state() -> None:
    made, x = layer(ttt_config()), tokens(2, 6)
    filled = torch.cat([x, torch.zeros(2, 2, 64)], dim=1)
    (short, after), (whole, expected) = made(x), made(filled)
    torch.testing.assert_close(short, whole[:, :6])
    torch.testing.assert_close(after, expected)
    cut = made(x[:, :4])[1]
    assert not torch.allclose(after[0], cut[0])


def test_zero_rows_have_finite_gradients_where_the_projections_biases_are_zero() -> None:
    """Their keys and targets have length 0 then, and all differences of a head are equal."""
    made = TTTLayer(ttt_config(mini_batch_size=8))
    for project in (made.wq, made.wk, made.wv):
        torch.nn.init.zeros_(project.bias)
    made(tokens(1, 3))[0].square().sum().backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in made.parameters())
    assert made.W1.grad.norm() > 0


@KINDS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("state_dtype", ["parameters", "scan"])
def test_the_state_has_the_dtype_that_it_is_rounded_to(sizes: tuple[int, ...], dtype: str, state_dtype: str) -> None:
    config = ttt_config(sizes, dtype=dtype, base_lr=1.0, state_dtype=state_dtype)
    made, x = layer(config), tokens(2, 8)
    assert {one.dtype for one in made.parameters()} == {getattr(torch, dtype)}
    y, state = made(x.bfloat16())
    assert y.dtype == torch.bfloat16
    wide = state_dtype == "scan" and config.scan_dtype == "float32"
    assert {one.dtype for one in state} == {torch.float32 if wide else getattr(torch, dtype)}


@pytest.mark.parametrize("scan_dtype", ["float32", "parameters"])
def test_a_layer_that_rounds_its_state_loses_small_steps(scan_dtype: str) -> None:
    """bfloat16 numbers are 0.4 % apart, and a step that is smaller than half of it is gone."""
    rounded = ttt_config(dtype="bfloat16", scan_dtype=scan_dtype, base_lr=1e-3)
    _, state = (made := layer(rounded))(tokens(1, 8).bfloat16())
    assert (state[0] == made.learned_state(1)[0]).float().mean() > 0.9
    kept = ttt_config(dtype="bfloat16", state_dtype="scan", base_lr=1e-3)
    _, state = (made := layer(kept))(tokens(1, 8).bfloat16())
    assert (state[0] == made.learned_state(1)[0]).float().mean() < 0.2


def test_autocast_does_not_reach_the_scan() -> None:
    made, x = layer(ttt_config()), tokens(2, 8)
    expected = reference_layer(ttt_config(), made.state_dict(), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = made(x)
    assert y.dtype == torch.float32
    assert {one.dtype for one in state} == {torch.float32}
    assert (y.double() - expected).norm() / expected.norm() < 1e-5


@KINDS
def test_it_starts_as_the_trainer_starts_it(sizes: tuple[int, ...]) -> None:
    """There are no numbers of the trainer's for it: it follows the trainer's code."""
    for name, parameter in TTTLayer(ttt_config(sizes)).named_parameters():
        if name in ("ttt_norm_weight", "post_norm.weight"):
            assert (parameter == 1).all()
        elif name in ("wq.bias", "wk.bias", "wv.bias", "wo.bias"):
            bound = 64**-0.5
            assert parameter.abs().max() <= bound
            assert abs(parameter.std().item() - bound / 3**0.5) < 0.02, name
        elif "bias" in name or name.startswith("b"):
            assert (parameter == 0).all()
        else:
            assert abs(parameter.std().item() - 0.02) < 0.003, name
            assert abs(parameter.mean().item()) < 0.003, name


def test_parameters_can_be_replaced_for_one_call() -> None:
    """As distributed wrappers and torch.func do it, with tensors that are no parameters."""
    made, other, x = layer(ttt_config(DEEP)), layer(ttt_config(DEEP), seed=5), tokens(1, 5)
    found = functional_call(made, dict(other.state_dict()), x)[0]
    torch.testing.assert_close(found, other(x)[0])


def test_a_state_of_other_sequences_is_refused() -> None:
    made = layer(ttt_config())
    state = made(tokens(2, 4))[1]
    with pytest.raises(ValueError, match="the state is that of 2 sequences, and x has 3"):
        made(tokens(3, 4), state)


def test_legacy_rotary_positions_are_refused_with_what_to_do() -> None:
    with pytest.raises(ContradictionError, match="what the code did then was not recorded; override it with") as caught:
        TTTLayer(ttt_config(rope_mode="legacy"))
    assert [(one.code, one.key) for one in caught.value.problems] == [("legacy", "ttt.rope_mode")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensor_parallel_size": 2}, "these layers hold all heads on one rank; set it to 1"),
        ({"num_heads": 3}, "3 heads of 16 are not 64 wide"),
        ({"dtype": "float16"}, "is float16, in which the layers' epsilons are 0"),
        ({"inner_layer_sizes": (16, 64, 8)}, "does not begin and end with head_dim 16"),
        ({"inner_model": "linear"}, "2 layers are no inner model linear"),
        ({"inner_layer_sizes": (16, 16)}, "1 layers are no inner model mlp"),
        (
            {"head_dim": 1, "num_heads": 64, "inner_layer_sizes": (1, 4, 1)},
            "a single channel has no deviation to be normalised by",
        ),
        (
            {"rope_mode": "mini_batch", "head_dim": 5, "model_dim": 20, "inner_layer_sizes": (5, 20, 5)},
            "rotary positions turn pairs of channels, and head_dim 5 is odd",
        ),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContradictionError, match=message) as caught:
        TTTLayer(ttt_config(**changes))
    assert len(caught.value.problems) == 1


def test_all_that_is_wrong_is_reported_at_once() -> None:
    with pytest.raises(ContradictionError) as caught:
        TTTLayer(ttt_config(tensor_parallel_size=2, num_heads=3, rope_mode="legacy"))
    assert [one.key for one in caught.value.problems] == ["ttt.head_dim", "ttt.tensor_parallel_size", "ttt.rope_mode"]
