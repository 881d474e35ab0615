"""Every field of `TTTConfig` is read, nothing else is, and each has the effects of its role."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.nn.models import LINEAR, Skeleton, layer, stir, tokens, ttt_config
from tttcfg.errors import ContradictionError
from tttcfg.nn import HybridLayer, Kernel, TTTLayer, add_ttt, carrying_states, torch_scan
from tttcfg.schema.fields import Role, config_fields
from tttcfg.ttt_moshi.ttt_config import TTTConfig

BASE = {"rope_mode": "mini_batch", "scan_checkpoint_group_size": 2, "persistent_states": "each_sequence"}
NEEDS: dict[str, dict[str, Any]] = {
    "scan_dtype": {"dtype": "bfloat16"},
    "state_dtype": {"dtype": "bfloat16", "scan_dtype": "float32"},
    "rope_scaling": {"rope_mode": "mini_batch"},
}
"""What else has to be set for a field to matter."""
CHANGES: dict[str, dict[str, Any]] = {
    "inner_model": {"sizes": LINEAR},
    "inner_layer_sizes": {"inner_layer_sizes": (16, 32, 16)},
    "head_dim": {"num_heads": 8, "head_dim": 8, "inner_layer_sizes": (8, 64, 8)},
    "num_heads": {"num_heads": 2, "head_dim": 32, "inner_layer_sizes": (32, 64, 32)},
    "layer_indices": {"layer_indices": (1, 3)},
    "mini_batch_size": {"mini_batch_size": 8},
    "base_lr": {"base_lr": 4.0},
    "reconstruction_eps": {"reconstruction_eps": 1e-2},
    "initial_gating_alpha": {"initial_gating_alpha": 0.2},
    "inner_norm_eps": {"inner_norm_eps": 1e-3},
    "read_out": {"read_out": "twice"},
    "scan_dtype": {"scan_dtype": "parameters"},
    "state_dtype": {"state_dtype": "scan"},
    "persistent_states": {"persistent_states": "never"},
    "rope_mode": {"rope_mode": "off"},
    "rope_theta": {"rope_theta": 100.0},
    "rope_scaling": {"rope_scaling": "none"},
    "ttt_layer_context": {"ttt_layer_context": 3},
    "non_ttt_layer_context": {"non_ttt_layer_context": 3},
    "dtype": {"dtype": "bfloat16"},
    "scan_checkpoint_group_size": {"scan_checkpoint_group_size": 0},
    "scan_checkpoint_group_size_eval": {"scan_checkpoint_group_size_eval": 1},
    "kernel": {"kernel": "torch"},
}
REFUSED = {"model_dim": 128, "num_layers": 8, "tensor_parallel_size": 2}
"""What is of another model, or of more ranks than these layers run on, is an error."""


class Recorded:
    """A configuration that remembers what was read of it, and has nothing but its fields."""

    def __init__(self, config: TTTConfig) -> None:
        self._config, self.read = config, set[str]()

    def __getattr__(self, name: str) -> Any:
        assert name in TTTConfig.model_fields, f"reads {name}, which is no field of TTTConfig"
        self.read.add(name)
        return getattr(self._config, name)


def recorded() -> Any:
    return Recorded(ttt_config(**BASE))


def test_adding_ttt_reads_every_field_and_a_forward_none() -> None:
    config, model = recorded(), Skeleton()
    add_ttt(model.transformer.layers, config)
    assert config.read == set(TTTConfig.model_fields)
    config.read.clear()
    with carrying_states(model):
        model(tokens(1, 6)).sum().backward()
        model.eval()(tokens(1, 6))
    assert config.read == set()


def test_each_class_reads_what_concerns_it() -> None:
    of_a_layer, of_a_hybrid = recorded(), recorded()
    TTTLayer(of_a_layer)
    HybridLayer(Skeleton().transformer.layers[1], of_a_hybrid, 1)
    of_the_model = {"num_layers", "ttt_layer_context", "non_ttt_layer_context"}
    around = {"layer_indices", "initial_gating_alpha", "persistent_states"}
    assert of_a_hybrid.read == set(TTTConfig.model_fields) - of_the_model
    assert of_a_layer.read == of_a_hybrid.read - around


def results(
    changes: dict[str, Any], weights: dict[str, torch.Tensor] | None = None
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return a model's weights, its own or those given, and what it computes in pieces, training and evaluating."""
    torch.manual_seed(0)
    model = Skeleton()
    config = ttt_config(**{**BASE, **changes})
    add_ttt(model.transformer.layers, config)
    for hybrid in config.layer_indices:
        stir(model.transformer.layers[hybrid].seq_modeling_block.ttt_layer, size=0.2)
    found = []
    if weights is not None:
        model.load_state_dict(weights)
    for mode in (True, False):
        with torch.no_grad() if not mode else torch.enable_grad(), carrying_states(model.train(mode)):
            pieces = tokens(1, 24).to(getattr(torch, config.dtype)).split(16, dim=1)
            found += [model.to(pieces[0].dtype)(piece).detach() for piece in pieces]
    return model.state_dict(), torch.cat(found, dim=1).float()


def shapes_of(weights: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: one.shape for name, one in weights.items()}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_has_the_effects_of_its_role(field: str) -> None:
    needs = NEEDS.get(field, {})
    changes = {**needs, **CHANGES[field]}
    (weights, logits), (changed_weights, changed_logits) = results(needs), results(changes)
    role = config_fields(TTTConfig)[field].role
    assert (shapes_of(changed_weights) != shapes_of(weights)) == (role is Role.ARCHITECTURE)
    if role is not Role.ARCHITECTURE:
        difference = (results(changes, weights)[1] - logits).norm() / logits.norm()
        assert difference > 1e-4 if role is Role.COMPUTATION else difference == 0
    if role is Role.TRAINING:  # it determines where training starts
        assert not torch.equal(changed_logits, logits)


@pytest.mark.parametrize("persistence", ["never", "first_sequence", "each_sequence"])
def test_whose_state_goes_on_is_seen_in_a_batch(persistence: str) -> None:
    model = Skeleton()
    add_ttt(model.transformer.layers, ttt_config(persistent_states=persistence))
    stir(model, size=0.1)
    with torch.no_grad(), carrying_states(model.eval()):
        model(tokens(2, 8))
        found = model(tokens(1, 8).expand(2, 8, 64))
    assert torch.equal(found[0], found[1]) == (persistence != "each_sequence")
    assert torch.allclose(found[0], model(tokens(1, 8))[0]) == (persistence == "never")


@pytest.mark.parametrize("field", REFUSED)
def test_what_no_layer_can_be_is_refused(field: str) -> None:
    with pytest.raises(ContradictionError):
        add_ttt(Skeleton().transformer.layers, ttt_config(**{field: REFUSED[field]}))


def test_no_field_is_left_out() -> None:
    assert {*CHANGES, *REFUSED} == set(TTTConfig.model_fields)


@pytest.mark.parametrize(("training", "group_size"), [(True, 3), (False, 2)])
def test_training_and_evaluating_have_their_own_checkpoint_groups(training: bool, group_size: int) -> None:
    counted = []

    def run(state: Any, inputs: Any, options: Any) -> Any:
        counted.append(options.group_size)
        return torch_scan(state, inputs, options)

    made = layer(ttt_config(scan_checkpoint_group_size=3, scan_checkpoint_group_size_eval=2)).train(training)
    made.kernels = (Kernel("torch", run),)
    made(tokens(1, 6))
    assert counted == [group_size]
