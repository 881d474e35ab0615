"""Curves of the loss along long sequences, as a PNG file; needs matplotlib, which nothing else does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from .summary import POSITIONS


def draw(curves: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> str:
    """Draw one curve per sequence and return the file's name, or why there is none."""
    try:
        figure_of = import_module("matplotlib.figure").Figure
        canvas_of = import_module("matplotlib.backends.backend_agg").FigureCanvasAgg
    except ImportError:
        return "not drawn (matplotlib is not installed)"
    figure = figure_of(figsize=(7, 4), layout="constrained")
    canvas_of(figure)
    axes = figure.add_subplot()
    for name, points in curves.items():
        axes.plot([position for position, _ in points], [loss for _, loss in points], marker=".", label=name)
    longest = max((points[-1][0] for points in curves.values() if points), default=0)
    for name, position in POSITIONS.items():
        if position <= longest:
            axes.axvline(position, linestyle=":", color="grey")
            axes.annotate(name, (position, 1), xycoords=("data", "axes fraction"), va="bottom", ha="center")
    axes.set_xlabel("position (12.5 a second)")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    return path.name
