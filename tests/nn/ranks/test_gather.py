"""Layers inside wrappers: files have the names that the model has without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from tests.nn.language import LORA, MODEL, State, build, equal, loss, resolved, stirred, values
from tttcfg.documents.effective import Effective
from tttcfg.errors import ContradictionError
from tttcfg.nn import Checkpointer, add_ttt, fingerprint, merged_state_dict, restore
from tttcfg.nn.ranks.gather import inside, plain_name

Wrapper = Callable[[nn.Module], nn.Module]


def compiled(layer: nn.Module) -> nn.Module:
    found: nn.Module = torch.compile(layer, backend="eager")
    return found


def both(layer: nn.Module) -> nn.Module:
    return compiled(checkpoint_wrapper(layer))


pytestmark = [
    pytest.mark.program,
    pytest.mark.filterwarnings("ignore:The .grad attribute"),  # the compiler looks at it
]
WRAPPERS = pytest.mark.parametrize("wrapper", [checkpoint_wrapper, compiled, both])


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch.compiler.reset()


def trained(folder: Path, effective: Effective, wrapper: Wrapper | None) -> tuple[Checkpointer, nn.Module]:
    """Return a run after two steps, each layer of its model in a wrapper, if any."""
    model = stirred(build(MODEL, effective))
    wrapped(model, wrapper)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-3)
    state = State()
    saver = Checkpointer(model, state, folder, MODEL, optimizer, training_args=effective)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        optimizer.zero_grad()
        loss(model, torch.randint(0, 32, (2, 5, 24), generator=generator)).backward()
        optimizer.step()
        state.step += 1
    return saver, model


def wrapped(model: nn.Module, wrapper: Wrapper | None) -> nn.Module:
    layers = model.transformer.layers
    for index, layer in enumerate(layers if wrapper else ()):
        layers[index] = wrapper(layer)  # type: ignore[misc]  # there is one, else there are no layers here
    return model


@WRAPPERS
def test_the_files_are_those_of_a_model_without_wrappers(wrapper: Wrapper, tmp_path: Path) -> None:
    effective = resolved(tmp_path, LORA)
    plain, _ = trained(tmp_path / "plain", effective, None)
    saver, model = trained(tmp_path / "wrapped", effective, wrapper)
    for options in ({}, {"save_only_lora": False}):
        one, other = (each.save_checkpoint(**options) / "consolidated" for each in (plain, saver))
        for path in one.glob("*.safetensors"):
            expected, found = load_file(path), load_file(other / path.name)
            assert expected.keys() == found.keys()
            assert all(torch.allclose(expected[name], found[name], atol=1e-5) for name in expected)
    assert merged_state_dict(model).keys() == load_file(one / "consolidated.safetensors").keys()


@WRAPPERS
def test_a_checkpoint_comes_back_into_wrapped_layers(wrapper: Wrapper, tmp_path: Path) -> None:
    effective = resolved(tmp_path, LORA)
    saver, model = trained(tmp_path / "run", effective, wrapper)
    folder = saver.save_checkpoint()
    restored = restore(folder, build=lambda *given: wrapped(build(*given), wrapper))
    assert restored.computation.agrees
    assert equal(values(restored.model), values(model))
    saver.run.state.step = 0
    assert saver.resume(folder).step == 2


@WRAPPERS
def test_what_is_set_wrong_is_seen_through_wrappers(wrapper: Wrapper, tmp_path: Path) -> None:
    effective = resolved(tmp_path, LORA)
    model = wrapped(build(MODEL, effective), wrapper)
    inside(model.transformer.layers[0]).self_attn.context = 5
    with pytest.raises(ContradictionError, match="has the context 5"):
        Checkpointer(model, State(), tmp_path / "run", MODEL, training_args=effective)
    assert effective.ttt is not None
    with pytest.raises(ContradictionError, match="has TTT already"):
        add_ttt(model.transformer.layers, effective.ttt)


def test_the_fingerprint_is_read_without_the_compiler(tmp_path: Path) -> None:
    """It would compile for the probe's lengths, and anew with every hook."""
    effective, counted = resolved(tmp_path), Mock()
    model = stirred(build(MODEL, effective))
    plain = fingerprint(model, MODEL, effective.ttt)
    wrapped(model, lambda layer: torch.compile(layer, backend=counted))
    assert fingerprint(model, MODEL, effective.ttt) == plain
    counted.assert_not_called()


def test_only_the_parts_of_wrappers_go_from_a_name() -> None:
    assert plain_name("layers.0._orig_mod._checkpoint_wrapped_module.weight") == "layers.0.weight"
    assert plain_name("my_orig_mod.module.weight") == "my_orig_mod.module.weight"
