"""`tttcfg diff`: what differs between two configurations."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from tttcfg.api import diff as diff_api
from tttcfg.api import load_document, resolve
from tttcfg.cli.options import FAMILY
from tttcfg.cli.terminal import Output, effective_of, ink, print_err, print_json, print_out
from tttcfg.documents.checkpoint import find_checkpoint, weight_names
from tttcfg.documents.document import DOCUMENT_NAME, Document
from tttcfg.documents.effective import Effective
from tttcfg.errors import ContradictionError, InputError, Problem, printable
from tttcfg.family.extension import KEY as EXTENSIONS
from tttcfg.family.family import Family
from tttcfg.formats.endings import read_file
from tttcfg.report import render
from tttcfg.resolving.config import Given, given, whole_document
from tttcfg.resolving.families import chosen_family
from tttcfg.urls import address, is_url

_OF_CHECKPOINTS = (".safetensors", ".safetensors.index.json", ".pt")


def diff(
    sides: Annotated[
        list[str], typer.Argument(metavar="SIDE", help="Two paths, each with KEY=VALUE overrides after it.")
    ],
    family: FAMILY = None,
    output: Annotated[Output, typer.Option("--output", help="Form of the result.")] = Output.text,
) -> None:
    """Compare two configurations, field by field, grouped by role.

    Each side is a checkpoint, a saved document or a configuration file, with overrides after it if
    you like. A file is a saved document if it is called training_config.json or has every field of
    a version; any other file is a configuration file, completed with defaults. The exit code is 0
    where nothing differs and 1 where something does.

    \b
    Examples:
      tttcfg diff runs/a runs/b
      tttcfg diff runs/a/checkpoints/checkpoint_001000 configs/any.yaml
      tttcfg diff runs/a ttt.base_lr=0.1 runs/b
    """
    chosen, configurations = chosen_family(family), []
    for letter, (path, overrides) in zip("AB", _split(sides), strict=True):
        configuration, how = _configuration(path, overrides, chosen)
        print_err(f"{letter}: {printable(how)}")
        for name in configuration.passed_through:
            print_err(f"{letter}: not compared: the extension {printable(name)}, which is not installed")
        configurations.append(configuration)
    found = diff_api(*configurations, family=chosen)
    if output is Output.json:
        print_json([{**one._asdict(), "role": one.role.value} for one in found])
    elif found:
        print_out(render.differences_text(found, ink(sys.stdout)))
    else:
        print_err("no difference")
    raise typer.Exit(1 if found else 0)


def _split(words: list[str]) -> list[tuple[str, list[str]]]:
    sides: list[tuple[str, list[str]]] = []
    for word in words:
        if sides and "=" in word and not os.path.exists(word) and not is_url(word.partition("=")[0]):
            sides[-1][1].append(word)
        else:
            sides.append((word, []))
    if len(sides) != 2:
        raise InputError(
            Problem("override", f"diff compares two sides, not {len(sides)}: {', '.join(side for side, _ in sides)}")
        )
    return sides


def _configuration(path: str, overrides: list[str], family: Family) -> tuple[Document | Effective, str]:
    """Return the configuration of a side, and how the side was read."""
    path = address(path)
    if not path or os.path.isdir(path) or path.endswith(_OF_CHECKPOINTS):
        found = find_checkpoint(path, weight_names(family))
        for problem in found.passed_over:
            print_err(f"warning: {printable(str(problem))}")
        if found.document is None:
            effective = _resolved(None, overrides, family, path)
            embedded = any(origins[0].source == "checkpoint" for origins in effective.origins.values())
            how = "as embedded in its weights" if embedded else "from its weights, completed with defaults"
            return effective, f"checkpoint {found.folder} without {DOCUMENT_NAME}, {how}"
        return _saved(load_document(found.document, family=family), overrides, f"checkpoint {found.folder}")
    if os.path.basename(path) == DOCUMENT_NAME:
        return _saved(load_document(path, family=family), overrides, "saved document")
    tree = read_file(path)
    if (document := whole_document(tree, family)) is not None:
        return _saved(document, overrides, "saved document")
    return _resolved(given(tree, family), overrides, family), "configuration file, completed with defaults"


def _saved(document: Document, overrides: list[str], what: str) -> tuple[Document | Effective, str]:
    what = f"{what}, version {document.version}"
    if not overrides:
        return document, what
    given = document.training.model_dump(mode="json")
    parts = {name: part.training.model_dump(mode="json") for name, part in document.parts.items()}
    return _resolved({**given, **({EXTENSIONS: parts} if parts else {})}, overrides, document.family), what


def _resolved(
    config: Given | dict[str, Any] | None, overrides: list[str], family: Family, checkpoint: str | None = None
) -> Effective:
    try:
        return resolve(checkpoint, config, overrides, family=family)
    except ContradictionError as error:  # it differs or not, whatever contradicts it
        return effective_of(error)
