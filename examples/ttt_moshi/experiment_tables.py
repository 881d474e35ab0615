"""The experiment's results as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

FIGURES = ("loss, nats", "recall loss, nats", "recall accuracy, %")
LOADED = ("strict=True", "strict=False", "change of loss, nats", "of recall loss, nats", "of recall accuracy, points")
NOTICED = ("load_checkpoint refuses", "check_computation refuses")
PERCENT = {"scale": 100, "digits": 1, "most": 2}


def markdown(results: Mapping[str, Any]) -> str:
    """Return all tables; changes are those against the checkpoint's own configuration."""
    seeds = len(results["seeds"])
    spread = "its sequences" if seeds == 1 else f"{seeds} seeds"
    machine = f"tttcfg {results['tttcfg']}, torch {results['torch']}, {results['processors']} processors"
    errors = f"of a checkpoint's figures over its sequences, of a change over {spread}, of values all the same none"
    parts = [
        f"{machine}. ± is a standard error: {errors}.\n",
        "### Checkpoints, with their own configuration\n",
        _table(("seed", *FIGURES, "digest of the losses"), map(_checkpoint, results["checkpoints"])),
        "### Foreign configurations, through tttcfg\n",
        _table(("configuration", "restored from the checkpoint", "losses"), map(_through, results["through_tttcfg"])),
        "### Foreign configurations, the old way: the weights alone\n",
        _of_old_way([row for row in results["old_way"] if not row["five_restored"]], seeds),
        "### Foreign configurations, the old way: five settings restored\n",
        _of_old_way([row for row in results["old_way"] if row["five_restored"]], seeds),
        "### One thing wrong\n",
        _table(("wrong", *LOADED, *NOTICED), ([*_outcome(row), *_noticed(row, seeds)] for row in results["wrong"])),
    ]
    if seeds > 1:
        rows = [row for row in results["wrong"] if not row["strict"] and row["change"]["loss"]["mean"]]
        table = _table(("wrong", *(f"seed {seed}" for seed in results["seeds"])), map(_by_seed, rows))
        parts += ["### Change of loss by seed, nats, ± over its sequences\n", table]
    return "\n".join(parts)


def _of_old_way(rows: Sequence[Mapping[str, Any]], seeds: int) -> str:
    lines = ([*_outcome(row), _absolute(row["reported_loss"]), *_noticed(row, seeds)] for row in rows)
    return _table(("configuration", *LOADED, "loss that is reported", *NOTICED), lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _checkpoint(found: Mapping[str, Any]) -> list[str]:
    loss, recall, accuracy = found["loss"], found["recall_loss"], found["recall_accuracy"]
    digest = found["losses_digest"].partition(":")[2][:12]
    return [str(found["seed"]), _absolute(loss), _absolute(recall), _absolute(accuracy, **PERCENT), digest]


def _through(row: Mapping[str, Any]) -> list[str]:
    outcome = "identical to the last bit" if row["identical"] else "**not identical**"
    return [row["name"], ", ".join(f"`{key}`" for key in row["restored"]), outcome]


def _by_seed(row: Mapping[str, Any]) -> list[str]:
    return [row["name"], *(_text(one, "+") for one in row["change"]["loss"]["seeds"])]


def _outcome(row: Mapping[str, Any]) -> list[str]:
    change = row["change"]
    changes = _change(change["loss"]), _change(change["recall_loss"]), _change(change["recall_accuracy"], **PERCENT)
    return [row["name"], *_loading(row), *changes]


def _loading(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what loading reports; where tensors are left out, how many."""
    if not row["strict"]:
        yield from ("loads", "loads")
        return
    yield "error"
    left_out = f"{row['missing']} missing, {row['unexpected']} unexpected"
    yield f"error: {row['lenient'].partition(' (')[0]}" if row["lenient"] else f"loads: {left_out}"


def _noticed(row: Mapping[str, Any], seeds: int) -> Iterator[str]:
    """Yield whether load_checkpoint and check_computation refuse it; the second sees nothing where nothing loads."""
    yield "yes" if row["contradicting"] else "no"
    seen = row["caught_by_fingerprint"]
    if row["lenient"]:
        yield "-"
    else:
        yield "yes" if seen == seeds else f"{seen} of {seeds}" if seen else "no"


def _change(figure: Mapping[str, Any] | None, **form: int) -> str:
    if figure is None:
        return "-"
    if all(one["mean"] == 0 and not one["standard_error"] for one in figure["seeds"]):
        return "0"
    return _text(figure, "+", **form)


def _absolute(figure: Mapping[str, Any] | None, **form: int) -> str:
    return "-" if figure is None else _text(figure, "", **form)


def _text(figure: Mapping[str, Any], sign: str, scale: int = 1, digits: int = 4, most: int = 6) -> str:
    """Return a mean ± its standard error, with so many digits that the error shows two, within bounds."""
    error = figure["standard_error"]
    if error is None:  # one seed: its sequences have one
        error = figure.get("seeds", [figure])[0]["standard_error"]
    if error:
        digits = max(digits, min(most, 1 - math.floor(math.log10(scale * error))))
    spread = f" ± {scale * error:.{digits}f}" if error is not None else ""
    return f"{scale * figure['mean']:{sign}.{digits}f}{spread}"
