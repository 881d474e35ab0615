"""Roles of fields inside of lists, mappings and optional sections: restored, compared and hashed by their own role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from pydantic import Field

import tttcfg
from tttcfg.documents.differences import differences
from tttcfg.documents.document import document_of
from tttcfg.documents.effective import configuration_digest
from tttcfg.documents.save import document_tree
from tttcfg.family.family import Family
from tttcfg.family.json_schema import model_schema
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema.fragments import bare, fields_of
from tttcfg.testing.values import values
from tttcfg.verification.tags import digest_of_tree


class Data(Section):
    path: str = setting("here", role=Role.RUN, unit="path", description="Where it is.")
    workers: int = setting(1, role=Role.RUN, unit="processes", description="Readers.")


class Stage(Section):
    width: float = setting(1.0, role=Role.COMPUTATION, unit="dimensionless", description="Width.")
    rate: float = setting(0.5, role=Role.TRAINING, unit="dimensionless", description="Rate.")
    data: Data = Data()


class Conv(Section):
    kind: Literal["conv"] = "conv"
    kernel: float = setting(3.0, role=Role.ARCHITECTURE, unit="dimensionless", description="Kernel.")
    path: str = setting("", role=Role.RUN, unit="path", description="Where it is.")


class Attention(Section):
    kind: Literal["attention"] = "attention"
    heads: int = setting(4, role=Role.ARCHITECTURE, unit="heads", description="Heads.")
    dropout: float = setting(0.1, role=Role.TRAINING, unit="dimensionless", description="Dropout.")


class Staged(Section):
    stages: list[Stage] = setting([], role=Role.COMPUTATION, unit="stages", description="Stages.")
    named: dict[str, Stage] = setting({}, role=Role.COMPUTATION, unit="stages", description="Stages by name.")
    last: Stage | None = setting(None, role=Role.COMPUTATION, unit="stages", description="The last stage.")
    layer: Conv | Attention | None = setting(Conv(), role=Role.ARCHITECTURE, discriminator="kind", description="Layer.")
    layers: list[Annotated[Conv | Attention, Field(discriminator="kind")]] = setting(
        [], role=Role.ARCHITECTURE, unit="layers", description="Layers."
    )


STAGED = Family(name="staged", model=Staged, migrations="staged.migrations", schemas="tttcfg.schemas")
SCHEMA = model_schema(STAGED)
vars(STAGED)["chain"] = Chain(
    [Migration(0, "2026-01-01", "", "", tuple(Declare(name, bare(one)) for name, one in fields_of(SCHEMA).items()))]
)
vars(STAGED)["steps"] = {"v0000": 0}


def resolved(saved: Staged, config: dict[str, Any], folder: Path, **options: Any) -> tttcfg.Effective[Any, Any]:
    document = {"$schema": STAGED.schema_id, "schema_version": 0, **saved.model_dump(mode="json")}
    (folder / "training_config.json").write_text(json.dumps(document), "utf-8")
    return tttcfg.resolve(family=STAGED, checkpoint=folder, config=config, **options)


SAVED = [Stage(width=2.0, rate=0.25, data=Data(path="theirs")), Stage(data=Data(path="theirs"))]
OURS = [{"width": 2.0, "rate": 0.25, "data": {"path": "ours"}}, {"data": {"path": "ours"}}]


@pytest.mark.parametrize(
    ("saved", "config"),
    [
        (Staged(stages=SAVED), {"stages": OURS}),
        (Staged(named={"a": SAVED[0], "b": SAVED[1]}), {"named": {"b": OURS[1], "a": OURS[0]}}),
        (Staged(last=SAVED[0]), {"last": OURS[0]}),
    ],
)
def test_settings_of_this_run_are_taken_from_the_file_inside_of_the_same_sections(
    saved: Staged, config: dict[str, Any], tmp_path: Path
) -> None:
    found = resolved(saved, config, tmp_path)
    held = next(iter(config))
    value = getattr(found.training, held)
    sections = [value] if isinstance(value, Stage) else list(value.values() if isinstance(value, dict) else value)
    assert {one.data.path for one in sections} == {"ours"}
    assert {one.data.workers for one in sections} == {1}, "what the file does not give is the checkpoint's"
    assert [one.width for one in sections] == [2.0, 1.0][: len(sections)]
    used = found.origins[held][0]
    assert used.source == "checkpoint"
    assert "with settings of this run from config" in used.where
    assert not [one for one in found.findings if one.code == "deviation"]
    assert found.digest == configuration_digest(saved, STAGED)
    restored = resolved(saved, config, tmp_path, restore="all")
    assert restored.training == saved


def test_sections_that_are_not_the_same_keep_what_they_have(tmp_path: Path) -> None:
    found = resolved(Staged(stages=SAVED), {"stages": OURS[::-1]}, tmp_path)
    assert found.training.stages == SAVED
    assert [one.key for one in found.findings if one.code == "restored"] == ["stages"]


def test_what_differs_has_the_role_of_the_field_inside() -> None:
    one = Staged(stages=SAVED, last=Stage())
    other = Staged(
        stages=[SAVED[0], Stage(width=3.0, data=Data(path="x"))], last=Stage(rate=0.125, data=Data(workers=2))
    )
    assert {(found.key, found.role) for found in differences(one, other, STAGED)} == {
        ("stages.1.width", Role.COMPUTATION),
        ("stages.1.data.path", Role.RUN),
        ("last.rate", Role.TRAINING),
        ("last.data.workers", Role.RUN),
    }


def test_an_override_of_what_defines_nothing_inside_is_no_deviation(tmp_path: Path) -> None:
    found = resolved(Staged(stages=SAVED), {}, tmp_path, overrides=["stages.0.data.path=x"])
    assert found.training.stages[0].data.path == "x"
    assert not [one for one in found.findings if one.code == "deviation"]
    changed = resolved(Staged(stages=SAVED), {}, tmp_path, overrides=["stages.0.width=7"])
    assert [one.key for one in changed.findings if one.code == "deviation"] == ["stages"]


DOCUMENT = {"$schema": STAGED.schema_id, "schema_version": 0}


@given(values(SCHEMA))
def test_the_digest_is_that_which_the_schema_gives_and_of_nothing_else(drawn: dict[str, Any]) -> None:
    """The digest of a version that is not the newest is made of documents and their schema; it has to be the same."""
    document = document_of({**DOCUMENT, **drawn}, STAGED)
    digest = configuration_digest(document.training, STAGED)
    assert digest_of_tree(document_tree(document), SCHEMA, 0) == digest
    other = json.loads(json.dumps(drawn))
    for stage in (*other["stages"], *other["named"].values(), *([other["last"]] if other["last"] else [])):
        stage.update({"rate": 0.75, "data": {"path": "elsewhere", "workers": 3}})
    for one in (*other["layers"], *([other["layer"]] if other["layer"] else [])):
        one.update({"path": "elsewhere"} if one["kind"] == "conv" else {"dropout": 0.75})
    assert configuration_digest(document_of({**DOCUMENT, **other}, STAGED).training, STAGED) == digest
    for stage in (*other["stages"], *other["named"].values()):
        stage["width"] = 0.25 if stage["width"] == 0.125 else 0.125
    changed = configuration_digest(document_of({**DOCUMENT, **other}, STAGED).training, STAGED)
    assert (changed != digest) == bool(other["stages"] or other["named"])
