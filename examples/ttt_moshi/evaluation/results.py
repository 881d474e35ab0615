"""The results file: what was evaluated, under which configuration, and what came out.

    results_version   1; incremented when this layout changes
    tttcfg            the version that wrote it
    configuration     `digest` of all architecture and computation fields, as tttcfg has it, the `schema_version` it was
                      taken under, and those `fields` with their values
    checkpoint        `path`, `step`, and `weights_header_digest`, of the names, shapes and dtypes of the weights; null
                      if the model is not from a checkpoint
    standard          the standard evaluation; null if it was not requested; its `data` have the `path` that was given,
                      which may differ between results that are compared, and what determines the pieces
    paper_metrics     null if they were not requested, else
        tokenizer       what made the audio into tokens, with its configuration
        scoring         normalisation, codebook weights, what the streams held, how ties count
        benchmarks      by section of the configuration, each with the `layout` of its data and a `status`:
                        `done`      `name` that the data declare, figures, `data` with digests of what was scored, and
                                    `causal`: false where TTT layers took mini-batches of several positions, which see
                                    one another, so that the likelihoods are not strict ones
                        `not run`   `reason`
                        `error`     `problems`, all of them

A missing figure is absent, never 0. A `standard_error` is null if it cannot be estimated: of one value, or of equal
values.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tttcfg import Effective, InputError, Place, Problem, Role, __version__, find_checkpoint

from .benchmarks import DONE, ERROR, NOT_RUN

RESULTS_VERSION = 1
_STEP = re.compile(r"checkpoint_(\d+)")


def assemble(
    effective: Effective,
    *,
    checkpoint: str | os.PathLike[str] | None,
    standard: Mapping[str, Any] | None = None,
    paper_metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the results of one evaluation as they are written."""
    fields = effective.settings(Role.ARCHITECTURE, Role.COMPUTATION)
    version = effective.family.head
    return {
        "results_version": RESULTS_VERSION,
        "tttcfg": __version__,
        "configuration": {"digest": effective.digest, "schema_version": version, "fields": fields},
        "checkpoint": None if checkpoint is None else _checkpoint(effective, os.fspath(checkpoint)),
        "standard": None if standard is None else dict(standard),
        "paper_metrics": None if paper_metrics is None else dict(paper_metrics),
    }


def _checkpoint(effective: Effective, path: str) -> dict[str, Any]:
    folder = find_checkpoint(path).folder
    steps = _STEP.findall(folder)
    verification = effective.verification
    return {
        "path": folder,
        "step": int(steps[-1]) if steps else None,
        "weights_header_digest": verification.weights.header.digest if verification else None,
    }


def as_text(results: Mapping[str, Any]) -> str:
    """Return results as JSON.

    Raises:
        InputError: A number in them is not finite.
    """
    try:
        return json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        message = "a number in the results is NaN or infinite, so nothing is written"
        raise InputError(Problem("not_finite", message)) from None


def write(results: Mapping[str, Any], path: Path) -> None:
    """Write results as JSON.

    Raises:
        InputError: A number in them is not finite; nothing was written.
    """
    text = as_text(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def require_writable(path: Path) -> None:
    """Check that results can be written to a file, before they are computed; its folder is created.

    Raises:
        InputError: They cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("ab").close()
        if new:
            path.unlink()
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise InputError(Problem("unwritable", message, place=Place(str(path)))) from None


def read(path: Path) -> dict[str, Any]:
    """Return the results in a file.

    Raises:
        InputError: It cannot be read, is not a results file, or has another `results_version`.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Problem("unreadable", f"cannot be read: {error}", place=Place(str(path)))) from None
    version = found.get("results_version") if isinstance(found, dict) else None
    if version != RESULTS_VERSION:
        message = f"is {version!r}, and this program reads version {RESULTS_VERSION}"
        raise InputError(Problem("version", message, "results_version", Place(str(path))))
    return dict(found)


def exit_code(results: Mapping[str, Any]) -> int:
    """Return 0 if every requested result is there, else 1; it is 1 too if benchmarks were requested and none ran."""
    standard, paper = results["standard"], results["paper_metrics"]
    if standard is None and paper is None:
        return 1
    statuses = [] if paper is None else [entry["status"] for entry in paper["benchmarks"].values()]
    nothing_ran = paper is not None and DONE not in statuses
    return int(nothing_ran or ERROR in statuses)


