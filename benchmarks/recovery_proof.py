"""How often recovery is right: trainings with settings drawn at random, recovered from weights and data alone.

    python benchmarks/recovery_proof.py [--folder runs/recovery_proof] [--only NAME ...] [--output FILE.json]
        [--defaults]

Trains the small model of examples/ttt_moshi, each run with settings of its own: five in full, five with adapters on a
frozen base, two in bfloat16, two that stop early; two of the first are searched on other data as well. Every search
starts from the defaults of the layers' settings, as for a checkpoint without a document, and is given the weights of
the loss; with `--defaults` it starts from the defaults of those as well. What was found is kept beside each run, and
neither trained nor searched again. Prints the tables of docs/recovery.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import torch
from ttt_moshi import train
from ttt_moshi.recovery import Trained

import tttcfg
from tttcfg import find_checkpoint

CONFIG = Path(train.__file__).parent / "configs" / "train.yaml"
DRAWN: dict[str, tuple[Any, ...]] = {
    "ttt.mini_batch_size": (4, 8, 16, 32),
    "ttt.base_lr": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
    "ttt.rope_mode": ("off", "mini_batch"),
    "ttt.ttt_layer_context": (None, 2, 8),
    "ttt.read_out": ("once", "twice"),
    "ttt.persistent_states": ("never", "each_sequence"),
    "ttt.reconstruction_eps": (1e-5, 1e-2, 1.0),
    "text_padding_weight": (0.25, 0.5, 1.0),
    "first_codebook_weight_multiplier": (1.0, 4.0, 16.0),
}
WEIGHTS = ("text_padding_weight", "first_codebook_weight_multiplier")
CANDIDATES = {"ttt.reconstruction_eps": (1e-6, 1e-5, 1e-3, 1e-2, 0.1, 1.0)}
"""Of the others, what their declarations suggest."""
COMMON = ("overwrite_run_dir=true", "do_eval=false", "ttt.scan_checkpoint_group_size=0", "log_freq=100")
PIECES = ("batch_size=1", "num_microbatches=8", "duration_sec=6.4")
"""A recording in two pieces, one after the other: inner weights may persist from one to the next."""
ADAPTERS = ("full_finetuning=false", "lora.enable=true", "lora.rank=8", "max_steps=600", "ckpt_freq=0")
OTHER_DATA = '{"voices": {"seed": 77, "sequences": 20000, "words": 5, "sounds": 5}, "duration": 12.8}\n'
_EARLY = 120


class Case(NamedTuple):
    """A training, and how its checkpoint is searched."""

    name: str
    kind: str
    overrides: tuple[str, ...] = ()
    steps: int | None = None
    searched_on: str | None = None


CASES = (
    Case("full_1", "full"),
    Case("full_2", "full"),
    Case("full_3", "full"),
    Case("full_4", "full, in pieces", PIECES),
    Case("full_5", "full, in pieces", PIECES),
    *(Case(f"adapters_{number}", "adapters", ADAPTERS) for number in range(1, 5)),
    Case("adapters_5", "adapters, in pieces", (*ADAPTERS, *PIECES)),
    Case("bfloat16_1", "bfloat16", ("param_dtype=bfloat16",)),
    Case("bfloat16_2", "bfloat16", ("param_dtype=bfloat16",)),
    Case("early_1", f"stopped after {_EARLY} of 400 steps", (f"ckpt_freq={_EARLY}", "num_ckpt_keep=null"), _EARLY),
    Case("early_2", f"stopped after {_EARLY} of 400 steps", (f"ckpt_freq={_EARLY}", "num_ckpt_keep=null"), _EARLY),
    Case("full_1_other_data", "full, searched on other data", searched_on="full_1"),
    Case("full_2_other_data", "full, searched on other data", searched_on="full_2"),
)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train with settings drawn at random, and recover them.")
    parser.add_argument("--folder", type=Path, default=Path("runs/recovery_proof"))
    parser.add_argument("--only", nargs="+", default=[case.name for case in CASES], metavar="NAME")
    parser.add_argument("--defaults", action="store_true", help="give none of the settings, the weights included")
    parser.add_argument("--output", type=Path, help="write all that was found here, as JSON")
    options = parser.parse_args(words)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    given = () if options.defaults else WEIGHTS
    results = [result_of(case, options.folder, given) for case in CASES if case.name in options.only]
    if options.output is not None:
        options.output.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    sys.stdout.write(tables(results))


def result_of(case: Case, folder: Path, given: Collection[str]) -> dict[str, Any]:
    """Return what was found of a case, and what is true; trained and searched where that was not done before."""
    path = folder / case.name / ("recovery.json" if given else "recovery_from_defaults.json")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = searched(case, folder, given)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(found), "utf-8")
        unfinished.replace(path)
    return dict(json.loads(path.read_text("utf-8")))


def drawn(name: str) -> dict[str, Any]:
    """Return the settings of a training, drawn by its name."""
    generator = random.Random(name)
    return {key: generator.choice(values) for key, values in DRAWN.items()}


def trained(case: Case, folder: Path) -> Path:
    """Return the checkpoint of a case; trained where that was not done before, as a search may be interrupted."""
    name = case.searched_on or case.name
    run, done = folder / name / "run", folder / name / "trained"
    overrides = [f"run_dir={run}", *COMMON, *case.overrides, f"seed={len(name) + sum(map(ord, name))}"]
    overrides += [f"{key}={'null' if value is None else value}" for key, value in drawn(name).items()]
    if "adapters" in case.kind:
        base = folder / "base" / "run"
        if not base.with_name("trained").exists():
            train.train([str(CONFIG)], [f"run_dir={base}", *COMMON, "ttt.enable=false"])
            base.with_name("trained").touch()
        overrides.append(f"moshi_paths.moshi_path={find_checkpoint(base).weights[0]}")
    if not done.exists():
        train.train([str(CONFIG)], overrides)
        done.touch()
    return run if case.steps is None else run / "checkpoints" / f"checkpoint_{case.steps:06d}"


def searched(case: Case, folder: Path, given: Collection[str]) -> dict[str, Any]:
    """Search from what is given and the defaults of the rest, and return what was found beside what is true."""
    settings, checkpoint = drawn(case.searched_on or case.name), str(trained(case, folder))
    defaults = tttcfg.resolve().settings()
    start = {key: settings[key] if key in given else defaults[key] for key in DRAWN}
    effective = tttcfg.resolve(checkpoint, overrides=start)
    data = None
    if case.searched_on is not None:
        data = str(folder / case.name / "other.jsonl")
        Path(data).write_text(OTHER_DATA, "utf-8")
    own_base = effective.training.moshi_paths.moshi_path if "adapters" in case.kind else None
    started = time.perf_counter()
    found = Trained(checkpoint, effective, own_base, data).recover(list(DRAWN), CANDIDATES)
    sys.stderr.write(f"{case.name}: {settings}\n{found.table()}\n")
    return {
        "case": case.name,
        "kind": case.kind,
        "true": settings,
        "seconds": time.perf_counter() - started,
        **found.to_dict(),
    }


def judged(answer: Mapping[str, Any], true: Any) -> str:
    """Return whether an answer is right: recovered or narrowed to what is true, or nothing was said, or wrong."""
    if answer["outcome"] == "not_determined":
        return "not determined"
    return str(answer["outcome"]) if true in answer["remaining"] else "wrong"


def tables(results: Sequence[Mapping[str, Any]]) -> str:
    """Return one row for each training, and one for each setting."""
    said = "recovered | narrowed | not determined | wrong | lowest loss right"
    lines = [f"| training | {said} | passes | forward only |", "|---|---|---|---|---|---|---|---|"]
    by_setting: dict[str, Counter[str]] = {key: Counter() for key in DRAWN}
    for result in results:
        counts: Counter[str] = Counter()
        for key, answer in result["settings"].items():
            true = result["true"][key]
            right_by_loss = answer["lowest_loss"] == true and bool(answer["trials"])
            for counter in (counts, by_setting[key]):
                counter[judged(answer, true)] += 1
                counter["loss"] += right_by_loss
        passes = f"{result['passes']:,} | {result['forward']:,}"
        lines.append(f"| {result['case']} ({result['kind']}) | {_row(counts)} | {passes} |")
    lines += [
        "",
        f"| setting | {said} |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {key} | {_row(counts)} |" for key, counts in by_setting.items()]
    total = sum(by_setting.values(), Counter[str]())
    lines.append(f"| all | {_row(total)} |")
    return "\n".join(lines) + "\n"


def _row(counts: Mapping[str, int]) -> str:
    return " | ".join(str(counts.get(one, 0)) for one in ("recovered", "narrowed", "not determined", "wrong", "loss"))


if __name__ == "__main__":
    main()
