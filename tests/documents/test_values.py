"""Values of every type that a field may have come back from a saved document as they were."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from tttcfg.documents.document import Document, parse_document
from tttcfg.documents.save import document_bytes
from tttcfg.family.family import Family
from tttcfg.family.json_schema import model_schema
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fields import Role, Section, Text, Whole, setting
from tttcfg.schema.fragments import bare, fields_of
from tttcfg.testing import values

KINDS: dict[str, Any] = {
    "whole or text": Whole | Text,
    "number or text": float | Text,
    "switch or text": bool | Text,
    "whole, number or text": Whole | float | Text,
    "text or nothing": Text | None,
    "whole, text or nothing": Whole | Text | None,
    "list or text": tuple[Whole, ...] | Text,
    "texts or text": tuple[Text, ...] | Text,
    "mapping or text": dict[str, Whole] | Text,
    "word or whole": Literal["auto"] | Whole,
    "words or number": Literal["auto", "none"] | float,
}


def family_with(kind: Any) -> Family:
    """Return a family whose one field has a type, with a history of one version."""
    field = setting(None, role=Role.TRAINING, unit="things", description="What is tested.")
    model = type("Args", (Section,), {"__annotations__": {"value": kind}, "value": field, "__module__": __name__})
    family: Family = Family("one_field", model, "none", "none")
    (fragment,) = fields_of(model_schema(family)).values()
    chain = Chain([Migration(0, "2026-01-01", "first", "none", (Declare("value", bare(fragment)),))])
    vars(family).update(chain=chain, head=0)
    return family


@pytest.mark.parametrize("name", KINDS)
def test_every_alternative_is_saved_and_read_back(name: str) -> None:
    family = family_with(KINDS[name])
    (fragment,) = fields_of(model_schema(family)).values()
    for one in fragment.get("anyOf", [fragment]):
        is_free_text = one.get("type") == "string" and not one.keys() & {"enum", "const"}
        drawn = st.just("a: b") | values(one) if is_free_text else values(one)  # colons are counted when it is read

        @settings(max_examples=15, deadline=None)
        @given(drawn)
        def holds(value: Any) -> None:
            training = family.model.model_validate_json(to_json({"value": value}))
            data = document_bytes(Document(training, family, 0))
            again = parse_document(data, family).training
            assert again == training
            assert type(again.value) is type(training.value)

        holds()
