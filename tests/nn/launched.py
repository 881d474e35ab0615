"""One rank of several: `python -m tests.nn.launched WHAT FOLDER RANK SIZE`; `test_ranks.py` starts them.

Each prints one line of JSON with what it has seen.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import tttcfg
from tests.nn.language import LORA, MODEL, State, build, loss, resolved, stirred
from tttcfg.errors import InputError, Problem, TttcfgError
from tttcfg.nn import Checkpointer, agree, on_first, rank, resolve_together, restore, together, world_size
from tttcfg.nn.gathering import gathered, tensors_of, unwrapped

Said = dict[str, Any]


def sharded(model: nn.Module) -> nn.Module:
    fully_shard(model, mesh=init_device_mesh("cpu", (world_size(),)))
    return model


def replicated(model: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)


def alone(model: nn.Module) -> nn.Module:
    return model


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {"fsdp": sharded, "ddp": replicated, "alone": alone}


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


def whole(model: nn.Module) -> str:
    """Return the sum of all values of a model, exactly, as rank 0 has them."""
    found = gathered(tensors_of(unwrapped(model)))
    return on_first(lambda: json.dumps({name: one.double().sum().item() for name, one in sorted(found.items())}))


def saving(folder: Path, wrap: Callable[[nn.Module], nn.Module]) -> Said:
    """Train, save adapters and everything, go on; resume another run from the first checkpoint and go on as well."""
    torch.manual_seed(3)
    run = Run(folder, wrap)
    untrained = run.checkpointer.save_checkpoint(save_only_lora=False) / "consolidated"
    if rank() == 0:
        (untrained / "consolidated.safetensors").rename(folder / "untrained.safetensors")
    run.train(2)
    first = run.checkpointer.save_checkpoint(dtype=torch.bfloat16)  # the training state holds what is rounded
    seen = sorted(path.name for path in (first / "consolidated").iterdir())
    run.train(2)
    straight = whole(run.model)
    again = Run(folder, wrap)
    resumed = again.checkpointer.resume(first)
    again.train(2)
    merged = again.checkpointer.save_checkpoint(save_only_lora=False)
    restored = restore(
        merged,
        {"ttt": {"base_lr": 0.5}},
        build=lambda *given: wrap(build(*given)) if wrap is sharded else build(*given),
    )
    return {
        "seen": seen,
        "equal": whole(again.model) == straight,
        "resumed": [resumed.step, resumed.optimizer, resumed.random],
        "merged": merged.is_dir(),
        "agrees": restored.computation.agrees,
    }


def errors(folder: Path, _: object) -> Said:
    """Let everything fail that can, on rank 0 and on the last; every rank is told, and none hangs."""
    last = world_size() - 1

    def caught(action: Callable[[], object]) -> str:
        try:
            return f"none: {action()}"
        except TttcfgError as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:
            return f"own: {type(error).__name__}: {error}"

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


def resolving(folder: Path, _: object) -> Said:
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


def leaving(folder: Path, _: object) -> Said:
    """Drop a model after its group of processes, right after a collective, as programs do at their end."""
    number, size = rank(), world_size()
    dist.destroy_process_group()
    times = 20  # once, it hung in one time of three to six
    for time in range(times):
        dist.init_process_group("gloo", init_method=f"file://{folder}/store{time}", rank=number, world_size=size)
        model = replicated(nn.Linear(1, 1))
        on_first(lambda: "done")
        dist.destroy_process_group()
        del model
    return {"left": times}


def main() -> None:
    what, folder, number, size = sys.argv[1:]
    torch.set_num_threads(1)
    (Path(folder) / f"rank{number}").mkdir(parents=True, exist_ok=True)
    if int(size) > 1:
        store = f"file://{folder}/store"
        dist.init_process_group("gloo", init_method=store, rank=int(number), world_size=int(size))
    scenario = {"errors": errors, "resolving": resolving, "leaving": leaving}.get(what, saving)
    said = scenario(Path(folder), WRAPPED.get(what, alone))
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    os._exit(0)


if __name__ == "__main__":
    main()
