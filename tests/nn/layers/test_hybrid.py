"""The hybrid layer, and putting TTT into a model that exists."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from tests.nn.models import Layer, Skeleton, stir, tokens, ttt_config
from tttcfg.errors import ContradictionError
from tttcfg.nn import HybridLayer, add_ttt


def hybrid(**changes: Any) -> HybridLayer:
    made = HybridLayer(Layer(64, 168), ttt_config(**changes), 1)
    stir(made)
    return made


def with_ttt(**changes: Any) -> Skeleton:
    model = Skeleton()
    add_ttt(model.transformer.layers, ttt_config(**changes))
    return model


def test_ttt_is_between_attention_and_feed_forward() -> None:
    """x2 = x1 + tanh(alpha) * TTT(x1), on what the attention block returned, without a norm of its own."""
    made, x = hybrid(), tokens(2, 6)
    block, layer = made.seq_modeling_block, made.original_layer
    x1 = layer.attention_block(x)
    adapted, _ = block.ttt_layer.ttt(x1)
    x2 = x1 + torch.tanh(block.forward_ssm_gating.gating_alpha) * adapted
    torch.testing.assert_close(made(x), layer.feed_forward_block(x2))


@pytest.mark.parametrize(("alpha", "counts"), [(0.0, 0.0), (0.1, 0.1), (-3.0, -3.0), (7.0, 3.0), (-50.0, -3.0)])
def test_alpha_saturates_at_three(alpha: float, counts: float) -> None:
    made = hybrid().seq_modeling_block.forward_ssm_gating
    nn.init.constant_(made.gating_alpha, alpha)
    expected = torch.tanh(torch.tensor(counts)) * tokens(1, 2)
    torch.testing.assert_close(made(tokens(1, 2)), expected)


def test_gates_start_at_the_initial_alpha() -> None:
    block = HybridLayer(Layer(64, 168), ttt_config(initial_gating_alpha=0.25), 1).seq_modeling_block
    for gate in (block.forward_ssm_gating, block.backward_ssm_gating):
        assert (gate.gating_alpha == 0.25).all()
        nn.init.zeros_(gate.gating_alpha)
        gate.reset_parameters()
        assert (gate.gating_alpha == 0.25).all()


def test_the_backward_gate_has_no_effect_and_gets_no_gradient() -> None:
    made, x = hybrid(), tokens(1, 4)
    before = made(x)
    gate = made.seq_modeling_block.backward_ssm_gating
    nn.init.normal_(gate.gating_alpha)
    after = made(x)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    after.sum().backward()
    assert gate.gating_alpha.grad is None


def test_what_a_layer_is_called_with_reaches_its_attention_block() -> None:
    class Called(nn.Module):
        def attention_block(self, x: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
            seen.append((given, named))
            return x

        def feed_forward_block(self, x: torch.Tensor) -> torch.Tensor:
            return x

    seen: list[Any] = []
    made = HybridLayer(Called(), ttt_config(), 1)
    made(tokens(1, 2), "positional", cross_attention_src=None)
    assert seen == [(("positional",), {"cross_attention_src": None})]


class Whole(nn.Module):
    """A layer in one piece."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.self_attn, self.gating = layer.self_attn, layer.gating

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gating(self.self_attn(x))


def test_a_layer_that_cannot_be_split_is_refused_with_what_it_has_to_provide() -> None:
    """And nothing is changed; the layers without TTT may be what they are."""
    model = Skeleton()
    layers = model.transformer.layers
    layers[0], layers[2] = Whole(layers[0]), Whole(layers[2])
    with pytest.raises(
        ContradictionError, match=r"layer 2 \(Whole\) has no two blocks for TTT to go between: it has to "
    ):
        add_ttt(layers, ttt_config())
    assert not any(isinstance(one, HybridLayer) for one in layers)
    assert layers[1].self_attn.context == 3000
    add_ttt(layers, ttt_config(layer_indices=(1, 3)))
    with pytest.raises(ContradictionError, match=r"attention_block\(x, \.\.\.\) and feed_forward_block\(x\)"):
        HybridLayer(Whole(Layer(64, 168)), ttt_config(), 1)


@pytest.mark.parametrize(
    "wrapper", [checkpoint_wrapper, partial(torch.compile, backend="eager")], ids=["checkpoint", "compile"]
)
def test_a_wrapper_goes_around_the_hybrid_layer(wrapper: Any) -> None:
    """Around the layer inside it would be passed over, since the blocks are called one by one."""
    model = Skeleton()
    layers = model.transformer.layers
    layers[1] = wrapper(layers[1])
    with pytest.raises(ContradictionError, match=r"layer 1 is wrapped .*: add TTT first, and that to the HybridLayer"):
        add_ttt(layers, ttt_config())
    made = hybrid()
    made.seq_modeling_block.original_layer = wrapper(made.original_layer)
    with pytest.raises(
        TypeError, match="took the place of a layer inside a HybridLayer; wrap or shard the HybridLayer"
    ):
        made(tokens(1, 4))


