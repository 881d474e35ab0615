"""What a run needs to resume as if it had never stopped: optimiser, schedule, random numbers, unrounded parameters.

Tensors go into a safetensors file, everything else into JSON; nothing is pickled. Names are those of the parameters,
not the optimiser's numbers, so that another order of building the groups cannot mix them up.

It also holds a digest of a sample of the weights beside it and of its own tensors, by which files of two saves differ
whatever their shapes. A whole folder may be copied or renamed, and weights be bound, sharded or rewritten with
the same numbers. Numbers that were changed between those of the sample go unseen.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from tttcfg.errors import ContradictionError, InputError, Problem, quote, some
from tttcfg.nn.checkpoints.contents import Contents
from tttcfg.nn.checkpoints.tensor_file import stored
from tttcfg.nn.ranks.gather import at_rest, like, plain_name, tensors_of
from tttcfg.nn.ranks.ranks import gather_texts, together
from tttcfg.schema.paths import Tree

STATE_NAME, STATE_TENSORS_NAME = "training_state.json", "training_state.safetensors"
PARAMETERS = "model."
"""What the names of unrounded parameters begin with."""
OPTIMIZER = "optimizer."
"""The same of an optimiser's tensors: `optimizer.KEY.PARAMETER`."""
WEIGHTS, TENSORS = "weights", "tensors"
"""The keys of the digests of the weights, and of the tensors that belong to the state."""
FORMAT = 2


class Stepped(Protocol):
    """Anything that counts the steps of a run."""

    step: int


@dataclass(frozen=True)
class TrainingRun:
    """What a run trains, and by what: the model unwrapped, the optimiser and schedule where there are any."""

    model: nn.Module
    state: Stepped
    optimizer: torch.optim.Optimizer | None = None
    scheduler: Any = None


def state_tensors(run: TrainingRun, contents: Contents) -> dict[str, torch.Tensor]:
    """Return the tensors that resuming needs beside the weights file, sharded as they are.

    Those are the optimiser's, and whatever the weights file holds rounded, or has merged; on every rank in one order.

    Raises:
        ContradictionError: The optimiser has parameters that are not the model's.
    """
    found = {} if run.optimizer is None else optimizer_tensors(run.model, run.optimizer)
    header, seen = contents.header, set[int]()
    for name, tensor in tensors_of(run.model).items():
        trained = isinstance(tensor, nn.Parameter) and tensor.requires_grad
        if name in header and not contents.merged:
            missing = stored(tensor, contents.dtype) != tensor.dtype
        else:
            missing = contents.merged and trained
        if missing and id(tensor) not in seen:
            found[PARAMETERS + name] = tensor
            seen.add(id(tensor))
    return dict(sorted(found.items()))


def state_values(run: TrainingRun) -> Tree:
    """Return everything else that resuming needs, as JSON values; of every rank its random generators. A collective.

    Raises:
        InputError: Optimiser or schedule hold what cannot be saved; on every rank.
    """

    def values() -> Tree:
        optimizer = None if run.optimizer is None else optimizer_values(run.model, run.optimizer)
        schedule = None if run.scheduler is None else plain_values(run.scheduler.state_dict())
        return {"format": FORMAT, "step": run.state.step, "optimizer": optimizer, "scheduler": schedule}

    return {**together(values), "random": [json.loads(text) for text in gather_texts(json.dumps(random_state()))]}


