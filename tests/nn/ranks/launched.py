"""One rank of several, in a process of its own; `test_ranks.py` starts them."""

from __future__ import annotations

import errno
import faulthandler
import json
import logging
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import tttcfg
from tests.nn import other_family
from tests.nn.language import LORA, MODEL, State, build, loss, resolved, stirred
from tttcfg import Family
from tttcfg.errors import InputError, Problem, TttcfgError
from tttcfg.nn import (
    Checkpointer,
    agree,
    load_checkpoint,
    on_first,
    rank,
    resolve_together,
    restore,
    together,
    world_size,
)
from tttcfg.nn.checkpoints import load, resume, tensor_file
from tttcfg.nn.checkpoints.folders import STEPS
from tttcfg.nn.ranks.gather import gathered, tensors_of, unwrapped
from tttcfg.nn.recovery.search import recover
from tttcfg.nn.recovery.stationarity import batch_gradients

Results = dict[str, Any]
LONG_SECONDS = 400
"""After so long a rank that hangs prints where, and ends: torch itself waits for half an hour."""


def sharded(model: nn.Module) -> nn.Module:
    fully_shard(model, mesh=init_device_mesh("cpu", (world_size(),)))
    return model


def by_layer(model: nn.Module) -> nn.Module:
    """Shard every layer alone, with a checkpoint of activations around it, as is usual."""
    layers = model.transformer.layers
    for index, layer in enumerate(layers):
        layers[index] = checkpoint_wrapper(layer)
        fully_shard(layers[index], mesh=init_device_mesh("cpu", (world_size(),)))
    return sharded(model)


def replicated(model: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)


def alone(model: nn.Module) -> nn.Module:
    return model


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "fsdp": sharded,
    "layers": by_layer,
    "ddp": replicated,
    "alone": alone,
}


