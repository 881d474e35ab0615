"""Going on from a checkpoint is, bit for bit, never having stopped."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.nn.language import LORA, Training, equal, resolved, values
from tttcfg.errors import ContradictionError, InputError

STEPS = 3


def seeded() -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)


def shaken() -> None:
    """Leave random generators where no run has them."""
    random.seed(77)
    np.random.seed(77)
    torch.manual_seed(77)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {}),
        (LORA, {}),
        (LORA, {"save_only_lora": False}),
        ({"full_finetuning": True}, {}),
        (LORA, {"dtype": torch.bfloat16}),
        ({"full_finetuning": True}, {"dtype": torch.bfloat16}),
        ({"param_dtype": "bfloat16"}, {}),
        ({"param_dtype": "bfloat16"}, {"dtype": torch.float32}),
    ],
    ids=["ttt", "adapters", "merged", "whole", "adapters rounded", "whole rounded", "bfloat16", "widened"],
)
def test_twice_n_steps_are_n_steps_a_resume_and_n_steps(
    changes: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    whole = Training(tmp_path / "whole", changes)
    seeded()
    whole.train(2 * STEPS)
    drawn = random.random(), np.random.rand(), torch.rand(())
    first = Training(tmp_path / "run", changes)
    seeded()
    folder = first.save(STEPS, **options)
    second = Training(tmp_path / "run", changes)
    shaken()
    resumed = second.checkpointer.resume(folder)
    assert (resumed.step, second.state.step, resumed.optimizer, resumed.random) == (STEPS, STEPS, True, True)
    second.train(STEPS)
    assert equal(values(second.model), values(whole.model))
    assert (random.random(), np.random.rand(), torch.rand(())) == drawn
    assert second.scheduler.get_last_lr() == whole.scheduler.get_last_lr()


def test_nothing_is_pickled(tmp_path: Path) -> None:
    folder = Training(tmp_path).save() / "consolidated"
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    for path in folder.glob("*.json"):
        json.loads(path.read_bytes())


def test_optimiser_and_step_may_be_left_out(tmp_path: Path) -> None:
    folder = Training(tmp_path).save(2)
    run = Training(tmp_path, {"reset_optimizer": True, "reset_step": True})
    resumed = run.checkpointer.resume(folder)
    assert (resumed.step, resumed.optimizer, run.state.step, len(run.optimizer.state)) == (0, False, 0, 0)


def test_a_checkpoint_without_training_state_says_what_to_do(tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    (folder / "consolidated" / "training_state.json").unlink()
    with pytest.raises(InputError, match="load_checkpoint loads its weights alone"):
        Training(tmp_path).checkpointer.resume(folder)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no training state"),
        (b"{}", "is of another tttcfg"),
    ],
)
def test_a_training_state_that_cannot_be_read_says_so(broken: bytes, message: str, tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    (folder / "consolidated" / "training_state.json").write_bytes(broken)
    with pytest.raises(InputError, match=rf"training_state\.json: {message}"):
        Training(tmp_path).checkpointer.resume(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, "gone") for key in ("step", "optimizer", "scheduler", "random", "optimizer.groups", "optimizer.state")),
        *(("step", value) for value in ("7", -1, None)),
        *(("optimizer", value) for value in (7, [])),
        *(("optimizer.groups", value) for value in (7, ["text"], [{}])),
        *(("optimizer.state", value) for value in ([], {"a": 1})),
        *(("scheduler", value) for value in (7, [])),
        *(("random", value) for value in ({"a": 1}, [[]], [{"python": [3, [1], None], "torch": "00"}])),
    ],
)
def test_a_training_state_of_another_form_is_refused_and_nothing_is_changed(
    key: str, value: Any, tmp_path: Path
) -> None:
    folder = Training(tmp_path, fingerprint=False).save()
    path = folder / "consolidated" / "training_state.json"
    state = json.loads(path.read_bytes())
    inside = state
    *outer, last = key.split(".")
    for name in outer:
        inside = inside[name]
    inside.pop(last)
    if value != "gone":
        inside[last] = value
    path.write_text(json.dumps(state))
    run = Training(tmp_path, fingerprint=False)
    before, drawn = values(run.model), torch.get_rng_state()
    with pytest.raises(InputError, match=r"training_state\.json: is no training state .*; resume from another"):
        run.checkpointer.resume(folder)
    assert equal(values(run.model), before)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_another_optimiser_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    run = Training(tmp_path)
    group = run.optimizer.param_groups[0]
    group["params"] = group["params"][1:]
    before = values(run.model)
    with pytest.raises(ContradictionError, match=r"optimizer: group 0 lacks transformer\.layers\.1"):
        run.checkpointer.resume(folder)
    assert equal(values(run.model), before)


def test_parameters_in_another_order_get_their_own_state(tmp_path: Path) -> None:
    first = Training(tmp_path)
    folder = first.save(2)
    run = Training(tmp_path)
    run.optimizer.param_groups[0]["params"].reverse()
    run.checkpointer.resume(folder)
    names = {id(one): name for name, one in first.model.named_parameters()}
    then = {names[id(one)]: state["exp_avg"] for one, state in first.optimizer.state.items()}
    own = {id(one): name for name, one in run.model.named_parameters()}
    now = {own[id(one)]: state["exp_avg"] for one, state in run.optimizer.state.items()}
    assert equal(then, now)


def test_parameters_of_no_model_are_refused_when_it_is_constructed(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    with pytest.raises(ContradictionError, match="build it after TTT and LoRA are in"):
        run.checkpointer.save_checkpoint()


def test_state_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.optimizer.param_groups[0]["strange"] = object()
    with pytest.raises(InputError, match="holds 'object', which is not saved"):
        run.checkpointer.save_checkpoint()


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    other = resolved(tmp_path, {"ttt.base_lr": 1.0}).training
    run = Training(tmp_path, {"ttt.base_lr": 1.0}, training_args=other)
    with pytest.raises(ContradictionError, match=r"ttt\.base_lr: is 1\.0, but the weights were saved with 16\.0"):
        run.checkpointer.resume(folder)
