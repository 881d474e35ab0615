"""A document for a checkpoint that has none: what its tensors prove, and what somebody vouches for."""

from __future__ import annotations

from typing import Any

from tttcfg.document import Document
from tttcfg.effective import Effective, Verification
from tttcfg.family import Family
from tttcfg.fields import plain

PROVED = "the tensors prove it"
VOUCHED = "a configuration file says so, which was vouched for"
DOUBTED = "no tensor proves it, and no configuration file that was vouched for says so"


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
        "weights": {"header": verification.weights.header.digest},
    }
    return Document(effective.training, family, family.head, provenance=provenance)
