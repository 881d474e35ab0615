"""Real processes that save, prune and read in one folder at the same time: nothing is mixed or lost, and none fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import pytest
from safetensors.torch import load_file

import tttcfg
from tests.conftest import some
from tests.nn.checkpoints.killed import is_whole
from tests.nn.language import MODEL, Training, make_uniform, numbers_in, numbers_of, steps
from tests.trust.faults import End, together
from tttcfg.nn import Checkpointer, load_checkpoint
from tttcfg.nn.checkpoints import places
from tttcfg.nn.checkpoints.folders import STEPS

ROUNDS, SAVES, READS = 40, 5, 12
"""How many seeds are tried for each, and what each has; the fast profile has one of twenty."""


@pytest.fixture(autouse=True)
def _counted(record_property: Callable[[str, object], None]) -> None:
    record_property("interleavings of processes", 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return Training(tmp_path_factory.mktemp("run"))


def checkpointer(run: Training, folder: Path, keep: int | None) -> Checkpointer:
    given = {"training_args": run.effective, "scheduler": run.scheduler, "fingerprint": False}
    return Checkpointer(run.model, run.state, folder, MODEL, run.optimizer, keep, **given)


def save_each(run: Training, folder: Path, saves: list[tuple[float, int]], keep: int | None = None) -> None:
    """Save every value at its step, as a run that is started now."""
    saver = checkpointer(run, folder, keep)
    for value, step in saves:
        make_uniform(run, value, step)
        saver.save_checkpoint()


def done(ends: list[End]) -> None:
    for end in ends:
        assert end.how == "done", end.message


def rounds() -> list[int]:
    return some(range(ROUNDS), 40)


@pytest.mark.parametrize("seed", rounds())
def test_resuming_while_the_step_is_saved_again(seed: int, run: Training, tmp_path: Path) -> None:
    """With names that can change places at once, and in half of the rounds without."""
    save_each(run, tmp_path, [(1.0, 7)])
    again, target = list(range(2, 2 + SAVES)), tmp_path / STEPS / "checkpoint_000007"

    def resume() -> None:
        reader, seen = checkpointer(run, tmp_path / "other", None), list[float]()
        for turn in range(READS):
            reader.resume((target, tmp_path, target / "consolidated")[turn % 3])
            (number,) = numbers_of(run)
            seen.append(number)
        assert seen == sorted(seen), "never an older one than before"

    def save() -> None:
        if seed >= ROUNDS // 2:
            places.exchanged = lambda *_: False
        save_each(run, tmp_path, [(float(value), 7) for value in again])

    done(together([save, resume, resume], seed))
    assert numbers_in(target / "consolidated") == {again[-1]}


def test_reading_file_by_file_is_caught(run: Training, tmp_path: Path) -> None:
    """The control: what opens the files of a checkpoint one after the other gets those of two saves, or none."""
    save_each(run, tmp_path, [(1.0, 7)])
    inside, caught = tmp_path / STEPS / "checkpoint_000007" / "consolidated", tmp_path / "caught"

    def save() -> None:
        saver = checkpointer(run, tmp_path, None)
        for value in count(2):
            make_uniform(run, float(value), 7)
            saver.save_checkpoint()
            if caught.exists():
                return

    def number_in(name: str) -> float:
        return next(iter(load_file(inside / name).values())).flatten()[0].item()

    def is_mixed() -> bool:
        try:
            first = number_in("lora.safetensors")
            time.sleep(0.1)
            return number_in("training_state.safetensors") != first
        except FileNotFoundError:
            return True

    def read() -> None:
        while not is_mixed():
            pass
        caught.touch()

    done(together([save, read], 0))


@pytest.mark.parametrize("seed", rounds())
def test_evaluating_the_newest_while_a_run_saves_and_prunes(seed: int, run: Training, tmp_path: Path) -> None:
    save_each(run, tmp_path, [(1.0, 1)])

    def evaluate() -> None:
        seen = list[float]()
        for _ in range(READS):
            loaded = load_checkpoint(run.model, tmp_path, run.effective)
            numbers = {one.item() for part in run.optimizer.param_groups[0]["params"] for one in part.flatten()}
            assert numbers == {float(Path(loaded.path).parent.parent.name.removeprefix("checkpoint_"))}
            seen += numbers
            assert tttcfg.verify(tmp_path).binding == "bound"
        assert seen == sorted(seen), "never an older one than before"

    writing = [(float(step), step) for step in range(2, 2 + SAVES)]
    done(together([partial(save_each, run, tmp_path, writing, 1), evaluate, evaluate], seed))
    assert steps(tmp_path) == [f"checkpoint_{writing[-1][1]:06d}"]


@pytest.mark.parametrize("seed", rounds())
def test_two_runs_in_one_folder(seed: int, run: Training, tmp_path: Path) -> None:
    """Neither removes what the other one has saved, and what they have in common is kept under two names."""
    chance = Random(seed)
    plans = [[(float(10 * who + turn), chance.randint(1, 3)) for turn in range(SAVES)] for who in (1, 2)]
    done(together([partial(save_each, run, tmp_path, plan, 2) for plan in plans], seed))
    found = [numbers_in(tmp_path / STEPS / name / "consolidated") for name in steps(tmp_path)]
    assert all(len(numbers) == 1 for numbers in found)
    assert {plan[-1][0] for plan in plans} <= set[float]().union(*found), "the last one of each is there"
    assert all(is_whole(tmp_path / STEPS / name, ours=True) for name in steps(tmp_path))
    assert {name.partition(".")[0] for name in steps(tmp_path)} <= {f"checkpoint_{step:06d}" for step in (1, 2, 3)}
    make_uniform(run, 99.0, 9)
    checkpointer(run, tmp_path, 1).save_checkpoint()
    left = [name for name in steps(tmp_path) if name.startswith(".") or ".replaced-" in name]
    assert not left


def test_runs_are_started_in_one_folder_at_once(run: Training, tmp_path: Path) -> None:
    done(together([partial(checkpointer, run, tmp_path, 1)] * 3, 0))
    assert steps(tmp_path) == []
