"""Saving a checkpoint: what configuration, fingerprint and binding cost beside the tensors. Needs torch.

One thread, as several that wait for each other on a busy machine measure the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from measure import ROUNDS, Figure, ratio
from safetensors.torch import save_file
from torch import nn

import tttcfg
from tttcfg.nn import Checkpointer, adapter_state_dict, add_lora, add_ttt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from ttt_moshi.model import TinyMoshi

MODEL: dict[str, Any] = {
    "dim": 512,
    "num_heads": 8,
    "num_layers": 8,
    "context": 100,
    "n_q": 8,
    "card": 2048,
    "text_card": 8000,
    "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1],
}
OVERRIDES = {"ttt.enable": True, "ttt.layers": "middle", "lora.enable": True, "lora.rank": 32, "param_dtype": "float32"}
SETTINGS = ("training_config.json", "config.json", "fingerprint.json", "manifest.json")
MOST_BYTES = 8192


def figures(work: Path, checkpoints: int) -> Iterator[Figure]:
    del checkpoints
    folder = work / "saving"
    torch.set_num_threads(1)
    model, effective = _model(folder)
    for kind, adapters in (("adapters", True), ("whole model, merged", False)):
        yield from _of_kind(kind, adapters, model, effective, folder)
    shutil.rmtree(folder)


def _model(folder: Path) -> tuple[nn.Module, Any]:
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(MODEL), "utf-8")
    effective = tttcfg.resolve(overrides=OVERRIDES, model_config=folder / "model.json")
    model = TinyMoshi(MODEL).requires_grad_(False)
    add_lora(model, effective.training.lora.rank, effective.training.lora.scaling)
    assert effective.ttt is not None
    add_ttt(model.transformer.layers, effective.ttt)
    return model, effective


def _of_kind(kind: str, adapters: bool, model: nn.Module, effective: Any, folder: Path) -> Iterator[Figure]:
    state = SimpleNamespace(step=0)

    def saving(fingerprint: bool) -> Callable[[], Path]:
        made = Checkpointer(
            model, state, folder, MODEL, num_ckpt_keep=1, training_args=effective, fingerprint=fingerprint
        )

        def save() -> Path:
            state.step += 1
            return made.save_checkpoint(adapters)

        return save

    whole, bare = saving(True), saving(False)
    inside = whole() / "consolidated"
    weights = (inside / ("lora.safetensors" if adapters else "consolidated.safetensors")).stat().st_size
    configuration = (inside / SETTINGS[0]).stat().st_size
    share = f"{configuration:,} of {weights:,} bytes ({100 * configuration / weights:.4f} %)"
    yield Figure(f"{kind}: training_config.json", share, f"<= {MOST_BYTES:,}", configuration <= MOST_BYTES)
    settings = sum((inside / name).stat().st_size for name in SETTINGS)
    yield Figure(f"{kind}: all that is no tensor and no state", f"{settings:,} bytes", "", None)
    tensors = _cloned(adapter_state_dict(model) if adapters else tttcfg.nn.merged_state_dict(model))
    full, plain, alone = _fastest([whole, bare, lambda: _tensors_alone(tensors, folder / "alone")])
    yield ratio(f"{kind}: a save / its tensors alone, durably", full * 1e3, alone * 1e3, None, unit="ms")
    yield Figure(f"{kind}: a save without fingerprint, beyond its tensors", f"{(plain - alone) * 1e3:.1f} ms", "", None)
    yield Figure(f"{kind}: the fingerprint", f"{(full - plain) * 1e3:.1f} ms", "", None)


def _cloned(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors as the format's library takes them: none shared."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _tensors_alone(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file(tensors, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.unlink()


def _fastest(calls: list[Callable[[], object]]) -> list[float]:
    """Return the seconds of each call, the waiting for the disk included, in turns; the fastest round counts."""
    rounds = [[_seconds(call) for call in calls] for _ in range(ROUNDS)]
    return [min(column) for column in zip(*rounds, strict=True)]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
