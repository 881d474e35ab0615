"""One checkpoint, evaluated with its own configuration, with foreign ones through tttcfg, and with those the old way.

    python examples/ttt_moshi/experiment.py [--seeds 0 1 2] [--steps N] [--output FILE.json] [KEY=VALUE ...]

For every seed a model is trained on sequences that need a memory, about a minute each on a laptop's processor. Through
tttcfg every foreign configuration has to give the same losses to the last bit. For the old way (`old_way.py`) it prints
what refuses to load, what loads silently, and by how much the losses change: differences paired by sequence, with
standard errors. Likewise for single wrong settings (`wrong_settings.py`), and what detects each.

Prints Markdown tables; the figures of every seed go to --output:

    experiment_version  1; incremented when this layout changes
    tttcfg, torch, processors, seeds, data
    checkpoints         by seed: digests, loss, and loss and accuracy of the tokens that need the memory (`recall.py`)
    through_tttcfg      by foreign configuration: `identical`, `restored` settings, digests of configuration and losses
    old_way             by foreign configuration, without and with the five settings that the old program restored
    wrong               by wrong setting

Figures are in nats, accuracies are shares; each is the `mean` over seeds with its `standard_error` (null of one seed,
and where all are the same), and `seeds` has the same of each seed over its sequences. Exit codes: 0 fine; 1 a result
through tttcfg is not identical, or is refused; 2 wrong usage, invalid input, or a non-finite loss.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import tttcfg
from ttt_moshi import eval_from_checkpoint, evaluation, standard, train
from ttt_moshi.data import Dataset, open_dataset
from ttt_moshi.evaluation.summary import Mean, mean_of
from ttt_moshi.experiment_tables import markdown
from ttt_moshi.old_way import OldModel, old_model, restored_settings
from ttt_moshi.program import logger, parse_overrides, run
from ttt_moshi.recall import Scores, paired, score
from ttt_moshi.wrong_settings import Wrong, wrong_settings
from tttcfg import ContradictionError, find_checkpoint, read_model_config
from tttcfg import nn as tttnn

EXPERIMENT_VERSION = 1
CONFIGS = Path(__file__).resolve().parent / "configs"
PIECES = 4


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description="Show what a foreign configuration does to a checkpoint, with tttcfg and without.",
        epilog="Every other KEY=VALUE, --KEY=VALUE or --KEY VALUE overrides a setting of the training.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", default=str(CONFIGS / "train.yaml"), metavar="FILE", help="what is trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="one training for each")
    parser.add_argument("--steps", type=int, metavar="N", help="of every training; left out, the configuration's")
    parser.add_argument("--run_dir", type=Path, default=Path("runs/experiment"), metavar="PATH", help="is overwritten")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the figures of every seed here, as JSON")
    options, rest = parser.parse_known_args(words)
    overrides = parse_overrides(rest, parser)
    overrides += [f"max_steps={options.steps}"] if options.steps is not None else []
    if options.output is not None:
        evaluation.require_writable(options.output)
    results = experiment(options.config, overrides, options.seeds, options.run_dir)
    sys.stdout.write(markdown(results))
    if options.output is not None:
        evaluation.write(results, options.output)
    return exit_code(results)


def experiment(config: str, overrides: Sequence[str], seeds: Sequence[int], run_dir: Path) -> dict[str, Any]:
    """Return the results, as this module describes them.

    Raises:
        TttcfgError: A training or an evaluation through tttcfg fails; the old way may.
    """
    # One thread: the tensors are too small for more to pay, and their number may change the last bits.
    torch.set_num_threads(1)
    trials = []
    for seed in seeds:
        folder = run_dir / f"seed_{seed}"
        own = [f"seed={seed}", f"run_dir={folder}", "overwrite_run_dir=true"]
        train.train([config], [*overrides, *own])
        logger.info("Evaluating the checkpoint of seed %d", seed)
        with _quiet():
            trials.append(Trial(str(folder), config).results())
    parts = ("through_tttcfg", "old_way", "wrong")
    return {
        "experiment_version": EXPERIMENT_VERSION,
        "tttcfg": tttcfg.__version__,
        "torch": torch.__version__,
        "processors": os.cpu_count(),
        "seeds": list(seeds),
        "data": trials[0]["data"],
        "checkpoints": [one["checkpoint"] for one in trials],
        **{part: [combined(rows) for rows in zip(*(one[part] for one in trials), strict=True)] for part in parts},
    }


def exit_code(results: dict[str, Any]) -> int:
    """Return 0 where all results through tttcfg are identical, else 1."""
    return int(not all(row["identical"] for row in results["through_tttcfg"]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of every single one of many evaluations."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class Trial:
    """Everything that is done with one checkpoint.

    Args:
        config: The file that it was trained with.
    """

    def __init__(self, checkpoint: str, config: str) -> None:
        found = find_checkpoint(checkpoint)
        self.checkpoint, self.config, self.document = checkpoint, config, found.document or ""
        self.training = tttcfg.load_document(self.document).training
        self.model_config = read_model_config(found.model_config or "")
        self.data = self._data(self.training)
        mini_batch = self.training.ttt.mini_batch_size
        self.piece = max(1, self.data.tokens // PIECES // mini_batch) * mini_batch
        model = old_model(checkpoint, [self.document], {}).model
        assert model is not None  # its own configuration
        self.own = {in_pieces: self._score(model, in_pieces) for in_pieces in (False, True)}

    def _data(self, training: tttcfg.TrainingArgs) -> Dataset:
        return open_dataset(training.data.eval_data, "data.eval_data", self.model_config, training)

    def _score(self, model: Any, in_pieces: bool) -> Scores:
        return score(model, self.data, self.training, self.piece if in_pieces else None)

    def results(self) -> dict[str, Any]:
        """Return the results of this checkpoint alone."""
        foreign = sorted((CONFIGS / "foreign").glob("*.yaml"))
        own = self._evaluated(self.config)
        scores = self.own[False]
        return {
            "data": own["standard"]["data"],
            "checkpoint": {
                "seed": self.training.seed,
                **_digests(own),
                "weights_header_digest": own["checkpoint"]["weights_header_digest"],
                **{name: _figure(_mean(getattr(scores, name))) for name in Scores._fields},
            },
            "through_tttcfg": [self.through_tttcfg(path, own) for path in foreign],
            "old_way": [self.by_old_way(path, five) for five in (False, True) for path in foreign],
            "wrong": [self.with_one_wrong(wrong) for wrong in wrong_settings(1 + self.model_config["n_q"])],
        }

    def through_tttcfg(self, config: Path, own: dict[str, Any]) -> dict[str, Any]:
        """Evaluate with a foreign configuration, and compare with what its own gives."""
        found = self._evaluated(str(config))
        findings = tttcfg.resolve(self.checkpoint, config).findings
        return {
            "name": config.stem,
            "identical": found["standard"] == own["standard"] and _digests(found) == _digests(own),
            "restored": [one.key for one in findings if one.code == "restored"],
            **_digests(found),
        }

    def _evaluated(self, config: str) -> dict[str, Any]:
        """Return what the evaluation program gives with a configuration, on this checkpoint's data."""
        data = f"data.eval_data={self.training.data.eval_data}"
        return eval_from_checkpoint.evaluate(self.checkpoint, [config], [data], "standard")

    def by_old_way(self, path: Path, five: bool) -> dict[str, Any]:
        """Load the weights into the model of a foreign configuration; `five` settings restored, or none."""
        data = {"data": {"eval_data": self.training.data.eval_data}}
        config = [path, data, restored_settings(self.training) if five else {}]
        old = old_model(self.checkpoint, config, {})
        reported = standard.evaluate(old.model, self._data(old.training), old.training) if old.model else None
        return {
            "name": path.stem,
            "five_restored": five,
            **self._outcome(old, in_pieces=False),
            "reported_loss": _figure(Mean(reported["loss"], reported["loss_standard_error"]) if reported else None),
        }

    def with_one_wrong(self, wrong: Wrong) -> dict[str, Any]:
        """Load the weights into the model of their own configuration with one thing wrong."""
        old = old_model(self.checkpoint, [self.document, wrong.mapping()], wrong.model_settings)
        if old.model is not None and wrong.alpha is not None:
            for name, parameter in old.model.named_parameters():
                if name.endswith("gating_alpha"):
                    torch.nn.init.constant_(parameter, wrong.alpha)
        return {"name": wrong.name, **self._outcome(old, wrong.in_pieces)}

    def _outcome(self, old: OldModel, in_pieces: bool) -> dict[str, Any]:
        """Return how it loaded, what noticed, and the changes against the checkpoint's own configuration."""
        found = self._score(old.model, in_pieces) if old.model else None
        own = self.own[in_pieces]
        changes = {name: paired(getattr(found, name), getattr(own, name)) if found else None for name in Scores._fields}
        return {
            "strict": old.loading.strict,
            "lenient": old.loading.lenient,
            "missing": old.loading.missing,
            "unexpected": old.loading.unexpected,
            "contradicting": list(old.contradicting),
            "caught_by_fingerprint": old.model is not None and _other_computation(old.model, self.checkpoint),
            "change": {name: _figure(change) for name, change in changes.items()},
        }


