"""`tttcfg diff`: what differs between two configurations."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from tttcfg import render
from tttcfg.api import diff as diff_api
from tttcfg.api import load_document, resolve
from tttcfg.cli.terminal import ink, say, say_json, tell
from tttcfg.document import DOCUMENT_NAME
from tttcfg.errors import ContradictionError, InputError, Problem


class Output(str, Enum):
    text = "text"
    json = "json"


def diff(
    sides: Annotated[
        list[str], typer.Argument(metavar="SIDE", help="Two paths, each with KEY=VALUE overrides after it.")
    ],
    output: Annotated[Output, typer.Option("--output", help="Form of the result.")] = Output.text,
) -> None:
    """Compare two configurations, field by field, grouped by role.

    Each side is a checkpoint, a saved document or a configuration file, with overrides after it if
    you like. A configuration file is completed with defaults. The exit code is 0 where nothing
    differs and 1 where something does.

    \b
    Examples:
      tttcfg diff runs/a runs/b
      tttcfg diff runs/a/checkpoints/checkpoint_001000 configs/any.yaml
      tttcfg diff runs/a ttt.base_lr=0.1 runs/b
    """
    (left, left_overrides), (right, right_overrides) = _split(sides)
    found = diff_api(_training(left, left_overrides), _training(right, right_overrides))
    if output is Output.json:
        say_json([{**one._asdict(), "role": one.role.value} for one in found])
    elif found:
        say(render.differences_text(found, ink(sys.stdout)))
    else:
        tell("no difference")
    raise typer.Exit(1 if found else 0)


def _split(words: list[str]) -> list[tuple[str, list[str]]]:
    sides: list[tuple[str, list[str]]] = []
    for word in words:
        if sides and "=" in word and not Path(word).exists():
            sides[-1][1].append(word)
        else:
            sides.append((word, []))
    if len(sides) != 2:
        raise InputError(
            Problem("override", f"diff compares two sides, not {len(sides)}: {', '.join(side for side, _ in sides)}")
        )
    return sides


def _training(path: str, overrides: list[str]) -> Any:
    name = Path(path)
    try:
        if name.is_dir() or name.suffix in (".safetensors", ".pt"):
            return resolve(path, None, overrides).training
        if name.name == DOCUMENT_NAME:
            document = load_document(path)
            return resolve(path, None, overrides).training if overrides else document.training
        return resolve(None, path, overrides).training
    except ContradictionError as error:
        return getattr(error.effective, "training", None)