def describe(results: Mapping[str, Any]) -> list[str]:
    """Return the benchmarks' results as lines to be logged."""
    paper = results["paper_metrics"]
    if paper is None:
        return []
    lines = [f"tokenizer: {json.dumps(paper['tokenizer'])}"]
    for entry in paper["benchmarks"].values():
        lines += _lines(entry)
    if all(entry["status"] == NOT_RUN for entry in paper["benchmarks"].values()):
        lines.append("no benchmark ran: the configuration names no data (evaluation.*.audio_dir)")
    return lines


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    if entry["status"] == NOT_RUN:
        yield f"{entry['layout']}: not run: {entry['reason']}"
    elif entry["status"] == ERROR:
        yield from (f"{entry['layout']}: error: {problem}" for problem in entry["problems"])
    elif "accuracy" in entry:
        between = "95 % interval {low:.4f} to {high:.4f}".format(**entry["interval"])
        pairs = f"{entry['pairs']} pairs, {entry['ties']} ties, {entry['unequal_lengths']} of unequal length"
        yield f"{entry['name']}: accuracy {entry['accuracy']:.4f} ({between}), {pairs}"
    else:
        for place, found in entry["loss"].items():
            longest = f"too short ({found.get('longest')} positions)"
            figure = _figure(found["mean"], found["standard_error"]) if found["status"] == DONE else longest
            yield f"{entry['name']}: loss at {place} {figure}"
        slope = entry["slope"]
        if slope:
            yield f"{entry['name']}: slope {_figure(slope['mean'], slope['standard_error'])} {slope['definition']}"
        yield f"{entry['name']}: figure {entry['figure']}"


def _figure(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


class Comparison(NamedTuple):
    """Whether two results are comparable, the reasons if not, and the figures that both have.

    `figures` has, by benchmark, the main figure of each: the accuracy, or the mean loss over all sequences. It includes
    benchmarks that scored the same data in the same way, even if the configurations differ.
    """

    comparable: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, tuple[float, float]]


def compare(left: Mapping[str, Any], right: Mapping[str, Any]) -> Comparison:
    """Return whether `left` and `right` are comparable: same configuration, same data, scored in the same way.

    Of the configurations only model-defining settings are compared; checkpoints may differ, since they are what is
    compared. `reasons` lists all differences, those of whole results first.
    """
    parts = ("standard", "paper_metrics")
    reasons = list(_configuration_reasons(left, right))
    reasons += [f"{part}: in one only" for part in parts if (left[part] is None) != (right[part] is None)]
    figures: dict[str, tuple[float, float]] = {}
    if left["standard"] and right["standard"]:
        reasons += [f"standard: {reason}" for reason in _standard_reasons(left["standard"], right["standard"])]
    if left["paper_metrics"] and right["paper_metrics"]:
        found, figures = _compare_papers(left["paper_metrics"], right["paper_metrics"])
        reasons += found
    if not any(left[part] and right[part] for part in parts):
        reasons.append("nothing was evaluated in both")
    return Comparison(not reasons, tuple(reasons), figures)


def _compare_papers(
    left: Mapping[str, Any], right: Mapping[str, Any]
) -> tuple[list[str], dict[str, tuple[float, float]]]:
    reasons = scoring = list(_scoring_reasons(left, right))
    figures: dict[str, tuple[float, float]] = {}
    for name, ours in left["benchmarks"].items():
        theirs = right["benchmarks"].get(name, {"status": NOT_RUN})
        found = list(_benchmark_reasons(ours, theirs))
        reasons = [*reasons, *(f"{ours['layout']}: {reason}" for reason in found)]
        if ours["status"] == theirs["status"] == DONE and not found and not scoring:
            figures[name] = main_figure(ours), main_figure(theirs)
    if not any(entry["status"] == DONE for entry in left["benchmarks"].values()):
        reasons.append("paper_metrics: no benchmark ran")
    return reasons, figures


def main_figure(entry: Mapping[str, Any]) -> float:
    """Return the one figure of a benchmark that is done: its accuracy, or the mean loss over all sequences."""
    if "accuracy" in entry:
        return float(entry["accuracy"])
    means = [sequence["mean"] for sequence in entry["sequences"]]
    return float(sum(means) / len(means))


def _configuration_reasons(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    ours, theirs = left["configuration"], right["configuration"]
    if ours["digest"] == theirs["digest"]:
        return
    if ours["schema_version"] != theirs["schema_version"]:
        versions = f"{ours['schema_version']} and {theirs['schema_version']}"
        yield f"the configurations' digests are of schema versions {versions}; evaluate again with one tttcfg"
    elif ours["fields"] == theirs["fields"]:
        yield "the configurations' digests differ, although their fields are equal: one file was edited"
    yield from _differences(ours["fields"], theirs["fields"])


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], what: str = "") -> Iterator[str]:
    for key in sorted({*ours, *theirs}):
        one, other = ours.get(key), theirs.get(key)
        if one != other:
            yield f"{what}{key} is {json.dumps(one)} in one and {json.dumps(other)} in the other"


def _standard_reasons(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    if "data" not in left or "data" not in right:
        yield "the data are not recorded"
    elif _without_path(left["data"]) != _without_path(right["data"]):
        yield "the data are not the same"


def _without_path(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "path"}


def _scoring_reasons(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    if left["tokenizer"] != right["tokenizer"]:
        yield f"the tokenizers differ: {json.dumps(left['tokenizer'])} and {json.dumps(right['tokenizer'])}"
    yield from _differences(left["scoring"], right["scoring"], "scoring: ")


def _benchmark_reasons(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    if left["status"] != DONE or right["status"] != DONE:
        if left["status"] != NOT_RUN or right["status"] != NOT_RUN:
            yield f"{left['status']} in one and {right['status']} in the other"
        return
    for key, what in (("data", "data"), ("piece", "pieces"), ("window", "windows"), ("max_positions", "lengths")):
        if left.get(key) != right.get(key):
            yield f"the {what} are not the same"