def _other_computation(model: Any, checkpoint: str) -> bool:
    try:
        tttnn.check_computation(model, checkpoint)
    except ContradictionError:
        return True
    return False


def _digests(results: dict[str, Any]) -> dict[str, str]:
    losses = json.dumps(results["standard"]["per_sequence"])  # floats as the shortest text that gives all their bits
    return {
        "configuration_digest": results["configuration"]["digest"],
        "losses_digest": f"sha256:{hashlib.sha256(losses.encode()).hexdigest()}",
    }


def _mean(values: Sequence[float | None]) -> Mean | None:
    return paired(values, [0.0] * len(values))


def _figure(mean: Mean | None) -> dict[str, Any] | None:
    return mean and {"mean": mean.value, "standard_error": mean.standard_error}


def combined(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the same row of all seeds as one: means of figures, lists of digests, how often the fingerprint noticed.

    Everything else is that of the first seed: it depends on configurations, names and shapes alone.
    """
    found: dict[str, Any] = {}
    for key, value in rows[0].items():
        values = [row[key] for row in rows]
        if key.endswith("_digest"):
            found[f"{key}s"] = values
        elif key == "change":
            found[key] = {name: _over_seeds([one[name] for one in values]) for name in value}
        elif key == "reported_loss":
            found[key] = _over_seeds(values)
        elif key == "identical":
            found[key] = all(values)
        elif key == "caught_by_fingerprint":
            found[key] = sum(values)
        else:
            found[key] = value
    return found


def _over_seeds(figures: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    there = [one for one in figures if one is not None]
    if not there:
        return None
    return {**(_figure(mean_of([one["mean"] for one in there])) or {}), "seeds": there}


if __name__ == "__main__":
    run(main)
