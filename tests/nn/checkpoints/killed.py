"""Saves checkpoints and is stopped in the middle, in a process that has torch already.

    python -m tests.nn.checkpoints.killed random ours|naive FOLDER      killed now and then while it saves over and over
    python -m tests.nn.checkpoints.killed calls SCENARIO FOLDER EVERY   killed, or failed, at its calls of the system
    python -m tests.nn.checkpoints.killed strace SCENARIO FOLDER EVERY  the same by strace, without knowing the calls

Every process prints, as JSON, what it tried and what it found.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import tttcfg
from tests.nn.language import MODEL, Training, make_uniform, numbers_in, steps
from tests.trust.faults import KINDS, ends
from tttcfg.errors import TttcfgError
from tttcfg.nn import Checkpointer, adapter_state_dict
from tttcfg.nn.checkpoints import places
from tttcfg.nn.checkpoints.folders import STEPS
from tttcfg.nn.checkpoints.manifests import read_manifest

KILLS, SAVES = {"ours": 50, "naive": 10}, 6
"""How often it is killed, and after how many saves at most."""
OLD, NEW, NEXT = 1.0, 2.0, 3.0
"""What all trained parameters are: before, in what is being saved when the process is stopped, and afterwards."""
WRITTEN = re.compile(r"checkpoint_\d+: was written")
TRACED = ("openat", "write", "fsync", "mkdir", "rename", "renameat2", "unlink", "unlinkat", "rmdir", "flock")


def naive(run: Training, folder: Path) -> None:
    """Write a checkpoint as most trainers do."""
    inside = folder / STEPS / f"checkpoint_{run.state.step:06d}" / "consolidated"
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir(parents=True)
    (inside / "config.json").write_text("{}")
    save_file(adapter_state_dict(run.model), inside / "lora.safetensors")
    tttcfg.save_document(inside, run.effective)


def is_whole(folder: Path, ours: bool) -> bool:
    inside = folder / "consolidated"
    try:
        wanted = read_manifest(inside)["files"] if ours else ["config.json", "lora.safetensors", "training_config.json"]
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


def at_random(kind: str, folder: Path) -> dict[str, int]:
    """Kill a process that saves step after step at moments that are drawn."""
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
    return {"torn": torn, "seen": seen, "lost": lost}


class Scenario:
    """A run whose only checkpoint, of step 1, is followed or replaced by another one, in which it is stopped.

    Args:
        name: `again` saves step 1 again, `next` saves step 2 and prunes step 1, `edited` saves step 1 where a file of
            it was changed, so that it has to stay, `first` saves where there is none, `resume` reads; `naive` is
            `again` by a writer as most are. With `-plain` added, two names cannot change places at once.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.kind, _, plain = name.partition("-")
        if plain:
            places.exchanged = lambda *_: False
        self.folder, self.template = folder / "run", folder / "template"
        self.run = Training(self.folder, num_ckpt_keep=1)
        self.is_ours = self.kind != "naive"
        make_uniform(self.run, OLD, 1)
        if self.kind != "first":
            self.write()
        if self.kind == "edited":
            with (self.step(1) / "consolidated" / "config.json").open("a") as file:
                file.write(" ")
        shutil.copytree(self.folder, self.template)
        self.tried = self.lost = self.mixed = self.litter = self.wrong = 0
        self.ends = Counter[str]()

    def step(self, number: int) -> Path:
        return self.folder / STEPS / f"checkpoint_{number:06d}"

    def write(self) -> None:
        self.run.checkpointer.save_checkpoint() if self.is_ours else naive(self.run, self.folder)

    def reset(self) -> None:
        """Go back to before the save that is stopped, in which every parameter is NEW."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.template, self.folder)
        make_uniform(self.run, NEW, 2 if self.kind == "next" else 1)

    def act(self) -> None:
        if self.kind == "resume":
            self.run.checkpointer.resume(self.folder)
        else:
            self.write()

    def found(self) -> float | None:
        """Return the value of what the run's folder leads to; None where there is nothing whole, -1 for a mix."""
        try:
            inside = Path(tttcfg.find_checkpoint(self.folder).folder)
        except TttcfgError:
            return None
        if not is_whole(inside.parent, self.is_ours) and self.kind != "edited":
            return None
        numbers = numbers_in(inside)
        return numbers.pop() if len(numbers) == 1 else -1.0

    def check(self, end: str) -> None:
        """Count what is wrong with what a stopped save has left, and with what the next run makes of it.

        Args:
            end: How it ended: `killed`, `done`, `refused`, or refused by an error that reports it as `written`.
        """
        self.tried += 1
        self.ends[end] += 1
        found = self.found()
        expected = {OLD, NEW} if end == "killed" else {OLD} if end == "refused" or self.kind == "resume" else {NEW}
        expected |= {None} if self.kind == "first" and end in ("killed", "refused") else set()  # type: ignore[arg-type]
        self.lost += found is None and None not in expected
        self.mixed += found == -1.0
        self.wrong += found is not None and found not in expected
        if not self.is_ours:
            return
        self.run.checkpointer = self.started()
        again = self.found()
        self.lost += again is None and found is not None
        self.litter += bool({*steps(self.folder)} - self.kept() - {self.step(number).name for number in (1, 2)})
        make_uniform(self.run, NEXT, 3)
        self.write()
        self.lost += self.found() != NEXT
        left = {*steps(self.folder)} - self.kept() - {self.step(3).name}
        self.litter += bool(left - ({self.step(1).name} if self.kind == "edited" else set()))

    def kept(self) -> set[str]:
        return {name for name in steps(self.folder) if ".left-" in name}

    def started(self) -> Checkpointer:
        """Return the Checkpointer of the next start."""
        run, given = self.run, {"training_args": self.run.effective, "scheduler": self.run.scheduler}
        run.state.step = 3
        return Checkpointer(run.model, run.state, self.folder, MODEL, run.optimizer, 1, fingerprint=False, **given)

    @property
    def result(self) -> dict[str, Any]:
        names = ("tried", "lost", "mixed", "wrong", "litter", "ends")
        return {name: getattr(self, name) for name in names}