def names_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[int, str]:
    """Return the name of every parameter of an optimiser, by its identity.

    Raises:
        ContradictionError: It has parameters that are not the model's.
    """
    names = {id(parameter): plain_name(name) for name, parameter in at_rest(model).named_parameters()}
    groups = enumerate(optimizer.param_groups)
    foreign = [number for number, group in groups if any(id(one) not in names for one in group["params"])]
    if foreign:
        message = f"groups {foreign} have parameters that are not the model's"
        advice = "build it after adding TTT and LoRA"
        raise ContradictionError([Problem("contradiction", message, "optimizer", advice=advice)])
    return names


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return all tensors of an optimiser's state, sharded as they are."""
    names = names_of(model, optimizer)
    return {
        f"{OPTIMIZER}{key}.{names[id(parameter)]}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def optimizer_values(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tree:
    """Return everything else of an optimiser: the settings of each group, its parameters by name, and plain state."""
    names = names_of(model, optimizer)
    groups = [{**group, "params": [names[id(one)] for one in group["params"]]} for group in optimizer.param_groups]
    state = {
        names[id(parameter)]: {key: value for key, value in state.items() if not isinstance(value, torch.Tensor)}
        for parameter, state in optimizer.state.items()
    }
    values: Tree = plain_values({"groups": groups, "state": {name: kept for name, kept in state.items() if kept}})
    return values


def plain_values(values: Any) -> Any:
    """Return values as JSON gives them back, tensors of one number as that number.

    Raises:
        InputError: They have something that JSON has not; it is named.
    """

    def number(value: object) -> Any:
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            return value.item()
        message = f"has {quote(type(value).__name__)} in its state, which cannot be saved, so no run could resume"
        raise InputError(Problem("rejected", message, "optimizer"))

    return json.loads(json.dumps(values, default=number))


def check_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: Tree) -> Iterator[Problem]:
    """Yield where an optimiser has other groups than what was saved, or other parameters in them."""
    names = names_of(model, optimizer)
    if len(saved["groups"]) != len(optimizer.param_groups):
        message = f"has {len(optimizer.param_groups)} groups of parameters, and {len(saved['groups'])} were saved"
        yield Problem("contradiction", message, "optimizer")
        return
    for number, (group, values) in enumerate(zip(optimizer.param_groups, saved["groups"], strict=True)):
        now, then = {names[id(one)] for one in group["params"]}, set(values["params"])
        for these, verb in ((then - now, "lacks"), (now - then, "has, unlike what was saved,")):
            if these:
                yield Problem("contradiction", f"group {number} {verb} {some(sorted(these))}", "optimizer")


def restore_optimizer(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    saved: Tree,
    stored: Iterable[str],
    tensor: Callable[[str], torch.Tensor],
) -> None:
    """Give an optimiser, which `check_optimizer` has found to fit, the state that was saved.

    Args:
        stored: The names of all tensors that were saved, of the optimiser and others.
        tensor: Reads one.
    """
    names = names_of(model, optimizer)
    tensors: dict[str, dict[str, str]] = {}
    for name in (name for name in stored if name.startswith(OPTIMIZER)):
        _, key, owner = name.split(".", 2)
        tensors.setdefault(owner, {})[key] = name
    for group, values in zip(optimizer.param_groups, saved["groups"], strict=True):
        for key, value in values.items():
            if key != "params":
                group[key] = _as_before(group.get(key), value)
        for parameter in group["params"]:
            owner = names[id(parameter)]
            state = dict(saved["state"].get(owner, {}))
            for key, name in tensors.get(owner, {}).items():
                state[key] = _placed(tensor(name), parameter, group)
            if state:
                optimizer.state[parameter] = state


def _placed(value: torch.Tensor, parameter: torch.Tensor, group: Mapping[str, Any]) -> torch.Tensor:
    """Return a tensor of the state where torch's optimisers want it: counts on the CPU, unless they are fused."""
    if value.shape == parameter.shape and value.dim():
        return like(parameter, value)
    return value.to(parameter.device) if group.get("fused") or group.get("capturable") else value


def _as_before(current: Any, value: Any) -> Any:
    """Return a setting of the type that the optimiser has it in."""
    if isinstance(current, tuple):
        return tuple(value)
    return torch.full_like(current, value) if isinstance(current, torch.Tensor) else value


def random_state() -> Tree:
    """Return the state of all random generators of this process, as JSON values."""
    version, internal, gauss = random.getstate()
    found: Tree = {"python": [version, list(internal), gauss], "torch": _hex(torch.get_rng_state())}
    if torch.cuda.is_available():
        found["cuda"] = _hex(torch.cuda.get_rng_state())
    if (numpy := sys.modules.get("numpy")) is not None:
        name, keys, *rest = numpy.random.get_state()
        found["numpy"] = [str(name), keys.tolist(), *rest]
    return found


def restore_random_state(saved: Tree) -> None:
    """Restore all random generators of this process."""
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(_tensor(saved["torch"]))
    if "cuda" in saved and torch.cuda.is_available():
        torch.cuda.set_rng_state(_tensor(saved["cuda"]))
    if "numpy" in saved and (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.set_state(tuple(saved["numpy"]))


def _hex(state: torch.Tensor) -> str:
    return bytes(state.tolist()).hex()


def _tensor(text: str) -> torch.Tensor:
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)
