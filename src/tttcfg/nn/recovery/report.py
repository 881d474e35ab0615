"""What a search found, as an object, as JSON, as a table, and as a picture."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tttcfg.documents.effective import Effective
from tttcfg.errors import InputError, Problem, WriteError
from tttcfg.nn.recovery.answers import NEAR, Answer
from tttcfg.nn.recovery.contest import SEPARATED, Trial, Values
from tttcfg.nn.recovery.stationarity import Estimate
from tttcfg.schema.fields import plain

RECOVERY_VERSION = 1
"""Incremented when the layout of the JSON object changes."""
_COLUMNS, _MOST = 3, 8
_PANEL = 3.2, 2.4


@dataclass(frozen=True)
class Recovery:
    """What was found, by dotted name, and what that took.

    Attributes:
        effective: The configuration from which the search started; what was not asked for was as it is there.
        answers: One for each setting that was asked for.
        together: Combinations of several settings that are as near as the best, where one of the changes alone is not.
        best: What the best setting showed, with which all are compared; None where the passes were used up before that.
        settled: What the given configuration showed with what was recovered in it, compared with the best; None without
            anything recovered.
        data: The SHA-256 of all batches.
        batches: How many there were, on all ranks.
        passes: How many batches were measured on each rank, all settings together.
        forward: Of how many of them only the loss was computed: forward passes without backward ones.
        weights: What identifies the weights' files as they were when the search began, by path.
    """

    effective: Effective
    answers: Mapping[str, Answer]
    together: tuple[Values, ...]
    best: Trial | None
    settled: Trial | None
    data: str
    batches: int
    passes: int
    forward: int
    weights: Mapping[str, tuple[int, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON holds it; what is infinite is null."""
        return _to_dict(self)

    def table(self) -> str:
        """Return the answers for people, with what every value showed."""
        return _table(self)

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the squared norm by candidate, a panel for each setting, into a file (PNG, SVG, PDF).

        Raises:
            InputError: matplotlib is not installed, or the file's ending is none of a picture.
            WriteError: The file cannot be written.
        """
        _draw(self, path)


def _to_dict(found: Recovery) -> dict[str, Any]:
    """Return a recovery as JSON holds it."""
    return {
        "recovery_version": RECOVERY_VERSION,
        "separated_by": SEPARATED,
        "near": NEAR,
        "settings": {name: _answer(one) for name, one in found.answers.items()},
        "together": [_values(one) for one in found.together],
        "best": None if found.best is None else {"values": _values(found.best.values), **_trial(found.best)},
        "settled": None
        if found.settled is None
        else {"values": _values(found.settled.values), **_trial(found.settled)},
        "data": found.data,
        "batches": found.batches,
        "passes": found.passes,
        "forward": found.forward,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "outcome": answer.outcome,
        "value": plain(answer.value),
        "remaining": [plain(one) for one in answer.remaining],
        "separation": _finite(answer.separation),
        "reason": answer.reason,
        "lowest_loss": plain(answer.lowest_loss),
        "trials": [{"value": plain(one.values[answer.name]), **_trial(one)} for one in answer.trials],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "squared_norm": estimate_to_dict(trial.squared_norm),
        "beyond": estimate_to_dict(trial.beyond),
        "unclipped": estimate_to_dict(trial.unclipped),
        "loss": _finite(trial.loss),
    }


def estimate_to_dict(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON holds it."""
    return {
        "value": _finite(estimate.value),
        "standard_error": _finite(estimate.error),
        "standard_errors": _finite(estimate.errors),
        "batches": estimate.batches,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.items()}