def at_calls(scenario: Scenario, every: int) -> None:
    """Kill it, and let it fail, at every one of its calls by which files are changed, or at some of them."""
    for kind in KINDS if scenario.is_ours else KINDS[:1]:  # no error that a naive writer raises is ours
        for _, end in ends(scenario.reset, scenario.act, kind, every):
            scenario.check("written" if WRITTEN.search(end.message) else end.how)


def attempt(action: Callable[[], None]) -> str:
    """Run `action`; return what a caller is to think of its end."""
    try:
        action()
    except TttcfgError as error:
        return "written" if WRITTEN.search(str(error)) else "refused"
    return "done"


def by_strace(scenario: Scenario, every: int) -> None:
    """Kill it, and let it fail, at every system call of the kinds that matter, or at some of them."""
    faults = [f"signal=KILL:{name}" for name in TRACED]
    faults += [f"error={code}:{name}" for code in ("ENOSPC", "EIO", "EACCES") for name in TRACED if name != "flock"]
    faults += [f"error=EINTR:{name}" for name in ("openat", "write", "fsync", "flock")]
    faults += ["error=EINVAL:renameat2"]
    for fault in faults:
        kind, _, name = fault.partition(":")
        number, is_hit = 1, True
        while is_hit:
            scenario.reset()
            end, is_hit = traced(scenario.act, name, f"{kind}:when={number}")
            if is_hit:
                scenario.check(end)
            number += every


def traced(action: Callable[[], None], name: str, fault: str) -> tuple[str, bool]:
    """Run `action` in a process of its own, into which strace injects a fault; return how it ended, and whether."""
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        ends = {"done": 0, "refused": 1, "written": 2}
        code = 3
        try:
            os.read(ready, 1)
            code = ends[attempt(action)]
        finally:
            os._exit(code)
    command = ["strace", "-f", "-p", str(child), "-e", f"trace={name}", "-e", f"inject={name}:{fault}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        attached = strace.stderr.readline()
        assert "attached" in attached, attached
        os.write(go, b"x")
        lines = strace.stderr.read()
    os.close(ready)
    os.close(go)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed", True
    assert os.WEXITSTATUS(status) < 3, lines
    return ("done", "refused", "written")[os.WEXITSTATUS(status)], "(INJECTED)" in lines


def main() -> None:
    how, what, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    if how == "random":
        result: dict[str, Any] = at_random(what, folder)
    else:
        scenario = Scenario(what, folder)
        (at_calls if how == "calls" else by_strace)(scenario, int(sys.argv[4]))
        result = scenario.result
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
