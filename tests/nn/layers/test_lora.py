"""Low-rank adapters: what they compute, what they freeze, and what is saved of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.nn.models import Skeleton, stir, tokens, ttt_config
from tttcfg.nn import LoRALinear, add_lora, add_ttt, merged_state_dict


def adapted(scaling: float = 2.0, **more: Any) -> Skeleton:
    model = Skeleton()
    add_ttt(model.transformer.layers, ttt_config())
    add_lora(model, 8, scaling, **more)
    return model


def test_a_fresh_adapter_changes_nothing() -> None:
    """moshi leaves lora_B random, so that adding adapters already changes the model."""
    plain = Skeleton()
    before = plain(tokens(1, 4))
    add_lora(plain, 8, 2.0)
    torch.testing.assert_close(plain(tokens(1, 4)), before, rtol=0, atol=0)


def test_an_adapter_adds_its_product_times_the_scaling() -> None:
    linear = nn.Linear(6, 5)
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    made = LoRALinear(linear, 2, 1.5)
    stir(made.lora_B)
    whole = weight + 1.5 * made.lora_B.weight @ made.lora_A.weight
    x = torch.randn(3, 6)
    torch.testing.assert_close(made(x), x @ whole.T + bias)
    torch.testing.assert_close(merged_state_dict(nn.Sequential(made)), {"0.weight": whole.detach(), "0.bias": bias})
    assert "rank=2, scaling=1.5" in repr(made)


def test_every_linear_module_has_an_adapter_but_those_of_ttt() -> None:
    names = {name for name, module in adapted().named_modules() if type(module) is nn.Linear}
    plain = {name for name in names if not name.endswith(("lora_A", "lora_B", "frozen_W"))}
    prefix = "transformer.layers.{}.seq_modeling_block.ttt_layer.ttt.{}"
    assert plain == {prefix.format(layer, one) for layer in (1, 2) for one in ("wq", "wk", "wv", "wo")}


def test_more_can_be_left_without_adapters() -> None:
    model = adapted(skip=("seq_modeling_block.ttt_layer", "depformer", "text_linear"))
    wrapped = [name for name, module in model.named_modules() if isinstance(module, LoRALinear)]
    assert len(wrapped) == 4 * 4 + 2
    assert not any("depformer" in name or "text_linear" in name for name in wrapped)


def test_what_an_adapter_wraps_is_frozen_and_nothing_else() -> None:
    for name, parameter in adapted().named_parameters():
        assert parameter.requires_grad == ("frozen_W" not in name), name


def test_adapters_are_added_once() -> None:
    model = adapted()
    before = list(model.state_dict())
    add_lora(model, 4, 1.0)
    assert list(model.state_dict()) == before


def test_another_kind_of_adapter_is_merged_as_well() -> None:
    """moshi's attention streams with moshi's own class only."""

    class Theirs(nn.Module):
        def __init__(self, linear: nn.Linear, rank: int, scaling: float) -> None:
            super().__init__()
            self.lora_A = nn.Linear(linear.in_features, rank, bias=False)
            self.lora_B = nn.Linear(rank, linear.out_features, bias=False)
            self.frozen_W, self.scaling = linear, scaling

    model = nn.Sequential(nn.Linear(4, 3, bias=False))
    add_lora(model, 2, 0.5, make=Theirs)
    made = model[0]
    whole = made.frozen_W.weight + 0.5 * made.lora_B.weight @ made.lora_A.weight
    torch.testing.assert_close(merged_state_dict(model), {"0.weight": whole.detach()})
    add_lora(model, 2, 0.5)
    assert isinstance(made, Theirs)
    assert model[0] is made


def test_tied_modules_stay_tied() -> None:
    linear = nn.Linear(4, 4)
    model = nn.ModuleDict({"one": nn.Sequential(linear), "two": nn.Sequential(linear)})
    add_lora(model, 2, 1.0)
    assert model["one"][0] is model["two"][0]


@pytest.mark.parametrize("scaling", [0.0, 2.0])
def test_a_plain_model_with_the_merged_weights_computes_the_same(scaling: float) -> None:
    model = adapted(scaling)
    stir(model, size=0.05)
    plain = Skeleton()
    add_ttt(plain.transformer.layers, ttt_config())
    plain.load_state_dict(merged_state_dict(model), strict=True)
    torch.testing.assert_close(plain(tokens(2, 8)), model(tokens(2, 8)), rtol=1e-4, atol=1e-4)


def test_merging_is_w_plus_scaling_times_b_a_rounded_once() -> None:
    model = Skeleton().bfloat16()
    add_lora(model, 8, 2.0)
    stir(model)
    merged = merged_state_dict(model)["text_linear.weight"]
    made = model.text_linear
    up, down, base = (one.weight.float() for one in (made.lora_B, made.lora_A, made.frozen_W))
    assert torch.equal(merged, (base + 2.0 * up @ down).bfloat16())


def test_a_state_dict_gathered_elsewhere_can_be_merged() -> None:
    model = adapted()
    gathered = {name: 2 * tensor for name, tensor in model.state_dict().items()}
    assert torch.equal(merged_state_dict(model, gathered)["text_linear.weight"], 2 * model.text_linear.frozen_W.weight)
    assert "text_linear.frozen_W.weight" in gathered