def _with_a_forward_of_its_own(layer: Layer) -> None:
    layer.forward = lambda x: 100 * x  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with_a_forward_of_its_own, "has a forward that was put in the place of its class's"),
        (lambda layer: layer.register_forward_hook(lambda *_: None), "has hooks"),
        (lambda layer: layer.register_forward_pre_hook(lambda *_: None), "has hooks"),
        (lambda layer: layer.register_full_backward_hook(lambda *_: None), "has hooks"),
    ],
)
def test_what_is_around_both_blocks_of_a_layer_is_never_dropped(change: Any, message: str) -> None:
    model = Skeleton()
    change(model.transformer.layers[2])
    with pytest.raises(ContradictionError, match=f"layer 2 {message}, around both of its blocks: add TTT first"):
        add_ttt(model.transformer.layers, ttt_config())
    assert not any(isinstance(one, HybridLayer) for one in model.transformer.layers)


def test_a_model_with_ttt_can_be_copied() -> None:
    made, x = with_ttt(), tokens(1, 8)
    copied = copy.deepcopy(made)
    stir(made)
    assert not torch.equal(made(x), copied(x))
    torch.testing.assert_close(copied(x), with_ttt_of(copied)(x))


def with_ttt_of(other: Skeleton) -> Skeleton:
    model = with_ttt()
    model.load_state_dict(other.state_dict())
    return model


def test_layers_get_their_contexts_and_only_some_get_ttt() -> None:
    layers = with_ttt(ttt_layer_context=7, non_ttt_layer_context=9).transformer.layers
    assert [type(one).__name__ for one in layers] == ["Layer", "HybridLayer", "HybridLayer", "Layer"]
    assert [layers[index].self_attn.context for index in (0, 3)] == [9, 9]
    assert [layers[index].original_layer.self_attn.context for index in (1, 2)] == [7, 7]
    assert "index=1" in repr(layers[1])


def test_ttt_is_built_where_the_layer_is_and_as_it_is() -> None:
    with torch.device("meta"):
        meta = Skeleton()
    add_ttt(meta.transformer.layers, ttt_config(dtype="bfloat16"))
    assert {one.device.type for one in meta.parameters()} == {"meta"}
    assert meta.transformer.layers[1].seq_modeling_block.ttt_layer.ttt.W1.dtype == torch.bfloat16
    evaluated = Skeleton().eval()
    add_ttt(evaluated.transformer.layers, ttt_config())
    assert not any(module.training for module in evaluated.modules())


def test_a_walk_over_children_meets_the_original_layer_once() -> None:
    """Moshi starts streaming by such a walk, and refuses a module that it meets twice."""

    def walk(module: nn.Module) -> list[nn.Module]:
        return [module, *(found for _, child in module.named_children() for found in walk(child))]

    met = [module for module in walk(with_ttt()) if isinstance(module, Layer)]
    assert len(met) == len({id(one) for one in met}) == 5


def test_both_names_of_the_original_layer_are_one_tensor() -> None:
    model = with_ttt()
    state = model.state_dict()
    name = "transformer.layers.1.{}original_layer.gating.linear_in.weight"
    assert state[name.format("")].data_ptr() == state[name.format("seq_modeling_block.")].data_ptr()
    assert sum("original_layer" in one for one, _ in model.named_parameters()) == 2 * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 8}, "ttt.num_layers: 8 is for another model: this one has 4 layers"),
        ({"layer_indices": (1, 4, 9)}, r"ttt.layer_indices: layers \[4, 9\] do not exist: the model has 4"),
        ({"model_dim": 128, "num_heads": 8}, "ttt.model_dim: 128 is for another model: no tensor of layer 0"),
    ],
)
def test_a_configuration_of_another_model_is_refused_and_changes_nothing(changes: Any, message: str) -> None:
    model = Skeleton()
    before = list(model.state_dict())
    with pytest.raises(ContradictionError, match=message):
        add_ttt(model.transformer.layers, ttt_config(**changes))
    assert list(model.state_dict()) == before
    assert {one.self_attn.context for one in model.transformer.layers} == {3000}


def test_ttt_is_not_added_twice() -> None:
    model = with_ttt()
    with pytest.raises(ContradictionError, match="layer 1 has TTT already"):
        add_ttt(model.transformer.layers, ttt_config())


def test_a_layer_without_a_context_is_refused() -> None:
    """The trainer set the wrong attribute silently, and every context in its files was untrue."""
    model = Skeleton()
    del model.transformer.layers[3].self_attn.context
    with pytest.raises(ContradictionError, match=r"layer 3 has no self_attn\.context to set"):
        add_ttt(model.transformer.layers, ttt_config())


def test_a_layer_that_the_configuration_leaves_plain_is_no_hybrid() -> None:
    with pytest.raises(ContradictionError, match=r"layer 0 is not among the layers with TTT, \[1, 2\]"):
        HybridLayer(Layer(64, 168), ttt_config(), 0)


def test_what_auto_takes_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="tttcfg.nn"):
        with_ttt(), with_ttt(kernel="torch")
    assert [one.getMessage().partition(",")[0] for one in caplog.records] == ["ttt.kernel: auto takes torch"]
