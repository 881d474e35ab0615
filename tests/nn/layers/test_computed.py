"""What a checkpoint computed, it computes here: numbers of the trainer's own code (tests/computed/README.md)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.computed import ALL, COMMITTED, Computed, error
from tests.computed.measured import (
    RATES,
    after_the_layers,
    gradient_errors,
    lengths,
    output_errors,
    stack_error,
    stream_error,
    transformer,
)
from tttcfg.nn import reference_layer

EVERY = pytest.mark.parametrize("computed", ALL, ids=repr)
WHOLE = pytest.mark.parametrize("computed", [one for one in ALL if "transformer_in.24" in one.expected], ids=repr)


def test_the_committed_numbers_are_there() -> None:
    assert len(COMMITTED) == 5


@EVERY
def test_a_layer_computes_what_the_trainer_s_did(computed: Computed) -> None:
    assert max(output_errors(computed)) <= computed.output_limit


@EVERY
def test_the_reference_computes_it_too(computed: Computed) -> None:
    """The reference adds in another order, which a scan in bfloat16 shows."""
    limit = (
        computed.output_limit if computed.config.scan_dtype == "float32" or computed.dtype != torch.bfloat16 else 2e-2
    )
    for index in computed.layers:
        x = computed.expected[f"ttt_layer.{index}.in.21"]
        found = reference_layer(computed.config, computed.layer(index).state_dict(), x)
        assert error(found, computed.expected[f"ttt_layer.{index}.out.21"]) <= limit


@pytest.mark.parametrize("computed", [one for one in ALL if any(".grad." in name for name in one.expected)], ids=repr)
def test_its_gradients_are_the_trainer_s(computed: Computed) -> None:
    for index in computed.layers:
        off = gradient_errors(computed, index)
        rates = off.pop(RATES) if computed.dtype == torch.bfloat16 else 0.0
        assert rates <= 5e-3
        assert max(off.values()) <= computed.gradient_limit, off


@pytest.mark.parametrize(
    "changes",
    [
        {"inner_norm_eps": 1e-6},
        {"read_out": "once"},
        {"read_out": "twice"},
        {"scan_dtype": "float32"},
        {"scan_dtype": "parameters"},
        {"state_dtype": "scan"},
        {"rope_scaling": "none"},
        {"rope_mode": "off"},
        {"rope_theta": 1000.0},
        {"mini_batch_size": 7},
        {"base_lr": 0.9},
    ],
    ids=str,
)
def test_none_of_the_settings_can_be_left_out(changes: dict[str, Any]) -> None:
    """Some model whose program had another value is off by more than it may be."""
    assert any(max(output_errors(one, **changes)) > one.output_limit for one in COMMITTED)


def test_the_reconstruction_eps_is_seen_below_the_limit() -> None:
    """An older one, 1e-8, moves outputs by less than may be off, and by far more than they are."""
    exact = [one for one in COMMITTED if one.dtype == torch.float32]
    assert all(max(output_errors(one, reconstruction_eps=1e-8)) > 10 * max(output_errors(one)) for one in exact)


@WHOLE
def test_the_transformer_computes_what_the_trainer_s_did(computed: Computed) -> None:
    model = transformer(computed)
    for length in lengths(computed, "transformer_in."):
        assert stack_error(computed, model, length) <= computed.model_limit


@WHOLE
def test_token_by_token_it_computes_what_the_trainer_s_did(computed: Computed) -> None:
    assert stream_error(computed, transformer(computed)) <= computed.model_limit


@WHOLE
def test_ttt_after_the_feed_forward_block_is_another_model(computed: Computed) -> None:
    assert stack_error(computed, after_the_layers(computed)) > 10 * computed.model_limit


@pytest.mark.parametrize("persistence", ["never", "each_sequence"])
def test_other_states_that_go_on_are_another_model(persistence: str) -> None:
    """One sequence alone cannot show whose state is continued, but it shows that one is."""
    deep = next(one for one in COMMITTED if "stream_in" in one.expected)
    off = stream_error(deep, transformer(deep, persistent_states=persistence))
    assert (off > 2 * deep.model_limit) == (persistence == "never")
