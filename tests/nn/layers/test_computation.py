"""A built model that is set to another configuration computes what one does that was built from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.nn.language import MODEL, build, resolved, stirred
from tttcfg import Effective
from tttcfg.errors import ContradictionError, InputError
from tttcfg.nn import carrying_states, set_computation
from tttcfg.nn.recovery.candidates import plausible
from tttcfg.nn.recovery.search import varied
from tttcfg.schema.fields import Role, plain
from tttcfg.ttt_moshi.family import TTT_MOSHI

START: dict[str, Any] = {"lora.enable": True, "lora.rank": 4, "ttt.rope_mode": "mini_batch", "ttt.ttt_layer_context": 3}
FIELDS = {
    name: one
    for name, one in TTT_MOSHI.fields.items()
    if one.role is Role.COMPUTATION and name.startswith(("ttt.", "lora."))
}


def computed(model: nn.Module) -> list[torch.Tensor]:
    """Return what a model makes of two pieces of three sequences, in training and out of it."""
    codes = torch.randint(0, 32, (3, 5, 40), generator=torch.Generator().manual_seed(1))
    found = []
    for training in (True, False):
        model.train(training)
        with carrying_states(model), torch.no_grad():
            found += [model(piece).text_logits for piece in codes.split(20, dim=2)]
    return found


def built(effective: Effective) -> nn.Module:
    return stirred(build(MODEL, effective))


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_of_the_computation_can_be_set(name: str, tmp_path: Path) -> None:
    start = resolved(tmp_path, START)
    model, before = built(start), computed(built(start))
    values = plausible(FIELDS[name], plain(FIELDS[name].get(start.training)))
    assert len(values) > 1
    for value in values:
        other = varied(start, {name: value}, MODEL)
        set_computation(model, other)
        fresh = built(other)
        fresh.load_state_dict(model.state_dict())
        torch.testing.assert_close(computed(model), computed(fresh), rtol=0, atol=0, equal_nan=True)
    set_computation(model, start)
    torch.testing.assert_close(computed(model), before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"ttt.layers": [1, 3]}, "ttt.layer_indices"),
        ({"ttt.inner_model": "linear"}, "ttt.inner_layer_sizes"),
        ({"param_dtype": "bfloat16"}, "param_dtype"),
    ],
    ids=str,
)
def test_a_configuration_of_other_tensors_is_refused(changes: dict[str, Any], key: str, tmp_path: Path) -> None:
    start = resolved(tmp_path, START)
    model = built(start)
    before = computed(model)
    with pytest.raises(ContradictionError) as caught:
        set_computation(model, resolved(tmp_path, {**START, **changes, "ttt.mini_batch_size": 4}))
    assert {one.key for one in caught.value.problems} == {key}
    torch.testing.assert_close(computed(model), before, rtol=0, atol=0, equal_nan=True)


def test_what_has_no_ttt_is_refused(tmp_path: Path) -> None:
    plain_model, start = (
        build(MODEL, resolved(tmp_path, {"ttt.enable": False, "lora.enable": True})),
        resolved(tmp_path),
    )
    with pytest.raises(ContradictionError, match=r"ttt\.enable: the model has no TTT layers"):
        set_computation(plain_model, start)
    with pytest.raises(InputError, match="ttt: is NoneType, and the TTT layers here read TTTConfig"):
        set_computation(built(start), resolved(tmp_path, {"ttt.enable": False}))
