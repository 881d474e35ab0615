"""Anything that holds a configuration, as a document; and a document as it is saved in one place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tttcfg.checkpoint import WEIGHT_NAMES
from tttcfg.document import DOCUMENT_NAME, Document, document_of
from tttcfg.effective import Effective
from tttcfg.errors import InputError, Problem
from tttcfg.extension import extensions_of
from tttcfg.family import Family, family_of
from tttcfg.fields import Section
from tttcfg.from_python import is_namespace, plain_tree
from tttcfg.saving import WEIGHTS
from tttcfg.ttt_moshi.family import TTT_MOSHI


def as_document(configuration: Any, family: Family = TTT_MOSHI) -> Document:
    """Return anything that holds a configuration as a document.

    Raises:
        InputError: It holds none.
    """
    if isinstance(configuration, Document):
        return configuration
    if isinstance(configuration, Mapping):
        return document_of(plain_tree(configuration, ""), family)
    if isinstance(configuration, Effective):
        effective: Effective = configuration
        own = family_of(type(effective.training))
        return Document(
            effective.training,
            own,
            own.head,
            provenance=effective.provenance,
            parts=effective.parts,
            carried=effective.carried,
        )
    if isinstance(configuration, family.model):
        return Document(configuration, family, family.head)
    if is_namespace(configuration) or (is_dataclass(configuration) and not isinstance(configuration, type)):
        live = import_module("tttcfg.live")
        return Document(live.training_of(configuration, family), family, family.head)
    model = family.model.__name__
    advice = f"give a {model}, an Effective, a Document, or a document as plain values"
    if isinstance(configuration, (str, os.PathLike)):
        advice = "read a file with tttcfg.load_document"
    message = f"is a {type(configuration).__name__}, not a {model}; {advice}"
    raise InputError(Problem("rejected", message, "configuration"))


def extended(document: Document, settings: Iterable[Section]) -> Document:
    """Return `document` with the settings of extensions in it.

    Raises:
        InputError: They are of none, or of another family's.
    """
    parts = dict(document.parts)
    for one in settings:
        extension = next((ext for ext in extensions_of(document.family).values() if ext.model is type(one)), None)
        if extension is None:
            message = f"is the model of no extension of {document.family.name}; tttcfg.register makes one known"
            raise InputError(Problem("extension", message, type(one).__name__))
        parts[extension.name] = Document(one, extension, extension.head)
    return replace(document, parts=parts) if parts else document


def placed(document: Document, target: Path) -> Document:
    """Return `document` as it is saved at `target`: as a training_config.json, with a record of the weights there.

    What it records of weights elsewhere is left out. Raises what `save_document` does.
    """
    there = any((target.parent / name).is_file() for name in (DOCUMENT_NAME, *WEIGHT_NAMES))
    if target.name != DOCUMENT_NAME or not (there or WEIGHTS in document.provenance):
        return document
    recorded: Document = import_module("tttcfg.binding").recorded(document, str(target))
    return recorded
