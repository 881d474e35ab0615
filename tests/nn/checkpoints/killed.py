"""Saves checkpoints and is killed, again and again: `python -m tests.nn.checkpoints.killed ours|naive FOLDER`."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

import tttcfg
from tests.nn.language import Training
from tttcfg.errors import TttcfgError
from tttcfg.nn import adapter_state_dict
from tttcfg.nn.checkpoints.folders import STEPS, manifest

KILLS, SAVES = {"ours": 50, "naive": 10}, 6
"""How often it is killed, and after how many saves at most."""


def naive(run: Training, folder: Path) -> None:
    """Write a checkpoint as most trainers do."""
    inside = folder / STEPS / f"checkpoint_{run.state.step:06d}" / "consolidated"
    inside.mkdir(parents=True)
    (inside / "config.json").write_text("{}")
    save_file(adapter_state_dict(run.model), inside / "lora.safetensors")
    tttcfg.save_document(inside, run.effective)


def is_whole(folder: Path, ours: bool) -> bool:
    inside = folder / "consolidated"
    try:
        wanted = manifest(folder)["files"] if ours else ["config.json", "lora.safetensors", "training_config.json"]
        for name in wanted:
            data = (inside / name).read_bytes()
            if name.endswith(".json"):
                json.loads(data)
        return tttcfg.verify(folder).binding == ("bound" if ours else "unbound")
    except (TttcfgError, OSError, KeyError, ValueError):
        return False


def killed_while(action: Callable[[], None], seconds: float) -> None:
    """Run `action` in a process of its own, over and over, until it is killed."""
    child = os.fork()
    if child == 0:
        while True:
            action()
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    run = Training(folder, num_ckpt_keep=2)

    def save() -> None:
        run.state.step += 1
        run.checkpointer.save_checkpoint() if kind == "ours" else naive(run, folder)

    start = time.perf_counter()
    save()
    longest = SAVES * (time.perf_counter() - start)
    torn, seen, lost, pauses = 0, 0, 0, random.Random(0)
    for _ in range(KILLS[kind]):
        before = len(list((folder / STEPS).glob("checkpoint_*")))
        killed_while(save, pauses.uniform(0, longest))
        found = sorted((folder / STEPS).glob("checkpoint_*"))
        torn += sum(not is_whole(one, kind == "ours") for one in found)
        seen += len(found)
        lost += bool(before) and not found
        run.state.step = max((int(one.name[-6:]) for one in found), default=0)
    sys.stdout.write(json.dumps({"torn": torn, "seen": seen, "lost": lost}) + "\n")


if __name__ == "__main__":
    main()
