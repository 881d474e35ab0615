"""A document for a checkpoint that has none: what its tensors prove, and what its user asserts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tttcfg.documents.checkpoint import Checkpoint, weight_names
from tttcfg.documents.document import DOCUMENT_NAME, Document
from tttcfg.documents.effective import UNCONFIRMED, Effective, Weights, deciding
from tttcfg.errors import ContradictionError, InputError, Problem
from tttcfg.family.family import Family
from tttcfg.family.weights import describes
from tttcfg.migration.record import OF_VALUES
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import plain, present
from tttcfg.urls import is_url
from tttcfg.verification.bind import readable, recorded, refused
from tttcfg.verification.verify import weights_in

PROVED = "the tensors prove it"
ASSERTED = "asserted, in a configuration file that was given as the weights' own"
DOUBTED = "not determined by the tensors, and not asserted in a configuration file"


def adopted(effective: Effective, weights: Weights, found: Checkpoint) -> Document:
    """Return the document of a checkpoint that has none, from what resolving made of it, to be saved at its path.

    Raises:
        InputError: The checkpoint has a document, or it is not known which layers have TTT.
        ContradictionError: The weights refute a value of a file, or would refute the document.
    """
    family, header = effective.family, weights.header
    if found.document is not None or is_url(found.folder):
        message = "is there already; nothing to adopt" if found.document else "is a URL, where nothing is written"
        raise InputError(Problem("unwritable", message, place=found.document or found.folder))
    if not is_without_document(effective, found):
        message = "has an embedded configuration; tttcfg.bind writes it beside the weights again"
        raise InputError(Problem("unwritable", message, place=header.name))
    _refuse_refuted(effective)
    _refuse_unknown_layers(effective, weights)
    document = Document(effective.training, family, family.head, provenance=_rests(effective, family))
    path = os.path.join(found.folder, DOCUMENT_NAME)
    written = replace(document, path=f"{path} as it would be written")
    advice = dict.fromkeys(family.fields, "no document is written that its own weights refute")
    if problems := refused(found, weights, written, advice) or list(_beside(written, header, found)):
        raise ContradictionError(problems, effective)
    return recorded(document, path, header)


def is_without_document(effective: Effective, found: Checkpoint) -> bool:
    """Whether a checkpoint has neither a document nor an embedded configuration."""
    given = effective.origins.values()
    return found.document is None and all(deciding(origins).source != "checkpoint" for origins in given)


def _refuse_refuted(effective: Effective) -> None:
    """Raise a ContradictionError with everything that is asserted in files and refuted by tensors."""
    refuted = [one for one in effective.findings if (one.code, one.severity) == ("restored", "warning")]
    if refuted:
        advice = "correct the file, or leave that out of it"
        problems = [one._replace(code="contradiction", advice=advice, severity="error") for one in refuted]
        raise ContradictionError(problems, effective)


def _refuse_unknown_layers(effective: Effective, weights: Weights) -> None:
    """Raise where tensors of unknown names could be a layer's TTT, and no file gives the layers that have it."""
    for name in effective.family.knowledge.undetermined_fields(weights.evidence, effective.training):
        if effective.origins[name][0].source == "default":
            message = "cannot be determined: some layers have tensors of unknown names"
            advice = "give the run's configuration file with --config"
            raise InputError(Problem("missing", message, name, weights.header.name, advice=advice))


def _rests(effective: Effective, family: Family) -> dict[str, Any]:
    """Return what each value of a result rests on, as a document's provenance holds it."""
    rests: dict[str, dict[str, Any]] = {PROVED: {}, ASSERTED: {}}
    doubted: dict[str, Any] = {}
    for field in present(family.public_fields, effective.training):
        source, value = deciding(effective.origins[field.name]).source, plain(field.get(effective.training))
        if source == "weights":
            rests[PROVED][field.name] = value
        elif source == "config":
            rests[ASSERTED][field.name] = value
        elif field in family.model_defining_fields:
            doubted[field.name] = value
    recorded = {kind: _of_files(effective, kind) for kind in OF_VALUES}
    if doubted:
        recorded["doubted"][DOUBTED] = doubted
    return {
        "adopted": {reason: values for reason, values in rests.items() if values},
        **{kind: groups for kind, groups in recorded.items() if groups},
    }


def _of_files(effective: Effective, kind: str) -> dict[str, Any]:
    """Return what is recorded of values that are from a configuration file which is a whole document itself."""
    groups = effective.provenance.get(kind, {})
    return {reason: values for reason, values in groups.items() if not reason.startswith(UNCONFIRMED)}


def _beside(document: Document, own: Header, found: Checkpoint) -> Iterator[Problem]:
    """Yield the other weights of the folder that were trained by this program, and by another configuration."""
    read, family = os.path.basename(own.name), document.family
    for header in readable(found.folder, (name for name in weight_names(family) if name != read), family):
        weights = weights_in(header, family)
        evidence = weights.evidence
        ours = evidence.dialect is not None and describes(family, evidence.dialect)
        if not ours or (evidence.layers is not None and not evidence.layers.value and evidence.rank is None):
            continue  # a base model, for one, is no checkpoint of its own
        problems = refused(found, weights, document, {})
        if keys := dict.fromkeys(one.key for one in problems if one.code == "contradiction"):
            message = f"is of another configuration ({', '.join(keys)}), and the folder can have one {DOCUMENT_NAME}"
            yield Problem("contradiction", f"{message}; move one of the two to a folder of its own", place=header.name)
