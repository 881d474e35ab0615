"""What the tests of checkpoints are made of: a small language model with Moshi's tensors, and a run that trains it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

import tttcfg
from tests.builders import write_json
from tests.nn.models import Skeleton
from tttcfg.documents.effective import Effective
from tttcfg.nn import Checkpointer, add_lora, add_ttt
from tttcfg.nn.checkpoints.folders import STEPS
from tttcfg.nn.checkpoints.manifests import record_paths

MODEL: dict[str, Any] = {
    "dim": 64,
    "num_heads": 4,
    "num_layers": 4,
    "context": 24,
    "n_q": 4,
    "dep_q": 2,
    "card": 32,
    "text_card": 50,
    "delays": [0, 0, 1, 1, 1],
}
SETTINGS: dict[str, Any] = {
    "ttt.enable": True,
    "ttt.layers": [1, 2],
    "ttt.mini_batch_size": 8,
    "ttt.base_lr": 16.0,
    "ttt.initial_gating_alpha": 1.0,
    "ttt.persistent_states": "each_sequence",
    "param_dtype": "float32",
}
"""An open gate and a large inner step, so that what is set wrong is seen."""
LORA: dict[str, Any] = {"lora.enable": True, "lora.rank": 4, "lora.scaling": 2.0}


class Output(NamedTuple):
    """What Moshi returns: logits by stream, and where they are valid."""

    text_logits: torch.Tensor
    logits: torch.Tensor
    text_mask: torch.Tensor
    mask: torch.Tensor


class LanguageModel(Skeleton):
    """A language model over one text and four audio streams that uses most of Moshi's tensors."""

    def __init__(self, delays: Sequence[int]) -> None:
        super().__init__()
        self.delays = list(delays)

    def forward(self, codes: torch.Tensor) -> Output:
        x = self.text_emb(codes[:, 0])
        for book, embedding in enumerate(self.emb, start=1):
            x = x + embedding(torch.roll(codes[:, book], self.delays[book], dims=1))
        hidden = self.out_norm(self.transformer(x))
        audio = [linear(given(hidden)) for linear, given in zip(self.linears, self.depformer_in, strict=True)]
        valid = torch.ones(codes.shape[0], 2, codes.shape[2], dtype=torch.bool)
        valid[:, 1, -1] = False
        logits = torch.stack(audio, dim=1).masked_fill(~valid[..., None], torch.nan)
        return Output(self.text_linear(hidden)[:, None], logits, valid[:, :1], valid)


def resolved(folder: Path, changes: Mapping[str, Any] | None = None, model: Mapping[str, Any] = MODEL) -> Effective:
    """Return the effective configuration of a fresh run."""
    path = write_json(folder / "model.json", model)
    return tttcfg.resolve(overrides={**SETTINGS, **(changes or {})}, model_config=path)


def build(model_config: Mapping[str, Any], effective: Effective) -> nn.Module:
    """Return the model that a configuration describes, its base weights drawn from a fixed seed."""
    model = LanguageModel(model_config["delays"])
    training = effective.training
    if training.lora.enable:
        add_lora(model, training.lora.rank, training.lora.scaling)
    if effective.ttt is not None:
        add_ttt(model.transformer.layers, effective.ttt)
    for name, parameter in model.named_parameters():
        kept = ("lora_", "seq_modeling_block.ttt_layer", "gating_alpha")
        parameter.requires_grad_(training.full_finetuning or any(part in name for part in kept))
    return model.to(getattr(torch, training.param_dtype))


def stirred(model: nn.Module) -> nn.Module:
    """Move what is trained away from where it starts, so that adapters and inner models matter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad and "gating_alpha" not in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.05 * noise.to(parameter.dtype))
    return model


class State:
    """Counts the steps of a run."""

    def __init__(self) -> None:
        self.step = 0


class Training:
    """A run: the model, what trains it, and its checkpoints, by default without fingerprints, which take longest."""

    def __init__(self, folder: Path, changes: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.effective = resolved(folder, changes)
        self.model = stirred(build(MODEL, self.effective))
        trained = [one for one in self.model.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.95))
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=1e-3, total_steps=50)
        self.state = State()
        given = {"training_args": self.effective, "scheduler": self.scheduler, "fingerprint": False, **options}
        self.checkpointer = Checkpointer(self.model, self.state, folder, MODEL, self.optimizer, **given)

    def train(self, steps: int) -> None:
        """Take steps on codes that the random generator draws."""
        for _ in range(steps):
            codes = torch.randint(0, 32, (2, 5, 24))
            self.optimizer.zero_grad()
            loss(self.model, codes).backward()
            self.optimizer.step()
            self.scheduler.step()
            self.state.step += 1

    def save(self, steps: int = 1, **options: Any) -> Path:
        self.train(steps)
        return self.checkpointer.save_checkpoint(**options)


def make_uniform(run: Training, value: float, step: int) -> None:
    """Give every trained parameter, and what the optimiser has of it, one value: any mix of two saves shows."""
    run.state.step = step
    with torch.no_grad():
        for parameter in run.optimizer.param_groups[0]["params"]:
            parameter.fill_(value)
            moments = {key: torch.full_like(parameter, value) for key in ("exp_avg", "exp_avg_sq")}
            run.optimizer.state[parameter] = {"step": torch.tensor(value), **moments}


def numbers_of(run: Training) -> set[float]:
    """Return the different numbers in what `make_uniform` sets."""
    state = [one for own in run.optimizer.state.values() for one in own.values()]
    return {number for one in (*run.optimizer.param_groups[0]["params"], *state) for number in one.flatten().tolist()}


def numbers_in(inside: Path) -> set[float]:
    """Return the different numbers in all tensors of a checkpoint."""
    parts = [load_file(path) for path in inside.glob("*.safetensors")]
    return {number for part in parts for one in part.values() for number in one.flatten().tolist()}


def loss(model: nn.Module, codes: torch.Tensor) -> torch.Tensor:
    output = model(codes)
    return output.text_logits.square().mean() + output.logits.nan_to_num().square().mean()


def values(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def steps(folder: Path) -> list[str]:
    """Return what is in a run's folder of checkpoints beside the run's record."""
    return sorted({*os.listdir(folder / STEPS)} - {path.name for path in record_paths(folder / STEPS)})


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "consolidated").iterdir()}
