"""`tttcfg diff`: what differs between two configurations."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NamedTuple, cast

import typer

from tttcfg.api import diff as diff_api
from tttcfg.api import resolve
from tttcfg.cli.options import FAMILY, OUTPUT
from tttcfg.cli.terminal import ink, print_err, print_json, print_out
from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint, opened_checkpoint, weight_names
from tttcfg.documents.document import DOCUMENT_NAME, Document
from tttcfg.documents.effective import Effective, attempted
from tttcfg.errors import InputError, Problem, Problems, printable
from tttcfg.family.family import Family
from tttcfg.formats.endings import read_file
from tttcfg.formats.text import ParsedFile
from tttcfg.report import render
from tttcfg.resolving.config import Given, given, whole_document
from tttcfg.resolving.families import chosen_family, named_family, of_second, read_document
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.urls import address, is_url

_SIDES = "a side is a path, and what follows it KEY=VALUE"
_OF_CHECKPOINTS = (".safetensors", ".safetensors.index.json", ".pt")


def diff(
    sides: Annotated[
        list[str], typer.Argument(metavar="SIDE", help="Two paths, each with KEY=VALUE overrides after it.")
    ],
    family: FAMILY = None,
    output: OUTPUT = "text",
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
    chosen = chosen_family(family)
    both = _sides(_split(sides), chosen)
    for problem in (one for side in both for one in side.passed_over):
        print_err(f"warning: {printable(str(problem))}")
    for letter, (configuration, how, _) in zip("AB", both, strict=True):
        print_err(f"{letter}: {printable(how)}")
        for name in configuration.passed_through:
            print_err(f"{letter}: not compared: the extension {printable(name)}, which is not installed")
    differences = diff_api(*(side.configuration for side in both), family=chosen)
    if output == "json":
        print_json([{**one._asdict(), "role": one.role.value} for one in differences])
    elif differences:
        print_out(render.differences_text(differences, ink(sys.stdout)))
    else:
        print_err("no difference")
    raise typer.Exit(1 if differences else 0)


def _split(words: list[str]) -> list[tuple[str, list[str]]]:
    sides: list[tuple[str, list[str]]] = []
    for word in words:
        if "=" in word and not os.path.exists(word) and not is_url(word.partition("=")[0]):
            if not sides:
                message = "an override follows the side that it is for, and none precedes the first one"
                raise InputError(Problem("override", message))
            sides[-1][1].append(word)
        else:
            sides.append((word, []))
    if len(sides) != 2:
        raise InputError(Problem("override", f"diff compares two sides, not {len(sides)}", advice=_SIDES))
    return sides


class _Side(NamedTuple):
    """The configuration of a side, how the side was read, and the newer steps that hold no checkpoint."""

    configuration: Document | Effective
    how: str
    passed_over: tuple[Problem, ...] = ()


def _sides(given: list[tuple[str, list[str]]], chosen: Family | None) -> list[_Side]:
    """Read both sides, as of the family that is chosen or that one of them names.

    Raises:
        InputError: A side cannot be read; the problems of both.
    """
    problems = Problems()
    opened = [(problems.attempt(_opened, path, chosen), overrides) for path, overrides in given]
    own = chosen or next((one.family for one, _ in opened if one is not None and one.family is not None), None)
    found: list[Any] = [None] * len(opened)
    for late in (False, True) if own is not None else (True, False):  # weights may name the family of both
        for index, (side, overrides) in enumerate(opened):
            if side is not None and side.is_weights is late:
                found[index] = problems.attempt(_configuration, side, overrides, own)
            if own is None and found[index] is not None:
                own = found[index].configuration.family
    if problems:
        raise InputError(problems if chosen is not None or own is None else map(of_second, problems))
    return found


class _Opened(NamedTuple):
    """A side that is read and not understood yet.

    Attributes:
        family: That which it names; None where it names none, or does so in its weights.
        checkpoint: The checkpoint that its document lies in, if it lies in one.
        document: The saved document that it is, or that lies in the checkpoint.
        tree: What is in any other file; without a document and this, it is weights, or nothing.
    """

    path: str
    family: Family | None = None
    checkpoint: Checkpoint | None = None
    document: Document | None = None
    tree: ParsedFile | None = None

    @property
    def is_weights(self) -> bool:
        """Whether only resolving finds the family that it names: a configuration may be embedded in weights."""
        return self.document is None and self.tree is None


def _opened(path: str, family: Family | None) -> _Opened:
    path = address(path)
    if not path or os.path.isdir(path) or path.endswith(_OF_CHECKPOINTS):
        try:
            with opened_checkpoint(path, weight_names(family or TTT_MOSHI)) as found:
                if found.document is not None:
                    document = read_document(found.document, family)
                    return _Opened(path, document.family, found, document)
        except InputError as error:
            if {one.code for one in error.problems} != {"not_found"}:
                raise
        return _Opened(path)  # whose weights may have a name that the other side's family knows
    if os.path.basename(path) == DOCUMENT_NAME:
        document = read_document(path, family)
        return _Opened(path, document.family, None, document)
    tree = read_file(path, family.configuration_cap if family is not None else 0)
    return _Opened(path, named_family(tree.values), tree=tree)


def _configuration(side: _Opened, overrides: list[str], family: Family | None) -> _Side:
    found, document = side.checkpoint, side.document
    if found is not None and document is not None:
        return _saved(document, overrides, f"checkpoint {found.folder}")._replace(passed_over=found.passed_over)
    if side.is_weights:
        effective = _resolved(None, overrides, family, side.path)
        found = find_checkpoint(side.path, weight_names(effective.family))
        embedded = any(origins[0].source == "checkpoint" for origins in effective.origins.values())
        how = "as embedded in its weights" if embedded else "from its weights, completed with defaults"
        return _Side(effective, f"checkpoint {found.folder} without {DOCUMENT_NAME}, {how}", found.passed_over)
    own = family or TTT_MOSHI
    if side.tree is not None:
        document = whole_document(side.tree, own)
    if document is not None or side.tree is None:
        return _saved(cast("Document", document), overrides, "saved document")
    return _Side(_resolved(given(side.tree, own), overrides, own), "configuration file, completed with defaults")


def _saved(document: Document, overrides: list[str], what: str) -> _Side:
    what = f"{what}, version {document.version}"
    if document.recovered:
        what += f", with recovered values of {', '.join(document.recovered)}"
    if not overrides:
        return _Side(document, what)
    return _Side(_resolved(render.settings_of(document), overrides, document.family), what)


def _resolved(
    config: Given | dict[str, Any] | None, overrides: list[str], family: Family | None, checkpoint: str | None = None
) -> Effective:
    effective, _ = attempted(lambda: resolve(checkpoint, config, overrides, family=family))
    return effective  # it differs or not, whatever contradicts it
