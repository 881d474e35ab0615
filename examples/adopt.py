"""A small trainer that uses tttcfg: its dataclasses stay, and three lines are new.

    python examples/adopt.py train --run_dir runs/mine --ttt.mini_batch_size 8
    python examples/adopt.py evaluate --checkpoint_dir runs/mine --config examples/any.yaml

Training writes a checkpoint without weights (there is no model here); evaluation prints what the layers of that
checkpoint read, with any config file.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path

import tttcfg


@dataclass
class DataArgs:
    train_data: str = ""
    eval_data: str = ""
    shuffle: bool = False


@dataclass
class OptimArgs:
    lr: float = 1e-4
    weight_decay: float = 0.1
    pct_start: float = 0.05


@dataclass
class TTTArgs:
    enable: bool = True
    layers: str = "1,2"
    base_lr: float = 1.0
    mini_batch_size: int = 16
    persistent_states: bool = True
    initial_gating_alpha: float = 0.1
    weight_lr_multiplier: float = 10.0
    alpha_lr_multiplier: float = 100.0
    use_rope: bool = False
    ttt_layer_context: int | None = None


@dataclass
class TrainArgs:
    """The configuration of this trainer: the names of the real one, and only what it needs."""

    run_dir: str = ""
    data: DataArgs = field(default_factory=DataArgs)
    optim: OptimArgs = field(default_factory=OptimArgs)
    ttt: TTTArgs = field(default_factory=TTTArgs)
    batch_size: int = 1
    max_steps: int = 100
    seed: int = 0


MODEL = {"dim": 64, "num_heads": 4, "num_layers": 4, "context": 3000}


def train(arguments: argparse.Namespace) -> None:
    args = TrainArgs()
    for name, value in vars(arguments).items():
        owner, _, last = name.rpartition(".")
        if value is not None and name != "command":
            setattr(getattr(args, owner) if owner else args, last, value)
    folder = Path(args.run_dir, "checkpoints", f"checkpoint_{args.max_steps:06d}", "consolidated")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(MODEL, indent=4), "utf-8")

    training = tttcfg.TrainingArgs.from_any(args)  # the first line: validates and completes the old dataclass
    path = tttcfg.save_document(folder, training)  # the second: replaces json.dumps(asdict(args), default=str)
    print(f"saved {path}")


def evaluate(arguments: argparse.Namespace) -> None:
    # The third line: replaces reading training_config.json by hand and copying some of it.
    effective = tttcfg.resolve(arguments.checkpoint_dir, arguments.config, arguments.overrides, require_ttt=True)

    for finding in effective.findings:
        if finding.severity == "warning":
            print(finding.labelled())
    print(f"batch size {effective.training.batch_size}")
    assert effective.ttt is not None  # require_ttt
    for name, value in effective.ttt:
        print(f"{name}: {value}")


def add_options(parser: argparse.ArgumentParser, group: object, prefix: str = "") -> None:
    """Add one option per field, as simple-parsing would."""
    for one in fields(group):  # type: ignore[arg-type]
        value = getattr(group, one.name)
        if is_dataclass(value):
            add_options(parser, value, f"{one.name}.")
        else:
            kind = (lambda word: word == "true") if isinstance(value, bool) else int if value is None else type(value)
            parser.add_argument(f"--{prefix}{one.name}", type=kind, required=one.name == "run_dir")


def main() -> None:
    parser = argparse.ArgumentParser(description="A small trainer that uses tttcfg.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_options(commands.add_parser("train"), TrainArgs())
    evaluating = commands.add_parser("evaluate")
    evaluating.add_argument("--checkpoint_dir", required=True)
    evaluating.add_argument("--config", action="append")
    evaluating.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    try:
        {"train": train, "evaluate": evaluate}[arguments.command](arguments)
    except tttcfg.TttcfgError as error:
        parser.exit(error.exit_code, f"{error}\n")


if __name__ == "__main__":
    main()
