"""The model has moshi's tensors, hears only the past, and computes piece by piece what it computes at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from ttt_moshi.model import TinyMoshi, build

import tttcfg
from tttcfg import InputError
from tttcfg import nn as tttnn

from .conftest import MODEL


@pytest.fixture
def model() -> TinyMoshi:
    torch.manual_seed(0)
    return TinyMoshi(MODEL).eval()


@pytest.fixture
def codes() -> torch.Tensor:
    return torch.randint(0, 16, (2, 4, 40), generator=torch.Generator().manual_seed(1))


def text_in_pieces(model: TinyMoshi, codes: torch.Tensor, size: int) -> torch.Tensor:
    """Return the text logits of the delayed steps, computed `size` steps at a time."""
    delayed = model.delayed(codes)[:, :, :-1]
    with torch.no_grad(), model.streaming(len(codes)), tttnn.carrying_states(model):
        pieces = [model.forward_text(piece)[1] for piece in delayed.split(size, dim=2)]
    return torch.cat(pieces, dim=2)


def test_names_and_shapes_are_moshis(model: TinyMoshi) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes["transformer.layers.1.self_attn.in_projs.0.weight"] == (96, 32)
    assert shapes["transformer.layers.1.gating.linear_in.weight"] == (2 * 21 * 32 // 8, 32)
    assert shapes["transformer.layers.0.norm1.alpha"] == (1, 1, 32)
    assert (shapes["emb.2.weight"], shapes["text_emb.weight"]) == ((17, 32), (17, 32))
    assert (shapes["linears.2.weight"], shapes["text_linear.weight"]) == ((16, 32), (16, 32))
    assert not [name for name in shapes if "bias" in name]


def test_a_prediction_depends_on_nothing_that_comes_later(model: TinyMoshi, codes: torch.Tensor) -> None:
    """Audio stream 2 is delayed by one step, so it also hears the text of its own moment."""
    later = codes.clone()
    later[:, :, 20:] = (later[:, :, 20:] + 1) % 16
    one, other = model(codes), model(later)
    torch.testing.assert_close(one.text_logits[:, :, :21], other.text_logits[:, :, :21])
    torch.testing.assert_close(one.logits[:, :, :20], other.logits[:, :, :20])
    assert not one.logits[:, 1, 20].equal(other.logits[:, 1, 20])


def test_what_delays_push_out_and_what_is_no_token_is_masked(model: TinyMoshi, codes: torch.Tensor) -> None:
    codes[0, 1, 5] = model.zero_token_id
    output = model(codes)
    expected = torch.ones(2, 3, 40, dtype=torch.bool)
    expected[:, 1:, -1] = False
    expected[0, 0, 5] = False
    assert output.mask.equal(expected)
    assert output.logits[:, 1:, -1].isnan().all()
    assert output.logits[expected].isfinite().all()


def test_attention_reaches_back_as_far_as_its_context(codes: torch.Tensor) -> None:
    """Two layers of a context of 4 hear 6 steps back, and no more."""
    model = TinyMoshi(MODEL).eval()
    delayed = model.delayed(codes)
    other = delayed.clone()
    other[:, 0, 10] = (other[:, 0, 10] + 1) % 16
    changed = (model.forward_text(delayed)[1] - model.forward_text(other)[1]).abs().amax(dim=(0, 1, 3)) > 0
    assert changed.nonzero().flatten().tolist() == list(range(10, 17))


@pytest.mark.parametrize("size", [1, 3, 8, 40])
def test_pieces_of_any_size_are_the_whole_sequence(model: TinyMoshi, codes: torch.Tensor, size: int) -> None:
    whole = model.forward_text(model.delayed(codes)[:, :, :-1])[1]
    torch.testing.assert_close(text_in_pieces(model, codes, size), whole, rtol=1e-5, atol=1e-5)


def test_with_ttt_pieces_of_whole_mini_batches_are_the_whole_sequence(
    effective: tttcfg.Effective, codes: torch.Tensor
) -> None:
    model = build(MODEL, effective).eval()
    whole = model.forward_text(model.delayed(codes)[:, :, :-1])[1]
    torch.testing.assert_close(text_in_pieces(model, codes, 8), whole, rtol=1e-4, atol=1e-4)
    assert (text_in_pieces(model, codes, 5) - whole).abs().max() > 1e-3


def test_building_is_repeatable_and_follows_the_seed(here: Path, effective: tttcfg.Effective) -> None:
    one, same = build(MODEL, effective), build(MODEL, effective)
    assert all(a.equal(b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    other = tttcfg.resolve(config=here / "config.json", model_config=here / "model.json", overrides=["seed=1"])
    assert not one.text_emb.weight.equal(build(MODEL, other).text_emb.weight)


def test_a_base_model_goes_under_the_adapters(here: Path, tmp_path: Path, model: TinyMoshi) -> None:
    path = tmp_path / "base.safetensors"
    save_file(model.state_dict(), path)
    adapters = ["full_finetuning=false", "lora.enable=true", "lora.rank=2"]
    effective = tttcfg.resolve(config=here / "config.json", model_config=here / "model.json", overrides=adapters)
    built = build(MODEL, effective, path)
    frozen = built.get_parameter("transformer.layers.0.original_layer.self_attn.in_projs.0.frozen_W.weight")
    assert frozen.equal(model.transformer.layers[0].self_attn.in_projs[0].weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": None}, "dim: is None, and has to be a positive whole number"),
        ({"dim": 30}, "dim: 30 is no even number of channels for each head"),
        ({"delays": [0, 0]}, r"delays: are \[0, 0\], and have to be n_q \+ 1 whole numbers"),
    ],
)
def test_a_config_that_describes_no_model_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TinyMoshi({**MODEL, **change})
