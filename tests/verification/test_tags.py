"""The digest in a binding tag, computed in the schema version that the weights were bound under."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.strategies import complete_documents
from tttcfg.documents.document import Document, document_of
from tttcfg.documents.effective import configuration_digest
from tttcfg.documents.save import document_tree
from tttcfg.family.family import Family
from tttcfg.family.json_schema import document_schema
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Add, Convert, Declare, Rename
from tttcfg.safetensors.header import Header
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema.fragments import integer, number, text
from tttcfg.testing import frozen_schema
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.verification.bindings import binding_of
from tttcfg.verification.tags import TAG_KEY, digest_as, digest_of_tree, tag_for

COMPUTATION: dict[str, Any] = {
    "role": Role.COMPUTATION,
    "unit": "dimensionless",
    "description": "What weights compute.",
}


class Data(Section):
    """Where data lie."""

    path: str = setting("", role=Role.RUN, unit="path", description="A path.")


class Before(Section):
    """A configuration as it was."""

    data: Data = Data()
    rate: float = setting(0.5, **COMPUTATION)
    scale: float = setting(2.0, **COMPUTATION)
    seed: int = setting(0, role=Role.TRAINING, unit="number", description="A seed.")


class After(Section):
    """The same one version later: a field renamed, one counted otherwise, one new."""

    data: Data = Data()
    base_rate: float = setting(0.5, **COMPUTATION)
    scale: int = setting(200, **COMPUTATION)
    seed: int = setting(0, role=Role.TRAINING, unit="number", description="A seed.")
    power: float = setting(1.0, **COMPUTATION)


def hundredfold(value: Any) -> Any:
    return round(value * 100)


def hundredth(value: Any) -> Any:
    return value // 100


STEPS = (
    Migration(
        0,
        "2026-01-01",
        "first",
        "",
        tuple(
            Declare(*one)
            for one in (("data.path", text("")), ("rate", number(0.5)), ("scale", number(2.0)), ("seed", integer(0)))
        ),
    ),
    Migration(
        1,
        "2026-01-02",
        "second",
        "",
        (
            Rename("rate", "base_rate", "clearer"),
            Convert("scale", hundredfold, "in hundredths", integer(200), hundredth),
            Add("power", number(1.0), 1.0, "was a constant"),
        ),
    ),
)


def family(model: type[Section], head: int, schemas: str) -> Family:
    made = Family(
        name="smaller",
        model=model,
        migrations="",
        schemas=schemas,
    )
    made.__dict__.update(head=head, chain=Chain(STEPS[: head + 1]))
    return made


@pytest.fixture
def families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Family, Family]:
    """Return a family before and after a change of its schema, the old schema frozen in a package."""
    package = tmp_path / f"schemas_of_{tmp_path.name}".replace("-", "_")
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    before, after = family(Before, 0, package.name), family(After, 1, package.name)
    (package / "v0000.schema.json").write_text(json.dumps(document_schema(before, 0)), "utf-8")
    return before, after


def header(metadata: dict[str, str]) -> Header:
    return Header("w.safetensors", metadata, 0, 0, None, {})


def bound_before(before: Family, values: dict[str, Any]) -> tuple[Document, Header]:
    document = document_of({"schema_version": 0, **values}, before, "training_config.json")
    return document, header(tag_for(document))


@given(complete_documents(TTT_MOSHI.head))
def test_the_digest_of_a_tree_is_that_of_the_configuration(values: dict[str, Any]) -> None:
    """By the roles in the frozen schema, as by those on the fields."""
    document = document_of(values, TTT_MOSHI)
    tree, schema = document_tree(document), frozen_schema(TTT_MOSHI, TTT_MOSHI.head)
    assert digest_of_tree(tree, schema, TTT_MOSHI.head) == configuration_digest(document.training, TTT_MOSHI)


@pytest.mark.parametrize("saved", ["as it was", "upgraded"])
@pytest.mark.parametrize("values", [{}, {"rate": 0.25, "scale": 3.0, "seed": 4}, {"rate": 0.1}])
def test_weights_stay_bound_when_the_schema_moves_on(
    values: dict[str, Any], saved: str, families: tuple[Family, Family]
) -> None:
    before, after = families
    old, bound = bound_before(before, values)
    document = document_of(document_tree(old), after, "training_config.json")
    if saved == "upgraded":
        document = document_of(document_tree(document), after, "training_config.json")
    assert document.version == (1 if saved == "upgraded" else 0)
    assert digest_as(document, 0) == configuration_digest(old.training, before)
    assert binding_of(bound, document, after).state == "bound"


@pytest.mark.parametrize(
    ("values", "state"),
    [({"base_rate": 0.75}, "contradicted"), ({"scale": 100}, "contradicted"), ({"seed": 9}, "bound")],
)
def test_another_configuration_contradicts_an_older_tag(
    values: dict[str, Any], state: str, families: tuple[Family, Family]
) -> None:
    before, after = families
    _, bound = bound_before(before, {})
    document = document_of({"schema_version": 1, **document_tree_of(after), **values}, after, "training_config.json")
    assert binding_of(bound, document, after).state == state


def test_an_older_embedded_configuration_is_upgraded_and_compared(families: tuple[Family, Family]) -> None:
    before, after = families
    old, _ = bound_before(before, {"rate": 0.25})
    carrying = header(tag_for(old, embed=True))
    document = document_of(document_tree(old), after, "training_config.json")
    assert binding_of(carrying, document, after).state == "bound"
    other = document_of({**document_tree(old), "seed": 5}, after, "training_config.json")
    assert "departs from training_config.json in seed (0, not 5)" in binding_of(carrying, other, after).reason


def test_a_tag_without_roles_to_compare_is_no_verdict(families: tuple[Family, Family]) -> None:
    after = families[1]
    document = document_of({"schema_version": 1}, after, "training_config.json")
    tag = {TAG_KEY: json.dumps({"digest": "sha256:x", "schema_version": 2})}
    assert binding_of(header(tag), document, after).state == "unbound"


def document_tree_of(one: Family) -> dict[str, Any]:
    return document_tree(Document(one.model(), one, one.head))


def test_weights_of_another_family_are_not_the_documents() -> None:
    """Whatever the digests are; a tag of 0.1, which names no family, is compared as before."""
    document = document_of({"schema_version": TTT_MOSHI.head}, TTT_MOSHI, "training_config.json")
    metadata = tag_for(document)
    assert binding_of(header(metadata), document, TTT_MOSHI).state == "bound"
    tag = json.loads(metadata[TAG_KEY])
    found = binding_of(header({TAG_KEY: json.dumps({**tag, "family": "other"})}), document, TTT_MOSHI)
    assert found.state == "contradicted"
    assert "of the family 'other'" in found.reason
    tag.pop("family")
    assert binding_of(header({TAG_KEY: json.dumps(tag)}), document, TTT_MOSHI).state == "bound"