class Run:
    """A run as `tests.nn.language.Training`, its model shared by all ranks, which all see the same codes."""

    def __init__(self, folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> None:
        self.effective = resolved(folder / f"rank{rank()}", LORA)
        self.model = wrap(stirred(build(MODEL, self.effective)))
        trained = [one for one in self.model.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-3)
        self.state = State()
        self.checkpointer = Checkpointer(
            self.model, self.state, folder / "run", MODEL, self.optimizer, 1, training_args=self.effective
        )

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss(self.model, torch.randint(0, 32, (2, 5, 24))).backward()
            self.optimizer.step()
            self.state.step += 1


def caught(action: Callable[[], object]) -> str:
    """Return what an action raised, in words."""
    try:
        return f"none: {action()}"
    except TttcfgError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"own: {type(error).__name__}: {error}"


def whole(model: nn.Module) -> str:
    """Return the sum of all values of a model, exactly, as rank 0 has them."""
    found = gathered(tensors_of(unwrapped(model)))
    return on_first(lambda: json.dumps({name: one.double().sum().item() for name, one in sorted(found.items())}))


def saving(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Results:
    """Train, save adapters and everything, go on; resume another run from the first checkpoint and go on as well."""
    torch.manual_seed(3)
    random.seed(rank())
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage().split()[0])  # type: ignore[method-assign]
    logging.getLogger("tttcfg").addHandler(handler)
    logging.getLogger("tttcfg").setLevel(logging.INFO)
    run = Run(folder, wrap)
    untrained = run.checkpointer.save_checkpoint(save_only_lora=False) / "consolidated"
    if rank() == 0:
        shutil.copyfile(untrained / "consolidated.safetensors", folder / "untrained.safetensors")
    run.train(2)
    first = run.checkpointer.save_checkpoint(dtype=torch.bfloat16)  # the training state holds what is rounded
    drawn = random.random()
    seen = sorted(path.name for path in (first / "consolidated").iterdir())
    run.train(2)
    straight = whole(run.model)
    again = Run(folder, wrap)
    resumed = again.checkpointer.resume(first)
    draws_on = random.random() == drawn
    again.train(2)
    merged = again.checkpointer.save_checkpoint(save_only_lora=False)
    restored = restore(
        merged,
        {"ttt": {"base_lr": 0.5}},
        build=lambda *given: build(*given) if wrap is replicated else wrap(build(*given)),
    )
    return {
        "seen": seen,
        "equal": whole(again.model) == straight,
        "resumed": [resumed.step, resumed.optimizer, resumed.random],
        "merged": merged.is_dir(),
        "agrees": restored.computation.agrees,
        "draws_on": draws_on,
        "logged": sorted(set(logged)),
    }


def differing(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Results:
    """Let the last rank save something else than the others do; nothing is written, and none hangs."""
    run = Run(folder, wrap)
    run.train(1)
    last = rank() == world_size() - 1
    group = {**run.optimizer.param_groups[0], "params": [nn.Parameter(torch.zeros(3))]}

    def made(seed: int = 0, keep: int = 1, optimizer: Any = run.optimizer, **config: object) -> Checkpointer:
        effective = resolved(folder / f"rank{rank()}", {**LORA, "seed": seed})
        given = {**MODEL, **config}
        return Checkpointer(run.model, run.state, folder / "run", given, optimizer, keep, training_args=effective)

    save = run.checkpointer.save_checkpoint
    results = {
        "seed": caught(lambda: made(seed=int(last))),
        "num_ckpt_keep": caught(lambda: made(keep=1 + last)),
        "optimizer": caught(lambda: made(optimizer=None if last else run.optimizer)),
        "config.json": caught(lambda: made(note=last)),
        "save_only_lora": caught(lambda: save(save_only_lora=not last)),
        "dtype": caught(lambda: save(dtype=torch.bfloat16 if last else None)),
    }
    run.state.step += last
    results["state.step"] = caught(save)
    run.state.step = 1
    run.optimizer.param_groups += [group] * last
    results["unknown parameters"] = caught(save)
    del run.optimizer.param_groups[1:]
    before = os.listdir(folder / "run" / STEPS)
    return {**results, "before": before, "saved": save().name}


def unreadable(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Results:
    """Let the disk fail on the last rank, when weights are loaded and when a run goes on."""
    run = Run(folder, wrap)
    run.train(1)
    saved = run.checkpointer.save_checkpoint(dtype=torch.bfloat16)
    run.train(1)
    preadv, name = os.preadv, "lora.safetensors"

    def failing(descriptor: int, *arguments: Any) -> int:
        if rank() == world_size() - 1 and os.readlink(f"/proc/self/fd/{descriptor}").endswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return preadv(descriptor, *arguments)

    os.preadv = failing  # type: ignore[assignment]
    loading = caught(lambda: load_checkpoint(run.model, saved, run.effective))
    name = "training_state.safetensors"
    resuming = caught(lambda: run.checkpointer.resume(saved))
    step = run.state.step
    os.preadv = preadv
    return {"load": loading, "resume": resuming, "step": step, "later": run.checkpointer.resume(saved).step}


def slow(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Results:
    """Let the last rank see a new checkpoint later than the others do."""
    run = Run(folder, wrap)
    target, is_dir, times = folder / "run" / STEPS / "checkpoint_000000", Path.is_dir, list[float]()

    def late(path: Path) -> bool:
        if path != target or rank() < world_size() - 1:
            return is_dir(path)
        times.append(time.monotonic())
        return is_dir(path) and times[-1] > times[0] + 0.5

    Path.is_dir = late  # type: ignore[assignment,method-assign]
    run.checkpointer.save_checkpoint()
    return {"returned": time.monotonic(), "looked": times}


def errors(folder: Path, _: object) -> Results:
    """Let everything fail that can, on rank 0 and on the last; every rank raises the error, and none hangs."""
    last = world_size() - 1

    def failing(number: int, error: Exception) -> Callable[[], str]:
        def action() -> str:
            if rank() == number:
                raise error
            return "fine"

        return action

    bad = InputError([Problem("rejected", "is wrong", "ttt.base_lr"), Problem("rejected", "too", "seed")])
    others = tttcfg.resolve(overrides={"seed": rank(), "batch_size": 2}).training
    (folder / "a.yaml").write_text("ttt: {base_lr: -1}\n")
    model = build(MODEL, resolved(folder / f"rank{rank()}"))
    if rank() == last:
        model.transformer.layers[1].seq_modeling_block.ttt_layer.ttt.base_lr = 3.0
    effective = resolved(folder / f"rank{rank()}")
    return {
        "first": caught(lambda: on_first(failing(0, bad))),
        "last": caught(lambda: together(failing(last, ValueError("boom")))),
        "fine": caught(lambda: on_first(failing(-1, bad))),
        "resolve": caught(lambda: resolve_together(config=folder / "a.yaml")),
        "agree": caught(lambda: agree(others)),
        "model": caught(lambda: Checkpointer(model, State(), folder / "run", MODEL, training_args=effective)),
        "absent": caught(lambda: restore(folder / "nowhere", build=build)),
    }


def resolving(folder: Path, _: object) -> Results:
    """Resolve where only rank 0 can read the file; an override that a rank alone has is none."""
    path = folder / "model.json"
    if rank() == 0:
        path.write_text(json.dumps(MODEL))
    overrides = ["ttt.enable=true", "ttt.layers=1,2", "optim.betas=[0.5,0.75]", f"seed={rank()}", "wandb.key=hunter2"]
    effective = resolve_together(overrides=overrides, model_config=path if rank() == 0 else folder / "absent")
    assert effective.ttt is not None
    return {
        "seed": effective.training.seed,
        "betas": list(effective.training.optim.betas),
        "layers": list(effective.ttt.layer_indices),
        "digest": effective.digest,
        "origin": effective.origins["seed"][0].where,
        "secret": effective.training.wandb.key is not None,
    }


def extended(folder: Path, _: object) -> Results:
    """Resolve a checkpoint that has sections of two extensions, one of them installed."""
    sys.path.insert(0, str(folder))
    effective = resolve_together(folder / "run" if rank() == 0 else folder / "absent")
    settings = {name: part.training.model_dump() for name, part in effective.parts.items()}
    passed_through = {name: section.decode() for name, section in effective.passed_through.items()}
    return {"settings": settings, "passed_through": passed_through, "digest": effective.digest}


def families(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Results:
    """Resolve, save, resume and restore with other families, with layers and without."""
    results = {family.name: other(folder, wrap, family) for family in (other_family.PLAIN, other_family.LAYERED)}
    undeclared = replace(other_family.LAYERED, layers=None)
    path = folder / "layered.json"
    return {**results, "undeclared": caught(lambda: resolve_together(model_config=path, family=undeclared))}


def other(folder: Path, wrap: Callable[[nn.Module], nn.Module], family: Family[Any, Any]) -> Results:
    path = folder / f"{family.name}.json"
    if rank() == 0:
        path.write_text(json.dumps(other_family.MODEL))
    given = path if rank() == 0 else folder / "absent"
    effective = resolve_together(model_config=given, overrides={"lr": 0.5}, family=family)
    torch.manual_seed(3)
    own = folder / family.name
    run = other_family.Training(own / f"rank{rank()}", family, wrap, run_dir=own / "run")
    saved = run.save(2, save_only_lora=False)
    run.train(2)
    again = other_family.Training(own / f"rank{rank()}", family, wrap, run_dir=own / "run")
    resumed = again.checkpointer.resume(saved)
    again.train(2)
    training = effective.training.model_copy(update={"slope": 0.1} if rank() else {})
    return {
        "ttt": None if effective.ttt is None else effective.ttt.model_dump(mode="json"),
        "lr": effective.training.lr,
        "resumed": [resumed.step, resumed.optimizer, resumed.random],
        "equal": whole(again.model) == whole(run.model),
        "kept": restore(saved, {"slope": 0.75}, build=other_family.build).loaded.kept,
        "differs": caught(lambda: agree(training)),
    }


def counted(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Results:
    """Count how often a rank opens the weights when a run goes on."""
    run = Run(folder, wrap)
    saved, opened = run.checkpointer.save_checkpoint(), list[str]()

    reading = tensor_file.reading

    def counting(path: str) -> Any:
        opened.append(Path(path).name)
        return reading(path)

    load.reading = resume.reading = counting  # type: ignore[attr-defined]
    run.checkpointer.resume(saved)
    return {name: opened.count(name) for name in opened}


def absent(folder: Path, _: object = None, *, warm: bool = False) -> Results:
    """Let the last rank not come to where rank 0 works for all, until that has noticed."""
    number = renewed(folder, timedelta(seconds=8))
    if warm:
        on_first(lambda: "done")
    noticed, raised = folder / "noticed", ""
    if number:
        while not noticed.exists():
            time.sleep(0.05)
    else:
        raised = caught(lambda: on_first(lambda: "done"))
        noticed.touch()
    dist.destroy_process_group()
    return {"raised": raised}


def renewed(folder: Path, limit: timedelta) -> int:
    """Join another group of all ranks, in which a collective may take no longer than this; return the own rank."""
    number, size = rank(), world_size()
    leave_group()
    store = f"file://{folder}/renewed"
    dist.init_process_group("gloo", init_method=store, rank=number, world_size=size, timeout=limit)
    return number


def dying(folder: Path, wrap: Callable[[nn.Module], nn.Module], door: str, number: int) -> Results:
    """Be killed on one rank, rank 0 in the middle of its work, while the others go through a door of the package."""
    run = Run(folder, wrap)
    run.train(1)
    saved = run.checkpointer.save_checkpoint()
    doors: dict[str, Callable[[], object]] = {
        "save": run.checkpointer.save_checkpoint,
        "resume": lambda: run.checkpointer.resume(saved),
        "restore": lambda: restore(saved, build=build),
        "resolve": lambda: resolve_together(saved),
        "agree": lambda: agree(run.effective),
    }

    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if rank() == number:
        if number or door != "save":
            kill()
        os.fsync = kill
    raised = caught(doors[door])
    dist.destroy_process_group()
    return {"raised": raised}


def failing(_folder: Path, _: object) -> Results:
    """Be gone on the last rank, in whatever way, while the others wait for it."""
    if rank():
        raise RuntimeError("on purpose")
    dist.barrier()
    return {}


def patient(folder: Path, _: object) -> Results:
    """Let rank 0 work for longer than a collective may take."""
    renewed(folder, timedelta(seconds=8))

    def work() -> str:
        time.sleep(12)
        return "done"

    return {"result": on_first(work)}


def leaving(folder: Path, _: object) -> Results:
    """Drop a model after its group of processes, right after a collective, as programs do at their end."""
    number, size = rank(), world_size()
    leave_group()
    times = 20  # once, it hung in one time of three to six
    for turn in range(times):
        dist.init_process_group("gloo", init_method=f"file://{folder}/store{turn}", rank=number, world_size=size)
        model = replicated(nn.Linear(1, 1))
        on_first(lambda: "done")
        dist.destroy_process_group()
        del model
    return {"left": times}


def estimating(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Results:
    """Estimate a gradient's squared norm, each rank with batches of its own; without a rank of them all alone."""
    effective = resolved(folder / f"rank{rank()}")
    model = wrap(stirred(build(MODEL, effective)))
    generator = torch.Generator().manual_seed(3)
    given = [torch.randint(0, 32, (2, 5, 24), generator=generator) for _ in range(8)]
    mine = given[rank() :: world_size()] if wrap is not sharded else given
    found = batch_gradients(model, mine, loss)
    return {"losses": sorted(found.losses.tolist()), **found.squared_norm._asdict()}


def recovering(*_: object) -> Results:
    """Search for settings, each rank with batches of its own."""
    from tests.nn.recovery import test_search as search  # and pytest, which no other scenario needs

    rests = search.target(search.effective({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}))
    given = search.batches(32)
    found = recover(
        lambda _own: search.Point(rests),
        search.loss,
        given[rank() :: world_size()],
        search.effective({}),
        fields=("ttt.mini_batch_size", "ttt.base_lr"),
        loss_fields=(),
    )
    try:
        recover(lambda _own: search.Point(rests), search.loss, given[: 8 + rank()], search.effective({}), fields=())
        refused = ""
    except InputError as error:
        refused = str(error)
    values = {name: [one.outcome, one.value, round(one.separation, 9)] for name, one in found.answers.items()}
    return {"found": values, "batches": found.batches, "data": found.data, "refused": refused}


def run_rank(what: str, folder: Path, number: int, size: int) -> None:
    """Be one rank, write what it has seen to `results.json` in a folder of its own, and leave.

    Args:
        what: A scenario, or how the model is shared, or both with a colon between them.
    """
    torch.set_num_threads(1)
    own = folder / f"rank{number}"
    own.mkdir(parents=True, exist_ok=True)
    os.dup2(os.open(own / "stderr", os.O_WRONLY | os.O_CREAT), 2)
    faulthandler.dump_traceback_later(LONG_SECONDS, exit=True)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=size)
    scenarios = {
        "errors": errors,
        "failing": failing,
        "resolving": resolving,
        "estimating": estimating,
        "recovering": recovering,
        "extended": extended,
        "families": families,
        "leaving": leaving,
        "patient": patient,
        "absent": absent,
        "absent_later": lambda folder, _: absent(folder, warm=True),
        "reading": counted,
        "differing": differing,
        "unreadable": unreadable,
        "slow": slow,
    }
    name, _, wrapping = what.rpartition(":")
    if name.startswith("dying"):
        _, door, last = name.split()
        results = dying(folder, WRAPPED[wrapping], door, int(last))
    else:
        scenario = scenarios.get(name or what, saving)
        results = scenario(folder, WRAPPED.get(wrapping, alone))
    (own / "results.json").write_text(json.dumps(results), "utf-8")
    if dist.is_initialized():
        leave_group()
    os._exit(0)


def leave_group() -> None:
    """Leave the group once every rank is connected: one that is still connecting fails where a peer is gone."""
    dist.barrier()
    dist.destroy_process_group()
