"""Evidence for and against one configuration, on a model with TTT layers whose settings are known.

What it learns to say is what it says itself, with noise: under its own settings its expected gradient is zero.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import tttcfg
from tests.nn.language import MODEL, Training, build, stirred
from tttcfg import Effective, InputError
from tttcfg.nn import check_training, load_checkpoint, recover, set_computation, write_recovered

OWN = {"ttt.base_lr": 16.0, "ttt.rope_mode": "off", "ttt.ttt_layer_context": 4}
NOISE = 0.002


class Batch(NamedTuple):
    codes: torch.Tensor
    said: torch.Tensor


class Case(NamedTuple):
    folder: Path
    model: nn.Module
    batches: list[Batch]


def loss(model: nn.Module, batch: Batch, _: Effective) -> torch.Tensor:
    return (model(batch.codes).text_logits - batch.said).square().mean()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("check")
    training = Training(folder, OWN)
    training.checkpointer.save_checkpoint()
    model = training.model.train()
    generator = torch.Generator().manual_seed(5)
    batches = []
    for _ in range(12):
        codes = torch.randint(0, 32, (2, 5, 24), generator=generator)
        with torch.no_grad():
            said = model(codes).text_logits
        batches.append(Batch(codes, said + NOISE * torch.randn(said.shape, generator=generator)))
    return Case(folder, model, batches)


def test_the_own_configuration_is_supported(case: Case) -> None:
    found = check_training(case.model, case.folder, case.batches, loss, fields=[*OWN, "ttt.reconstruction_eps"])
    assert found.is_near
    said = {name: one.said for name, one in found.settings.items()}
    assert (said["ttt.base_lr"], said["ttt.rope_mode"]) == ("supported", "supported")
    assert said["ttt.reconstruction_eps"] == "undecided"
    assert "contradicted" not in said.values()
    lines = found.table().splitlines()
    assert any(line.startswith("ttt.base_lr") and " 16 supported  (4: " in line for line in lines)
    assert lines[-1].startswith("near a stationary point: ")
    settings = json.loads(json.dumps(found.to_dict(), allow_nan=False))["settings"]
    assert [one["value"] for one in settings["ttt.base_lr"]["neighbours"]] == [4.0, 64.0]
    assert [one["value"] for one in settings["ttt.ttt_layer_context"]["neighbours"]] == [2, 8]


@pytest.mark.parametrize(("name", "value"), [("ttt.base_lr", 4.0), ("ttt.rope_mode", "mini_batch")])
def test_another_one_is_contradicted_by_its_neighbour(case: Case, name: str, value: Any) -> None:
    overrides = {name: value}
    other = tttcfg.resolve(case.folder, overrides=overrides)
    set_computation(case.model, other)
    found = check_training(case.model, case.folder, case.batches, loss, fields=[name], overrides=overrides)
    assert not found.is_near
    assert found.settings[name].said == "contradicted"
    assert OWN[name] in found.settings[name].better
    set_computation(case.model, tttcfg.resolve(case.folder))


def test_the_model_is_as_it_was(case: Case) -> None:
    case.model.eval()
    with torch.no_grad():
        before = case.model(case.batches[0].codes).text_logits
    found = check_training(case.model, case.folder, case.batches[:8], loss)
    assert {"ttt.mini_batch_size", "ttt.scan_dtype", "lora.scaling"} <= found.settings.keys()
    assert not {"ttt.layers", "moshi_paths.hf_repo_id", "param_dtype"} & found.settings.keys()
    assert not case.model.training
    with torch.no_grad():
        torch.testing.assert_close(case.model(case.batches[0].codes).text_logits, before, rtol=0, atol=0)
    assert all(one.grad is None for one in case.model.parameters())


def test_parts_of_the_model_keep_their_modes(case: Case) -> None:
    """A part that was not trained in training mode is measured as it is."""
    part = next(one for one in case.model.modules() if one is not case.model)
    case.model.train()
    part.eval()
    try:
        check_training(case.model, case.folder, case.batches[:8], loss, fields=["ttt.rope_mode"])
        assert case.model.training
        assert not part.training
    finally:
        case.model.train()


def test_a_model_may_return_its_loss_itself(case: Case) -> None:
    class Returning(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.model, self.kind = case.model, kind

        def forward(self, codes: torch.Tensor, said: torch.Tensor) -> Any:
            found = (self.model(codes).text_logits - said).square()
            return {"loss": type("Output", (), {"loss": found.mean()}), "scalar": found.mean(), "none": found}[
                self.kind
            ]

    given = [one._asdict() for one in case.batches[:8]]
    for kind in ("loss", "scalar"):
        assert check_training(Returning(kind), case.folder, given, fields=OWN).passes > 0
    with pytest.raises(InputError, match="model: returns no loss of a batch"):
        check_training(Returning("none"), case.folder, given)


def test_what_cannot_be_checked_is_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batches: 7 are too few"):
        check_training(case.model, case.folder, case.batches[:7], loss)
    with pytest.raises(InputError):
        check_training(case.model, tmp_path, case.batches, loss)
    with pytest.raises(InputError, match=r"ttt\.rope_mode: is 'legacy', which is no value"):
        check_training(case.model, case.folder, case.batches, loss, overrides={"ttt.rope_mode": "legacy"})


def test_a_search_with_one_model_finds_what_was_lost(case: Case) -> None:
    """From the defaults, with a model that is built once and set to every configuration."""
    start = tttcfg.resolve(case.folder, overrides={"ttt.base_lr": 4.0, "ttt.rope_mode": "mini_batch"})
    model = stirred(build(MODEL, start))
    load_checkpoint(model, case.folder, start)

    def set_to(effective: Effective) -> nn.Module:
        set_computation(model.train(), effective)
        return model

    given = {"ttt.base_lr": (4.0, 16.0, 64.0), "ttt.rope_mode": ("off", "mini_batch")}
    found = recover(set_to, loss, case.batches, start, given, fields=given, model_config=MODEL)
    assert {name: (one.outcome, one.value) for name, one in found.answers.items()} == {
        name: ("recovered", OWN[name]) for name in given
    }
    with pytest.raises(InputError, match="all that was recovered is recorded already"):
        write_recovered(case.folder, found)
