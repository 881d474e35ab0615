"""A document for a checkpoint that has none: what its tensors prove, and what somebody vouches for."""

from __future__ import annotations

from typing import Any

from tttcfg.document import Document
from tttcfg.effective import Effective, Verification
from tttcfg.errors import ContradictionError, Problem
from tttcfg.family import Family
from tttcfg.fields import plain
from tttcfg.saving import WEIGHTS, weights_record

PROVED = "the tensors prove it"
VOUCHED = "a configuration file says so, which was vouched for"
DOUBTED = "no tensor proves it, and no configuration file that was vouched for says so"


def refute_vouched(effective: Effective) -> None:
    """Raise a ContradictionError with everything that files were vouched for and tensors refute."""
    refuted = [one for one in effective.findings if (one.code, one.severity) == ("restored", "warning")]
    if refuted:
        advice = "correct the file, or leave that out of it"
        problems = [Problem("contradiction", f"{one.message}; {advice}", one.key) for one in refuted]
        raise ContradictionError(problems, effective)


def adopted(effective: Effective, verification: Verification, family: Family) -> Document:
    """Return the document of a result that no document stands behind, with what each value rests on."""
    rests: dict[str, dict[str, Any]] = {PROVED: {}, VOUCHED: {}}
    doubted: dict[str, Any] = {}
    for leaf in family.public_leaves:
        source, value = effective.origins[leaf.name][0].source, plain(leaf.get(effective.training))
        if source == "weights":
            rests[PROVED][leaf.name] = value
        elif source == "config":
            rests[VOUCHED][leaf.name] = value
        elif leaf in family.decisive_leaves:
            doubted[leaf.name] = value
    provenance = {
        "adopted": {reason: values for reason, values in rests.items() if values},
        **({"doubted": {DOUBTED: doubted}} if doubted else {}),
        WEIGHTS: [weights_record(verification.weights.header)],
    }
    return Document(effective.training, family, family.head, provenance=provenance)
