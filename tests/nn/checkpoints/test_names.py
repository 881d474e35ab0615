"""Tensor names and shapes: those of the real trainer, so that its files load with nothing missing and nothing left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.evidence.dialects.tensors import (
    Shapes,
    Size,
    adapters,
    consolidated,
    converted,
    frozen,
    lora,
    moshi_linears,
    moshi_others,
    moshi_ttt,
)
from tests.nn.models import DEEP, LINEAR, MLP, MULTI, Skeleton, tokens, ttt_config
from tttcfg.nn import adapter_state_dict, add_lora, add_ttt, merged_state_dict

SIZE = Size()
REAL: list[tuple[str, dict[str, Any], int]] = [
    ("moshi_ttt_mlp2", {"sizes": MLP}, 0),
    ("moshi_ttt_mlp5", {"sizes": DEEP, "layer_indices": (3,)}, 0),
    ("moshi_ttt_lora_mlp2", {"sizes": MLP}, 8),
]


def built(rank: int = 0, lora_first: bool = True, **changes: Any) -> Skeleton:
    model = Skeleton()
    if rank and lora_first:
        add_lora(model, rank, 2.0)
    add_ttt(model.transformer.layers, ttt_config(**changes))
    if rank and not lora_first:
        add_lora(model, rank, 2.0)
    return model


def shapes(state: dict[str, torch.Tensor]) -> Shapes:
    return {name: list(tensor.shape) for name, tensor in state.items()}


def with_lora(layers: tuple[int, ...], rank: int) -> Shapes:
    linears = moshi_linears(SIZE)
    return converted(frozen(linears) | lora(linears, rank) | moshi_others(SIZE), layers) | moshi_ttt(
        SIZE, layers, (64,)
    )


@pytest.mark.parametrize("sizes", [LINEAR, MLP, MULTI, DEEP], ids=["linear", "mlp", "multi", "deep"])
def test_a_model_has_the_tensors_of_a_consolidated_file(sizes: tuple[int, ...]) -> None:
    assert shapes(built(sizes=sizes).state_dict()) == consolidated(SIZE, (1, 2), sizes[1:-1])


@pytest.mark.parametrize("lora_first", [True, False])
def test_the_order_of_adapters_and_ttt_does_not_matter(lora_first: bool) -> None:
    model = built(8, lora_first)
    assert shapes(model.state_dict()) == with_lora((1, 2), 8)
    assert shapes(merged_state_dict(model)) == consolidated(SIZE, (1, 2), (64,))


def test_an_adapter_file_holds_each_trained_tensor_once() -> None:
    model = built(8)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora" in name or "ttt" in name or "ssm_gating" in name)
    assert shapes(adapter_state_dict(model)) == adapters(SIZE, (1, 2), (64,), 8)


@pytest.mark.parametrize(("name", "changes", "rank"), REAL, ids=[one[0] for one in REAL])
def test_the_real_trainer_s_files_match_exactly(
    shared_data: Path, name: str, changes: dict[str, Any], rank: int
) -> None:
    header = json.loads((shared_data / "headers" / f"{name}.json").read_text())
    real = {tensor: one["shape"] for tensor, one in header.items()}
    model = built(rank, **changes)
    assert shapes(model.state_dict()) == real
    model.load_state_dict({tensor: torch.full(shape, 0.01) for tensor, shape in real.items()}, strict=True)
    assert model(tokens(1, 6)).isfinite().all()
