"""Several processes: one decides and writes, all agree, errors reach every one, and files are as from one process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from multiprocessing import active_children, get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.builders import document_file, trained
from tests.extensions import install_extension, write_extension
from tests.nn.checkpoints.test_checkpointer import SMALL
from tests.nn.language import steps

pytestmark = pytest.mark.program

MERGED = Path("run", "checkpoints", "checkpoint_000004", "consolidated")


FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.nn.ranks.launched"])  # torch is imported once: for one rank it takes three seconds


def launch(what: str, folder: Path, size: int, killed: int | None = None) -> list[dict[str, Any]]:
    """Run a scenario of `tests.nn.ranks.launched`; return the results of each rank, except one that is to be killed."""
    from tests.nn.ranks.launched import run_rank  # 45 MB, which a process that runs no ranks has no use for

    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as started:
        ranks = []
        for number in range(size):
            process = FORKS.Process(target=run_rank, args=(what, folder, number, size))
            process.start()
            started.callback(end, process)
            ranks.append(process)
        while running := [process for process in ranks if process.exitcode is None]:
            if any(process.exitcode for number, process in enumerate(ranks) if number != killed):
                break
            wait([process.sentinel for process in running])
        codes = {number: process.exitcode for number, process in enumerate(ranks)}
        assert killed is None or codes.pop(killed) == -signal.SIGKILL
        failed = [f"rank{number}" for number, code in codes.items() if code]
        assert not failed, "\n".join((folder / name / "stderr").read_text("utf-8") for name in failed)
    return [json.loads((folder / f"rank{number}" / "results.json").read_bytes()) for number in codes]


def end(process: BaseProcess) -> None:
    """Leave nothing of a rank behind, whatever it does: no process, and no open file."""
    process.kill()
    process.join()
    process.close()


def open_files() -> list[str]:
    return sorted(os.readlink(path) for path in Path("/proc/self/fd").iterdir() if os.path.lexists(path))


def test_a_failed_launch_leaves_nothing_behind(tmp_path: Path) -> None:
    """The other rank waits for one that is gone: the launch ends, with no process and no file left open."""
    launch("alone", tmp_path / "first", 1)  # which starts the server that forks
    before = open_files()
    with pytest.raises(AssertionError, match="RuntimeError: on purpose"):
        launch("failing", tmp_path / "failed", 2)
    assert (active_children(), open_files()) == ([], before)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    launch("alone", folder, 1)
    return folder


@pytest.mark.parametrize(
    ("what", "size"), [("ddp", 2), ("fsdp", 2), pytest.param("fsdp", 3, marks=pytest.mark.slow), ("layers", 2)]
)
def test_the_files_are_those_of_one_process(what: str, size: int, one_process: Path, tmp_path: Path) -> None:
    """And going on from a checkpoint is never having stopped, on every rank."""
    results = launch(what, tmp_path / "run", size)
    expected = {
        "seen": sorted(SMALL | {"lora.safetensors"}),
        "equal": True,
        "resumed": [2, True, True],
        "merged": True,
        "agrees": True,
        "draws_on": True,
    }
    logged = [one.pop("logged") for one in results]
    assert {"loaded", "resumed", "saved"} <= set(logged[0])
    assert {name for names in logged[1:] for name in names} <= {"ttt.kernel:"}  # each machine may have its own
    assert results == [expected] * size
    name = "untrained.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (one_process / name).read_bytes()
    ours, alone = (folder / MERGED for folder in (tmp_path / "run", one_process))
    assert sorted(os.listdir(ours)) == sorted(os.listdir(alone))
    for name in ("consolidated.safetensors", "training_state.safetensors"):
        here, there = load_file(ours / name), load_file(alone / name)
        assert here.keys() == there.keys()
        close = {key: here[key] for key in here if (here[key] - there[key]).abs().max() < 1e-4}
        assert close.keys() == here.keys()
    assert (ours / "config.json").read_bytes() == (alone / "config.json").read_bytes()
    assert steps(tmp_path / "run" / "run") == ["checkpoint_000004"]


@pytest.mark.parametrize("wrap", ["ddp", "fsdp"])
def test_other_families_are_resolved_saved_and_resumed(wrap: str, tmp_path: Path) -> None:
    results = launch(f"families:{wrap}", tmp_path, 2)
    same = {"lr": 0.5, "resumed": [2, True, True], "equal": True, "kept": 0}
    differs = "RankError: slope: is 0.5 on rank 0 and 0.1 on rank 1"
    for one in results:
        assert one["plain"] == {**same, "ttt": None, "differs": differs}
        assert one["layered"] == {**same, "ttt": {"widths": [8, 8], "slope": 0.5}, "differs": differs}
        assert one["undeclared"].startswith("InputError: layered: derives Layers for its layers and does not declare")


@pytest.mark.parametrize("size", [2, 3])
def test_an_error_on_one_rank_reaches_all(size: int, tmp_path: Path) -> None:
    results = launch("errors", tmp_path, size)
    last = size - 1
    for number, one in enumerate(results):
        assert one["first"] == "InputError: ttt.base_lr: is wrong\nseed: too"
        own = "own: ValueError: boom"
        assert one["last"] == (own if number == last else f"RankError: rank {last} failed: ValueError: boom")
        assert one["fine"] == "none: fine"
        assert one["resolve"].startswith("InputError: ")
        assert "ttt.base_lr" in one["resolve"]
        assert one["agree"].startswith("RankError: seed: is 0 on rank 0 and 1 on rank 1")
        assert "has base_lr 3.0" in one["model"]
        assert "no such checkpoint" in one["absent"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("what", "size"), [("ddp", 2), ("fsdp", 3)])
def test_ranks_that_do_not_save_the_same_are_refused(what: str, size: int, tmp_path: Path) -> None:
    """Else they wait for each other for ever, or mix up what they save."""
    results = launch(f"differing:{what}", tmp_path, size)
    assert results == [results[0]] * size
    first = results[0]
    last = size - 1
    for name, values in (
        ("seed", ("0", "1")),
        ("num_ckpt_keep", ("1", "2")),
        ("optimizer", ("'AdamW'", "null")),
        ("save_only_lora", ("true", "false")),
        ("dtype", ("'torch.float32'", "'torch.bfloat16'")),
        ("state.step", ("1", "2")),
    ):
        assert first[name].startswith(f"RankError: {name}: is {values[0]} on rank 0 and {values[1]} on rank {last}")
    assert first["config.json"] == f"RankError: config.note: is false on rank 0 and true on rank {last}"
    assert first["unknown parameters"].startswith(
        "ContradictionError: optimizer: groups [1] have parameters that are not"
    )
    assert (first["before"], first["saved"]) == ([], "checkpoint_000001")


@pytest.mark.parametrize("what", ["ddp", "fsdp"])
def test_a_disk_that_fails_on_one_rank_is_an_error_on_all(what: str, tmp_path: Path) -> None:
    results = launch(f"unreadable:{what}", tmp_path, 2)
    assert results == [results[0]] * 2
    for action, name in (("load", "lora"), ("resume", "training_state")):
        assert results[0][action].startswith("InputError: ")
        assert results[0][action].endswith(f"{name}.safetensors: cannot be read: Input/output error")
    assert (results[0]["step"], results[0]["later"]) == (2, 1)


def test_every_rank_waits_until_the_last_one_sees_the_checkpoint(tmp_path: Path) -> None:
    first, last = launch("slow:ddp", tmp_path, 2)
    assert len(last["looked"]) > 1
    assert min(first["returned"], last["returned"]) >= last["looked"][-1] > last["looked"][0] + 0.5


def test_rank_0_resolves_for_all(tmp_path: Path) -> None:
    results = launch("resolving", tmp_path, 3)
    first = results[0]
    assert (first["seed"], first["betas"], first["layers"]) == (0, [0.5, 0.75], [1, 2])
    assert [{**one, "secret": None} for one in results] == [{**first, "secret": None}] * 3
    assert [one["secret"] for one in results] == [True, False, False]


def test_extensions_reach_every_rank(tmp_path: Path) -> None:
    """With their settings where they are installed, as they are in the file where they are not."""
    write_extension(tmp_path)
    install_extension(tmp_path)
    path = document_file(trained(tmp_path / "run"))
    noise = {"schema_version": 1, "dropout": 0.5, "patience": 9, "cache": "there"}
    odd = '{"schema_version": 2,   "rate": 1.50}'
    tree = {**json.loads(path.read_bytes()), "extensions": {"noise": noise, "odd": "HERE"}}
    path.write_text(json.dumps(tree).replace('"HERE"', odd), encoding="utf-8")
    first, second = launch("extended", tmp_path, 2)
    assert first == second
    assert first["settings"] == {"noise": {"dropout": 0.5, "patience": 9, "cache": "there"}}
    assert first["passed_through"] == {"odd": odd}


def test_rank_0_may_work_for_longer_than_a_collective_may_take(tmp_path: Path) -> None:
    assert launch("patient", tmp_path, 2) == [{"result": "done"}] * 2


@pytest.mark.parametrize("what", ["absent", "absent_later"])
def test_a_rank_that_never_comes_is_noticed_as_soon_as_in_any_collective(what: str, tmp_path: Path) -> None:
    first, _ = launch(what, tmp_path, 2)
    assert first["raised"].startswith("RankError: another rank has ended or does not answer")


@pytest.mark.parametrize(
    ("door", "wrap", "killed"),
    [
        ("save", "ddp", 0),
        ("save", "fsdp", 2),
        ("resume", "ddp", 2),
        *(pytest.param(door, "ddp", 0, marks=pytest.mark.slow) for door in ("restore", "resolve", "agree")),
        *(pytest.param(door, "fsdp", 2, marks=pytest.mark.slow) for door in ("restore", "resolve", "agree", "resume")),
    ],
)
def test_where_a_rank_was_killed_every_other_one_ends_with_the_same_error(
    door: str, wrap: str, killed: int, tmp_path: Path
) -> None:
    results = launch(f"dying {door} {killed}:{wrap}", tmp_path, 3, killed)
    message = "RankError: another rank has ended or does not answer, so this one cannot go on"
    advice = "look at what the rank that ended first has printed, and resume from the newest checkpoint"
    assert results == [{"raised": f"{message}; {advice}"}] * 2
    assert steps(tmp_path / "run")[-1:] == ["checkpoint_000001"]


def test_only_rank_0_reads_what_was_saved_to_see_that_it_belongs_together(tmp_path: Path) -> None:
    first, last = launch("reading:ddp", tmp_path, 2)
    assert (first["lora.safetensors"], last["lora.safetensors"]) == (2, 1)


def test_a_model_can_outlive_its_group_of_processes(tmp_path: Path) -> None:
    """Gloo's threads hold no tensor of ours by then, so that exiting does not wait for them."""
    assert launch("leaving", tmp_path, 2) == [{"left": 20}] * 2


@pytest.mark.parametrize("wrap", ["ddp", "fsdp"])
def test_ranks_estimate_a_gradient_from_the_batches_of_all(wrap: str, tmp_path: Path) -> None:
    (alone,) = launch("estimating:alone", tmp_path / "alone", 1)
    both = launch(f"estimating:{wrap}", tmp_path / wrap, 2)
    for found in both:
        assert found["batches"] == alone["batches"] == 8
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5)
        assert found["value"] == pytest.approx(alone["value"], rel=1e-3, abs=1e-2 * alone["error"])
        assert found["error"] == pytest.approx(alone["error"], rel=1e-2)


def test_ranks_recover_settings_from_the_batches_of_all(tmp_path: Path) -> None:
    both = launch("recovering", tmp_path, 2)
    assert both[0] == both[1]
    found = both[0]["found"]
    assert {name: one[:2] for name, one in found.items()} == {
        "ttt.mini_batch_size": ["recovered", 8],
        "ttt.base_lr": ["recovered", 16.0],
    }
    assert both[0]["batches"] == 32
    assert "batches: are 8, 9, and have to be as many on every rank" in both[0]["refused"]
