"""Going on from a checkpoint is, bit for bit, never having stopped."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tttcfg
from tests.nn.language import LORA, Output, Training, equal, resolved, values
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


def test_the_error_for_a_checkpoint_without_training_state_says_what_to_do(tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    (folder / "consolidated" / "training_state.json").unlink()
    with pytest.raises(InputError, match="load its weights alone with load_checkpoint"):
        Training(tmp_path).checkpointer.resume(folder)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a training state"),
        (b"{}", "has format null, of another version of tttcfg; this one reads 2"),
        (b'{"format": 1}', "has format 1, of another version of tttcfg; this one reads 2; resume with the version"),
    ],
)
def test_a_training_state_that_cannot_be_read_is_reported(broken: bytes, message: str, tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    (folder / "consolidated" / "training_state.json").write_bytes(broken)
    with pytest.raises(InputError, match=rf"training_state\.json: {message}"):
        Training(tmp_path).checkpointer.resume(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, "gone") for key in ("step", "optimizer", "scheduler", "random", "optimizer.groups", "optimizer.state")),
        *((key, value) for key in ("weights", "tensors") for value in ("gone", None)),
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
    folder = Training(tmp_path).save()
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
    run = Training(tmp_path)
    before, drawn = values(run.model), torch.get_rng_state()
    with pytest.raises(InputError, match=r"training_state\.json: is not a training state .*; resume from another"):
        run.checkpointer.resume(folder)
    assert equal(values(run.model), before)
    assert torch.equal(torch.get_rng_state(), drawn)


TRAINING_STATE = ("training_state.json", "training_state.safetensors")


@pytest.mark.parametrize(
    ("copied", "refused"),
    [
        (TRAINING_STATE, {"lora.safetensors"}),
        (TRAINING_STATE[:1], {"lora.safetensors", "training_state.safetensors"}),
        (TRAINING_STATE[1:], {"training_state.safetensors"}),
        (("lora.safetensors",), {"lora.safetensors"}),
    ],
)
def test_files_of_two_saves_of_one_run_are_distinguished(
    copied: tuple[str, ...], refused: set[str], tmp_path: Path
) -> None:
    run = Training(tmp_path, LORA)
    earlier, later = run.save() / "consolidated", run.save() / "consolidated"
    for name in copied:
        shutil.copy2(earlier / name, later / name)
    before = values(run.model)
    with pytest.raises(ContradictionError, match=r"was not saved together with the training_state\.json") as caught:
        run.checkpointer.resume(later)
    assert {Path(str(one.place)).name for one in caught.value.problems} == refused
    assert equal(values(run.model), before)


def test_merged_weights_are_bound_to_the_training_state_as_well(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    earlier, later = (run.save(save_only_lora=False) / "consolidated" for _ in range(2))
    shutil.copy2(earlier / "consolidated.safetensors", later / "consolidated.safetensors")
    with pytest.raises(ContradictionError, match=r"consolidated\.safetensors: was not saved together"):
        run.checkpointer.resume(later)


def test_weights_that_another_program_wrote_anew_are_the_same_as_long_as_their_numbers_are(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    weights = run.save() / "consolidated" / "lora.safetensors"
    tensors = load_file(weights)
    weights.unlink()
    save_file(tensors, weights)
    assert run.checkpointer.resume(weights).step == 1
    weights.unlink()
    save_file({name: 1.01 * one for name, one in tensors.items()}, weights)
    with pytest.raises(ContradictionError, match="load the weights alone with load_checkpoint"):
        run.checkpointer.resume(weights)


@pytest.mark.parametrize("name", ["lora.safetensors", "training_state.safetensors"])
def test_tensors_that_end_early_are_refused_and_nothing_is_changed(name: str, tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    path = run.save() / "consolidated" / name
    path.write_bytes(path.read_bytes()[:-100])
    before = values(run.model)
    with pytest.raises(InputError, match=rf"{name}.*promises"):
        run.checkpointer.resume(path.parent)
    assert equal(values(run.model), before)


def test_weights_that_were_sharded_go_on(tmp_path: Path) -> None:
    run = Training(tmp_path, {"full_finetuning": True})
    weights = run.save() / "consolidated" / "consolidated.safetensors"
    tensors = load_file(weights)
    weights.unlink()
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: tensors[name].clone() for name in own}, weights.with_name(file))
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    weights.with_name("model.safetensors.index.json").write_text(json.dumps(index))
    assert run.checkpointer.resume(weights.parent).step == 1


def test_a_copied_renamed_and_newly_bound_checkpoint_goes_on(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA)
    folder = Path(shutil.copytree(run.save(2), tmp_path / "checkpoint_000900"))
    weights = folder / "consolidated" / "lora.safetensors"
    before = weights.read_bytes()
    tttcfg.bind(folder, embed=True)
    assert weights.read_bytes() != before
    again = Training(tmp_path, LORA)
    assert again.checkpointer.resume(folder).step == 2
    assert equal(values(again.model), values(run.model))


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
    with pytest.raises(ContradictionError, match="build it after adding TTT and LoRA"):
        run.checkpointer.save_checkpoint()


def test_state_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.optimizer.param_groups[0]["strange"] = object()
    with pytest.raises(InputError, match="has 'object' in its state, which cannot be saved"):
        run.checkpointer.save_checkpoint()


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    folder = Training(tmp_path).save()
    other = resolved(tmp_path, {"ttt.base_lr": 1.0}).training
    run = Training(tmp_path, {"ttt.base_lr": 1.0}, training_args=other)
    with pytest.raises(ContradictionError, match=r"ttt\.base_lr: is 1\.0"):
        run.checkpointer.resume(folder)


def test_training_does_not_go_on_from_numbers_that_are_not_finite(tmp_path: Path) -> None:
    run = Training(tmp_path)
    name, parameter = next((name, one) for name, one in run.model.named_parameters() if one.requires_grad)
    with torch.no_grad():
        parameter.fill_(torch.nan)
    folder = run.checkpointer.save_checkpoint()
    with pytest.raises(InputError, match=rf"{name} had non-finite numbers; resume from an earlier"):
        run.checkpointer.resume(folder)
    (folder / "consolidated" / "manifest.json").unlink()  # as the message advises
    assert run.checkpointer.resume(folder).step == 0


@pytest.mark.parametrize("options", [{}, {"save_only_lora": False}])
@pytest.mark.parametrize("what", ["logits", "optimiser"])
def test_training_goes_on_where_something_else_than_parameters_is_infinite(
    what: str, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As for words that never occur, and what an optimiser keeps of them."""
    run = Training(tmp_path, LORA, fingerprint=True)
    run.train(1)
    if what == "optimiser":
        next(iter(run.optimizer.state.values()))["exp_avg"].fill_(torch.inf)
    else:
        forward = run.model.forward
        run.model.forward = lambda codes: masked(forward(codes))
    folder = run.checkpointer.save_checkpoint(**options)
    caplog.clear()
    assert run.checkpointer.resume(folder).step == 1
    assert caplog.text.count("when it was saved, ") == 1


def masked(output: Output) -> Output:
    return output._replace(text_logits=torch.full_like(output.text_logits, -torch.inf))
