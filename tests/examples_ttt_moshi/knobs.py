"""What every field does to a small model: each is changed, then the programs train with it and evaluate with it.

The fields, their roles and a second value of each come from their declarations. Listed here is only where a field
needs company to matter, and where another value is needed than any valid one.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import tttcfg
from tests.builders import SECRET, alternatives, tree
from tttcfg import TttcfgError
from tttcfg.schema.fields import ConfigField, plain

from .conftest import write_json  # its import lets the programs be found

from ttt_moshi import eval_from_checkpoint, train  # isort: skip
from ttt_moshi.make_miniature import make  # isort: skip
from ttt_moshi.model import build  # isort: skip

MODEL = {
    "dim": 32,
    "num_heads": 2,
    "num_layers": 2,
    "context": 4,
    "n_q": 4,
    "dep_q": 2,
    "card": 16,
    "text_card": 16,
    "delays": [0, 0, 1, 0, 1],
}
"""A model of two speakers, which predicts one of them, as Moshi does."""
BASE: dict[str, Any] = {
    "data.train_data": "{here}/train.jsonl",
    "data.eval_data": "{here}/eval.jsonl",
    "moshi_paths.hf_repo_id": None,
    "moshi_paths.config_path": "{here}/model.json",
    "full_finetuning": True,
    "param_dtype": "float32",
    "ttt.enable": True,
    "ttt.layers": [0],
    "ttt.base_lr": 16.0,
    "ttt.mini_batch_size": 8,
    "ttt.initial_gating_alpha": 1.0,
    "ttt.persistent_states": "each_sequence",
    "optim.lr": 0.003,
    "duration_sec": 1.28,
    "batch_size": 2,
    "max_steps": 3,
    **{f"evaluation.{name}.max_pairs": 1 for name in ("sblimp", "swuggy", "tstory", "sstory")},
    "evaluation.librilight.streaming.max_sequence_length": 40,
}
"""What a field is changed from, where it is not the default."""

_LORA = {
    "lora.enable": True,
    "lora.rank": 4,
    "full_finetuning": False,
    "moshi_paths.moshi_path": "{here}/base.safetensors",
}
_RESUMED = {"resume_from": "{here}/begun/checkpoints/checkpoint_000001"}
_BOOK = {
    "evaluation.librilight.evaluation_mode": "single_book",
    "evaluation.librilight.speaker_id": "17",
    "evaluation.librilight.book_name": "weather_reports",
}
_WANDB = {"wandb.project": "ours"}
COMPANY: dict[str, dict[str, Any]] = {
    "lora.enable": _LORA,
    "lora.rank": _LORA,
    "lora.scaling": _LORA,
    "lora.ft_embed": _LORA,
    "save_adapters": _LORA,
    "full_finetuning": {"moshi_paths.moshi_path": "{here}/base.safetensors"},
    "moshi_paths.moshi_path": _LORA,
    "ttt.unfrozen_attention_layers": _LORA,
    "ttt.rope_theta": {"ttt.rope_mode": "mini_batch"},
    "ttt.rope_scaling": {"ttt.rope_mode": "mini_batch"},
    "ttt.scan_dtype": {"param_dtype": "bfloat16"},
    "ttt.state_dtype": {"param_dtype": "bfloat16"},
    "ttt.persistent_states": {"evaluation.librilight.streaming.enabled": True},
    "ttt.override_gating_alpha_on_resume": _RESUMED,
    "reset_optimizer": _RESUMED,
    "reset_step": _RESUMED,
    "ttt.enable_training_diagnostics": {"ttt.training_diagnostic_frequency": 1},
    "ttt.training_diagnostic_frequency": {"ttt.enable_training_diagnostics": True},
    "num_ckpt_keep": {"ckpt_freq": 1},
    "eval_freq": {"do_eval": True},
    "overwrite_run_dir": {"run_dir": "{here}/taken"},
    "evaluation.enable": {"evaluation.freq": 2},
    "evaluation.freq": {"evaluation.enable": True},
    "evaluation.librilight.speaker_id": _BOOK,
    "evaluation.librilight.book_name": _BOOK,
    "evaluation.long_context.max_files": {"evaluation.long_context.audio_dir": "{here}/miniature/sstory"},
    "wandb.offline": _WANDB,
    "wandb.run_name": _WANDB,
    "wandb.key": _WANDB,
}
"""Without these a field does nothing, and is not meant to."""
VALUES: dict[str, Any] = {
    "ttt.persistent_states": "never",
    "data.train_data": "{here}/moved/train.jsonl",
    "data.eval_data": "{here}/moved/eval.jsonl",
    "moshi_paths.config_path": "{here}/moved/model.json",
    "moshi_paths.moshi_path": "{here}/moved/base.safetensors",
    "run_dir": "{here}/elsewhere",
    "optim.lr": 0.001,
    "duration_sec": 0.64,
    "param_dtype": "bfloat16",
    "evaluation.librilight.streaming.use_fixed_method": False,
    "wandb.key": SECRET,
    **_RESUMED,
}
"""Values that are not any valid one: the same files at another place, a boolean whose default is the other value."""
STAND_IN = """
import json, logging
from pathlib import Path
log = logging.getLogger("wandb").info
def login(key):
    log("logged in: %s", bool(key))