def _table(found: Recovery) -> str:
    """Return the answers as lines of text."""
    width = max(map(len, found.answers), default=0)
    lines = [f"{'setting':{width}}  answer"]
    for name, answer in found.answers.items():
        lines.append(f"{name:{width}}  {_said(answer)}")
        if answer.trials:
            lines.append(f"{'':{width}}  {_shown(answer)}")
    if found.together and found.best is not None:
        lines.append("as near as the best, together:")
        changes = [_changes(one, found.best.values) for one in found.together]
        lines += [f"  {one}" for one in changes[:_MOST]]
        lines += [f"  and {len(changes) - _MOST} more"] if len(changes) > _MOST else []
    if found.best is not None:
        norm = found.best.squared_norm
        lines.append(f"squared norm at the best: {norm.value:.3g} ± {norm.error:.2g}, by {norm.batches} batches")
    passes = f"{found.passes:,} batches of {found.batches}, all settings together, of {found.forward:,} the loss alone"
    lines.append(f"measured: {passes}; data {found.data}")
    return "\n".join(lines)


def _changes(values: Values, best: Values) -> str:
    """Return where a setting differs from the best."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items() if value != best[name])


def _said(answer: Answer) -> str:
    if answer.outcome == "recovered":
        apart = f"; others that were tried are {answer.separation:.1f} standard errors and more further away"
        return f"recovered: {value_text(answer.value)}{apart if math.isfinite(answer.separation) else ''}"
    if answer.outcome == "narrowed":
        return f"narrowed to {', '.join(map(value_text, answer.remaining))}"
    return f"not determined: {answer.reason}"


def _shown(answer: Answer) -> str:
    """Return by how many standard errors every value is further away than the best, and where the loss is lowest."""
    found = {json.dumps(plain(one.values[answer.name])): one for one in answer.trials}
    ordered = sorted(found.values(), key=lambda one: value_order(one.values[answer.name]))
    errors = "  ".join(f"{value_text(one.values[answer.name])}: {one.beyond.errors:.1f}" for one in ordered)
    return f"{errors}  (lowest loss: {value_text(answer.lowest_loss)})"


def value_order(value: Any) -> tuple[bool, float, str]:
    """Return what sorts numbers by size, then other values by their text."""
    number = isinstance(value, (int, float))
    return not number, float(value) if number else 0.0, str(value)


def value_text(value: Any) -> str:
    """Return a value as the tables have it."""
    return f"{value:g}" if isinstance(value, float) else str(plain(value) if value is not None else "null")


def _draw(found: Recovery, path: str | os.PathLike[str]) -> None:
    """Draw the squared norm by candidate; see `Recovery.draw`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and half a second to import
        from matplotlib.figure import Figure
    except ImportError:
        message, advice = "needs matplotlib", 'install it: pip install "tttcfg[plot]"'
        raise InputError(Problem("missing", message, "plot", advice=advice)) from None
    drawn = [one for one in found.answers.values() if one.trials]
    columns = min(_COLUMNS, max(1, len(drawn)))
    rows = max(1, math.ceil(len(drawn) / columns))
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, answer in enumerate(drawn, 1):
        axes = figure.add_subplot(rows, columns, number)
        _panel(axes, answer)
    figure.supylabel("squared norm of the expected gradient", fontsize="small")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise WriteError(
            Problem("unwritable", f"cannot be written: {error.strerror or error}", place=str(path))
        ) from None
    except ValueError as error:  # of an ending that is no picture's
        raise InputError(Problem("rejected", str(error), place=str(path))) from None


def _panel(axes: Any, answer: Answer) -> None:
    ordered = sorted(answer.trials, key=lambda one: value_order(one.values[answer.name]))
    finite = [one for one in ordered if math.isfinite(one.squared_norm.value)]
    labels = [value_text(one.values[answer.name]) for one in ordered]
    for remains, colour in ((True, "tab:blue"), (False, "lightgrey")):
        shown = [one for one in finite if (one.values[answer.name] in answer.remaining) == remains]
        axes.errorbar(
            [ordered.index(one) for one in shown],
            [one.squared_norm.value for one in shown],
            [one.squared_norm.error for one in shown],
            fmt="o",
            color=colour,
            capsize=2,
        )
    if smallest := min((one.squared_norm.error for one in finite if one.squared_norm.error), default=0.0):
        axes.set_yscale("symlog", linthresh=2 * smallest)
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set_xticks(range(len(labels)), labels, rotation=45 if max(map(len, labels)) > _COLUMNS else 0)
    axes.set_title(f"{answer.name}: {answer.outcome.replace('_', ' ')}", fontsize="small")
