"""Run the programs one after another: train, evaluate with any configuration file, override, benchmarks.

    python examples/ttt_moshi/story.py [--steps 400] [--minutes 24] [--folder FOLDER]

Run by `make story`. It writes to a temporary folder, or keeps everything in FOLDER. Exit code 1: a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PROGRAMS = Path(__file__).resolve().parent
CONFIGS = PROGRAMS / "configs"
OWN, FOREIGN = CONFIGS / "train.yaml", CONFIGS / "foreign" / "inner_loop.yaml"
OVERRIDE = "ttt.base_lr=1"  # as the foreign file has it
REPORTED = "Overridden: ttt.base_lr: 1.0 instead of 16.0 (checkpoint)"
RESTORED = "info [restored] ttt.mini_batch_size: is 8 from the checkpoint, not 32"


class Done(NamedTuple):
    """The exit code, duration, log and output of a program."""

    code: int
    seconds: float
    log: str
    out: str


class Story:
    """Runs the programs, prints an excerpt of their logs, and counts the claims that do not hold."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.broken = folder, 0

    def run(self, *command: str | Path) -> Done:
        """Run a program from the root of the checkout, where the paths in the configuration files begin."""
        started = time.perf_counter()
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        words = [sys.executable, *map(str, command)]
        done = subprocess.run(
            words, cwd=PROGRAMS.parent.parent, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        return Done(done.returncode, time.perf_counter() - started, done.stderr, done.stdout)

    def chapter(self, title: str, done: Done) -> None:
        print(f"\n{title}  ({done.seconds:.1f} s)")
        if done.code:
            print(*(f"   {line}" for line in done.log.splitlines()[-12:]), sep="\n")

    def claim(self, sentence: str, holds: bool) -> None:
        print(f"   {'holds ' if holds else 'BROKEN'}  {sentence}")
        self.broken += not holds

    def show(self, log: str, wanted: Callable[[str], bool]) -> None:
        """Print the lines of a program's log that are wanted."""
        for line in filter(wanted, log.splitlines()):
            print(f"   | {line}")

    def evaluate(self, name: str, *words: str | Path) -> tuple[Done, dict[str, Any]]:
        """Evaluate the checkpoint, and return the results; none where the program failed."""
        output = self.folder / f"{name}.json"
        checkpoint = ("--checkpoint_dir", self.folder / "run")
        done = self.run(PROGRAMS / "eval_from_checkpoint.py", *checkpoint, "--output", output, *words)
        return done, json.loads(output.read_text("utf-8")) if output.exists() else {}


def train(story: Story, steps: int) -> None:
    words = [f"run_dir={story.folder / 'run'}", f"max_steps={steps}"]
    done = story.run(PROGRAMS / "train.py", "--config", OWN, *words)
    story.chapter(f"1. Train {OWN.name}, {steps} steps", done)
    story.show(done.log, lambda line: line.startswith("step ") or "TTT mini_batch_size saved" in line)
    story.claim("training ends", done.code == 0)
    verified = story.run("-m", "tttcfg", "verify", story.folder / "run")
    story.claim("the checkpoint holds its configuration, bound to its weights", "\nbound" in f"\n{verified.out}")
    story.claim("no tensor contradicts it", verified.code == 0)


def evaluate(story: Story) -> dict[str, Any]:
    """Evaluate with the own configuration, with another one's and with an override; return the first result."""
    done, own = story.evaluate("own", "--config", OWN)
    story.chapter(f"2. Evaluate with its own configuration, {OWN.name}", done)
    story.show(done.log, lambda line: line.startswith(("Loss", "📋", "🔧")) and "Overridden" not in line)
    story.claim("the checkpoint is evaluated", done.code == 0 and bool(own))

    done, foreign = story.evaluate("foreign", "--config", FOREIGN)
    story.chapter(f"3. Evaluate with the configuration of another experiment, {FOREIGN.name}", done)
    story.show(done.log, lambda line: line.startswith("Loss") or "[restored] ttt." in line)
    same = bool(own) and foreign.get("standard") == own["standard"]
    story.claim("every number is the same to the last bit", same)
    story.claim("what was restored is reported", RESTORED in done.log)

    done, changed = story.evaluate("changed", "--config", FOREIGN, OVERRIDE)
    story.chapter(f"4. Override on purpose, {OVERRIDE}", done)
    story.show(done.log, lambda line: line.startswith("Loss") or "Overridden" in line or "[deviation]" in line)
    story.claim(
        "the override is used", bool(own and changed) and changed["standard"]["loss"] != own["standard"]["loss"]
    )
    story.claim("it is reported", REPORTED in done.log and "warning [deviation] ttt.base_lr" in done.log)
    return own


def benchmarks(story: Story, own: dict[str, Any], minutes: float) -> None:
    miniatures = story.folder / "miniatures"
    made = story.run(PROGRAMS / "make_miniature.py", miniatures, "--minutes", str(minutes))
    config = miniatures / "evaluation.yaml"
    done, results = story.evaluate("both", "--config", OWN, "--config", config, "--eval_type", "both")
    story.chapter(
        "5. Both evaluations, the benchmarks on miniatures", done._replace(seconds=made.seconds + done.seconds)
    )
    story.show(done.log, lambda line: "-miniature" in line)
    print("   It was trained on synthetic streams, never on speech: about half of the pairs is chance.")
    entries = results.get("paper_metrics", {}).get("benchmarks", {})
    asked = [one for one in entries.values() if one["status"] != "not run"]
    story.claim("every benchmark that has data is done", bool(asked) and all(one["status"] == "done" for one in asked))
    story.claim("none has the name of a real one", all("miniature" in one.get("name", "") for one in asked))
    same = bool(own) and results.get("standard") == own["standard"]
    story.claim("the standard evaluation is the same beside them", done.code == 0 and same)


def run_all(folder: Path, steps: int, minutes: float) -> int:
    """Do everything in a folder and return the number of claims that do not hold."""
    started, story = time.perf_counter(), Story(folder)
    print("A checkpoint from training to benchmarks; lines after a bar are from the programs' logs.")
    train(story, steps)
    if story.broken:
        print("\nThere is no checkpoint to continue with.")
    else:
        benchmarks(story, evaluate(story), minutes)
    print(f"\nClaims that do not hold: {story.broken}. {time.perf_counter() - started:.0f} s in all.")
    return story.broken


def main() -> int:
    parser = argparse.ArgumentParser(description="Train, evaluate, override and run the benchmarks.")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument(
        "--minutes",
        type=float,
        default=24,
        help="length of a book; espeak-ng takes half of it, and 8000 positions are 10.7",
    )
    parser.add_argument("--folder", type=Path, help="keep everything there; a new folder")
    options = parser.parse_args()
    if options.folder is not None:
        options.folder.mkdir(parents=True)
        return int(run_all(options.folder.resolve(), options.steps, options.minutes) > 0)
    with tempfile.TemporaryDirectory() as folder:
        return int(run_all(Path(folder), options.steps, options.minutes) > 0)


if __name__ == "__main__":
    sys.exit(main())
