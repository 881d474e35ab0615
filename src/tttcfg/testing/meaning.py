"""What old programs did with their documents, held against what those upgrade to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tttcfg.documents.document import document_of
from tttcfg.family.family import Family
from tttcfg.schema.fields import plain
from tttcfg.testing.subject import Subject

FOLDER = "meaning"
"""The folder of what old programs did with the golden documents, beside those."""
ONE_OF = "one of"
"""The key under which a meaning lists what the old program may have done, where nobody knows which."""


def hold_golden_meaning(subject: Subject, version: int) -> None:
    """Assert that a golden document means what its meaning states, and that this states all that decides weights."""
    path = subject.golden / FOLDER / f"v{version:04d}.json"
    assert path.is_file(), f"{path} is missing: what the program of version {version} did with the golden document"
    stated = json.loads(path.read_bytes())
    document = document_of(subject.golden_document(version), subject.family)
    hold_meaning(stated, document.training, subject.family)
    model_defining = {field.name for field in subject.family.model_defining_fields}
    unsaid = sorted(model_defining & document.record.filled.keys() - stated.keys())
    assert not unsaid, f"{path} does not say what absence meant for {', '.join(unsaid)}"


def hold_meaning(stated: Mapping[str, Any], training: Any, family: Family) -> None:
    """Assert that an upgraded configuration has the values that the old program took, by dotted current field."""
    for name, value in stated.items():
        field = family.fields.get(name)
        assert field is not None, f"{name} is no field of version {family.head}; state it under its new name"
        now = plain(field.get(training))
        possible = value[ONE_OF] if isinstance(value, dict) and ONE_OF in value else [value]
        assert now in possible, f"{name} was {value!r} for the old program, and is {now!r} in the upgraded document"
