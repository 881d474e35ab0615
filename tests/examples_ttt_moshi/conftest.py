"""The programs of `examples/ttt_moshi` on a very small model, and runs that several test modules look at."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tttcfg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "examples"))
if find_spec("torch"):
    import torch
    from ttt_moshi import train
    from ttt_moshi.program import run

    torch.set_num_threads(1)  # small tensors, and several tests at once: threads would only wait for each other
else:
    collect_ignore_glob = ["test_*.py"]

CONFIGS = Path(__file__).resolve().parent.parent.parent / "examples" / "ttt_moshi" / "configs"
MODEL = {
    "dim": 32,
    "num_heads": 2,
    "num_layers": 2,
    "context": 4,
    "n_q": 3,
    "card": 16,
    "text_card": 16,
    "delays": [0, 0, 1, 1],
}
SETTINGS: dict[str, Any] = {
    "moshi_paths": {"hf_repo_id": None},
    "full_finetuning": True,
    "param_dtype": "float32",
    "ttt": {
        "enable": True,
        "layers": "0",
        "base_lr": 16.0,
        "mini_batch_size": 8,
        "initial_gating_alpha": 1.0,
        "persistent_states": "each_sequence",
    },
    "optim": {"lr": 0.003},
    "duration_sec": 2.56,
    "batch_size": 2,
    "max_steps": 4,
    "ckpt_freq": 2,
}
TrainRun = Callable[..., Path]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


class Done(NamedTuple):
    """The exit code of a program, its standard output, and everything that it logged or wrote to standard error."""

    code: int
    out: str
    log: str


Left = Callable[..., Done]


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Left:
    """Run a program's main function as its file does, but for a process of its own: torch takes seconds to import."""

    def ran(main: Callable[[Sequence[str]], int], *words: str | Path | int) -> Done:
        monkeypatch.setattr(sys, "argv", ["program", *map(str, words)])
        with caplog.at_level(logging.INFO), pytest.raises(SystemExit) as exit_:
            run(main)
        written = capsys.readouterr()
        return Done(int(exit_.value.code or 0), written.out, written.err + caplog.text)

    return ran


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.json, train.jsonl, eval.jsonl and config.json, a configuration that trains in a second."""
    folder = tmp_path_factory.mktemp("programs")
    voices = {"seed": 1, "sequences": 64, "words": 3, "sounds": 8}
    for name, entry in (("train", voices), ("eval", {**voices, "seed": 2, "sequences": 5})):
        write_json(folder / f"{name}.jsonl", {"voices": entry, "duration": 2.56})
    paths = {**SETTINGS["moshi_paths"], "config_path": str(write_json(folder / "model.json", MODEL))}
    data = {name: str(folder / f"{name.partition('_')[0]}.jsonl") for name in ("train_data", "eval_data")}
    write_json(folder / "config.json", {**SETTINGS, "moshi_paths": paths, "data": data})
    return folder


@pytest.fixture(scope="session")
def train_run(here: Path) -> TrainRun:
    """Train with the small configuration and overrides, and return the run's folder."""

    def trained(name: str, *overrides: str) -> Path:
        train.train([str(here / "config.json")], [f"run_dir={here / name}", *overrides])
        return here / name

    return trained


@pytest.fixture(scope="session")
def trained(train_run: TrainRun) -> Path:
    """The folder of a run of four steps, saved after the second and the fourth."""
    return train_run("trained")


@pytest.fixture
def effective(here: Path) -> tttcfg.Effective:
    return tttcfg.resolve(config=here / "config.json", model_config=here / "model.json")