def init(project, name, mode, dir, config):
    log("project %s, run %s, %s", project, name, mode)
    Path(dir, "wandb.json").write_text(json.dumps(config))
    return Run()
class Run:
    def log(self, figures, step): pass
    def finish(self): pass
"""
"""Replaces Weights & Biases, which needs a network: it logs what it is given, without the key."""
FIGURES = re.compile(r'/run_\d+|[\d.,]+(?= (?:tokens/s|s\b|MB))|(?<="peak_memory_bytes": )\d+')


@dataclass
class Outcome:
    """What the programs made of one configuration.

    Attributes:
        shapes: Names and shapes of the model's tensors.
        weights: What was trained and saved, by name; empty where nothing was saved.
        steps: Loss and gradient norm of every step.
        standard: The standard evaluation of the given weights.
        losses: Nats that are compared: of the standard evaluation's streams, and along the long sequences.
        log: What was logged and written, without times and places, and what the layers read.
        refused: Keys of the settings for which a program refused to run.
    """

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    steps: list[tuple[float, ...]] = field(default_factory=list)
    standard: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)


def company_of(one: ConfigField) -> dict[str, Any]:
    """Return what a field is changed beside, and from: all of it that is not a default."""
    return {**BASE, **COMPANY.get(one.name, {})}


class Bench:
    """A folder with data, a base model and miniatures, in which fields are changed one at a time."""

    def __init__(self, folder: Path) -> None:
        self.here, self.numbers = folder, count()
        self.unchanged: dict[str, Outcome] = {}
        self.checkpoints: dict[str, Path] = {}
        voices = {"seed": 1, "sequences": 32, "words": 3, "sounds": 8}
        for name, entry in (("train", voices), ("eval", {**voices, "seed": 2, "sequences": 2})):
            write_json(folder / f"{name}.jsonl", {"voices": entry, "duration": 1.28})
        write_json(folder / "model.json", MODEL)
        (folder / "stand_in").mkdir()
        (folder / "stand_in" / "wandb.py").write_text(STAND_IN, encoding="utf-8")
        self.configs = [str(write_json(folder / "config.json", tree(self.placed(BASE))))]
        self.configs.append(str(make(folder / "miniature", speech="tones", minutes=0.05)))
        self.train({"run_dir": f"{folder}/plain", "ttt.enable": False, "max_steps": 1})
        self.train({"run_dir": f"{folder}/begun", "ckpt_freq": 1})
        self.train({"run_dir": f"{folder}/taken", "ckpt_freq": 1})
        weights = folder / "plain" / "checkpoints" / "checkpoint_000001" / "consolidated" / "consolidated.safetensors"
        shutil.copy(weights, folder / "base.safetensors")
        (folder / "moved").mkdir()
        for name in ("train.jsonl", "eval.jsonl", "model.json", "base.safetensors"):
            shutil.copy(folder / name, folder / "moved" / name)

    def placed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with the places of files filled in."""
        return {
            name: value.replace("{here}", str(self.here)) if isinstance(value, str) else value
            for name, value in settings.items()
        }

    def train(self, settings: Mapping[str, Any]) -> None:
        train.train(self.configs, texts(settings))

    def change(self, one: ConfigField) -> tuple[Any, Any]:
        """Return the value of a field beside its company, and another one."""
        effective = tttcfg.resolve(config=self.configs, overrides=texts(self.placed(company_of(one))))
        value = plain(one.get(effective.training))
        if one.name in VALUES:
            return value, VALUES[one.name]
        return value, next(one for one in (*alternatives(one), plain(one.default)) if one != value)

    def before(self, one: ConfigField) -> Outcome:
        """Return what comes of the company of a field; measured once."""
        company = company_of(one)
        key = json.dumps(company, sort_keys=True)
        if key not in self.unchanged:
            self.unchanged[key] = self.outcome(company, None)
        return self.unchanged[key]

    def after(self, one: ConfigField, value: Any) -> Outcome:
        """Return what comes of a field's change, in training, and in an evaluation of the weights from before."""
        self.before(one)
        key = json.dumps(company_of(one), sort_keys=True)
        return self.outcome({**company_of(one), one.name: value}, self.checkpoints.get(key))

    def outcome(self, settings: Mapping[str, Any], checkpoint: Path | None) -> Outcome:
        """Train with settings, and evaluate a checkpoint with them; without one, that of the training."""
        folder = self.here / f"run_{next(self.numbers)}"
        given = {"run_dir": str(folder), **self.placed(settings)}
        run, found = Path(given["run_dir"]), Outcome()
        with logging_to(found, self.here / "stand_in"):
            self.train(given)
        if saved := sorted(run.glob("checkpoints/*/consolidated/*[a-d].safetensors")):
            found.weights = load_file(saved[-1])
        if (figures := run / "metrics.train.jsonl").exists():
            lines = map(json.loads, figures.read_text("utf-8").splitlines())
            found.steps = [(line["step"], line["loss"], line["grad_norm"]) for line in lines]
        if saved and checkpoint is None:
            checkpoint = self.checkpoints[json.dumps(settings, sort_keys=True)] = saved[-1].parent.parent
        self.build(found, given)
        if checkpoint is not None:
            self.evaluate(found, checkpoint, given, folder / "results.json")
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        found.log = [without(line, (str(run), str(self.here))) for line in (*found.log, *files)]
        return found

    def build(self, found: Outcome, settings: Mapping[str, Any]) -> None:
        with logging_to(found, self.here):
            effective = tttcfg.resolve(
                config=self.configs, overrides=texts(settings), model_config=settings["moshi_paths.config_path"]
            )
            found.log.append(str(effective.ttt))
            model = build(MODEL, effective)
            found.shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}

    def evaluate(self, found: Outcome, checkpoint: Path, settings: Mapping[str, Any], output: Path) -> None:
        with logging_to(found, self.here / "stand_in"):
            results = eval_from_checkpoint.evaluate(str(checkpoint), self.configs, texts(settings), "both", output)
            benchmarks = results["paper_metrics"]["benchmarks"]
            found.log += [json.dumps(results["paper_metrics"]["scoring"]), *map(json.dumps, benchmarks.values())]
            found.standard = results["standard"]
            del found.standard["data"]["path"]  # the same file may be at another place
            found.losses = {name: found.standard[name]["loss"] for name in ("text", "audio")}
            found.losses["weighted"] = found.standard["loss"]
            for one in benchmarks["librilight"].get("sequences", ()):
                found.losses[one["name"]] = one["mean"]


def texts(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as they are typed."""
    return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()]


def without(line: str, places: tuple[str, ...]) -> str:
    """Return a line without times, sizes of memory, the names of folders and the identity of a run."""
    for place in places:
        line = line.replace(place, "")
    return FIGURES.sub("", re.sub(r"run_[0-9a-f]{32}", "run_", line))


@contextmanager
def logging_to(found: Outcome, packages: Path) -> Iterator[None]:
    """Record what is logged and which keys are refused; packages in a folder come before all others."""
    handler = logging.Handler()
    handler.emit = lambda record: found.log.append(record.getMessage())  # type: ignore[method-assign]
    logger, before = logging.getLogger(), logging.getLogger().level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    sys.path.insert(0, str(packages))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the model is too small for more
    try:
        yield
    except TttcfgError as error:
        found.refused |= {problem.key for problem in error.problems}
        found.log.append(str(error))
    finally:
        torch.set_num_threads(threads)
        sys.path.remove(str(packages))
        sys.modules.pop("wandb", None)
        logger.setLevel(before)
        logger.removeHandler(handler)
