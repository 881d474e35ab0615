"""Which parameters are trained, and the optimiser that trains them, as the trainer groups them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from tttcfg import InputError, Problem, TrainingArgs, concrete_layers

from .model import TinyMoshi

TTT = ".seq_modeling_block."
ALPHA = "gating_alpha"


def choose_trained_parameters(model: TinyMoshi, training: TrainingArgs) -> None:
    """Require gradients of the parameters to be trained, and of no others.

    Everything with `full_finetuning`. Without it: adapters, TTT layers and their gates, the embeddings with
    `lora.ft_embed`, and the attention of `ttt.unfrozen_attention_layers`.

    Raises:
        InputError: There are none.
    """
    count = len(model.transformer.layers)
    unfrozen = concrete_layers(training.ttt.unfrozen_attention_layers, count)
    layers = tuple(f"transformer.layers.{index}." for index in unfrozen)

    def trained(name: str) -> bool:
        embedding = training.lora.ft_embed and name.startswith(("emb.", "text_emb."))
        attention = ".self_attn." in name and name.startswith(layers)
        return training.full_finetuning or ".lora_" in name or is_ttt(name) or embedding or attention

    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trained(name))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        message = "nothing would be trained: no full fine-tuning, no LoRA, no TTT"
        raise InputError(Problem("training", message, "full_finetuning"))


def is_ttt(name: str) -> bool:
    """Whether a parameter belongs to a TTT layer or its gates, by its name."""
    return TTT in name and ".original_layer." not in name


def make_optimizer(model: nn.Module, training: TrainingArgs) -> torch.optim.AdamW:
    """Return AdamW over the parameters that are trained, in groups with learning rates of their own."""
    multipliers = {
        "base": 1.0,
        "ttt_weights": training.ttt.weight_lr_multiplier,
        "ttt_alpha": training.ttt.alpha_lr_multiplier,
    }
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in multipliers}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups["base" if not is_ttt(name) else "ttt_alpha" if ALPHA in name else "ttt_weights"].append(parameter)
    optim = training.optim
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": optim.lr * multipliers[name], "name": name}
            for name, parameters in groups.items()
            if parameters
        ],
        betas=optim.betas,
        eps=optim.eps,
        weight_decay=optim.weight_decay,
    )


def make_schedule(optimiser: torch.optim.Optimizer, training: TrainingArgs) -> OneCycleLR:
    """Return the one-cycle schedule over all steps. Unlike the trainer's it leaves the configured betas alone.

    Raises:
        InputError: The rise of the learning rate is one step or all of them, by which torch's schedule divides by zero.
    """
    rise = training.optim.pct_start * training.max_steps
    if rise in (1, training.max_steps):
        message = f"makes the learning rate rise over {rise:g} of {training.max_steps} steps, and OneCycleLR cannot"
        raise InputError(Problem("training", message, "optim.pct_start"))
    rates = [group["lr"] for group in optimiser.param_groups]
    return OneCycleLR(optimiser, rates, training.max_steps, pct_start=training.optim.pct_start, cycle_momentum=False)


def schedule_settings(schedule: OneCycleLR) -> dict[str, Any]:
    """Return the settings of a new optimiser and its schedule, as the configuration has them."""
    groups = [{**group, "params": None} for group in schedule.optimizer.param_groups]
    return {"groups": groups, "schedule": schedule.state_dict()}


def continue_schedule(schedule: OneCycleLR, settings: Mapping[str, Any], step: int) -> None:
    """Let an optimiser with a restored state follow this run's `schedule_settings` from a step on."""
    for group, own in zip(schedule.optimizer.param_groups, settings["groups"], strict=True):
        group.update({**own, "params": group["params"]})
    # One step before, and the step: it computes the learning rate. Torch warns where no step was counted.
    schedule.load_state_dict({**settings["schedule"], "last_epoch": step - 1, "_step_count": step + 2})
    schedule.step()


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Return the norm of the gradients of every TTT layer and of all else, for diagnostics."""
    squares: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            group = name.partition(TTT)[0] if is_ttt(name) else "base"
            squares[group] = squares.get(group, 0.0) + torch.linalg.vector_norm(parameter.grad.float()).item() ** 2
    return {group: square**0.5 for group, square in squares.items()}


def gates(model: nn.Module) -> dict[str, float]:
    """Return the mean of tanh(alpha) of every TTT layer, by the layer's name."""
    return {
        name.partition(TTT)[0]: parameter.detach().float().tanh().mean().item()
        for name, parameter in model.named_parameters()
        if name.endswith(f"forward_ssm_gating.{ALPHA}")
    }
