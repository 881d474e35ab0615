"""A variant from a plug-in resolves as the trainer's own does: the same values, origins, findings and errors."""

from __future__ import annotations

import json
import pickle
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import given

import tttcfg
from tests.resolving import test_variants as own
from tests.resolving.test_variants import FILES, OPTIMISED, OVERRIDES, SAVED, AdamW, Sgd
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.family.json_schema import model_schema
from tttcfg.family.plugged import PluggedVariant, register_variant
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Add, Declare, Operation, Rename
from tttcfg.schema.fields import Role, Section, config_fields, setting
from tttcfg.schema.fragments import bare, fields_of, number

GROUP = "tests.optimised"


class Muon(own.Muon):
    name: Literal["muon"] = setting("muon", role=Role.TRAINING, description="Its name.")


class Optimised(Section):
    optimizer: AdamW | Sgd | None = setting(
        AdamW(), role=Role.TRAINING, discriminator="name", plugins=GROUP, description="Optimiser."
    )
    steps: int = setting(3, role=Role.TRAINING, unit="steps", description="Steps.")


def with_history(family: Family, *later: tuple[Operation, ...], first: tuple[Operation, ...] = ()) -> None:
    """Give a family versions that are in no package."""
    declared = tuple(Declare(name, bare(one)) for name, one in fields_of(model_schema(family)).items())
    steps = [Migration(at, "2026-01-01", "", "", one) for at, one in enumerate((first or declared, *later))]
    vars(family)["chain"] = Chain(steps)
    vars(family)["steps"] = {f"v{at:04d}": at for at in range(len(steps))}


PLUGGED = Family("plugged", Optimised, "plugged.migrations", "tttcfg.schemas")
with_history(PLUGGED)
MUON = PluggedVariant("muon", Muon, "muon.migrations", "tttcfg.schemas")
with_history(MUON)
register_variant(MUON, GROUP)


def outcome(family: Family, checkpoint: dict[str, Any] | None, files: list[Any], overrides: dict[str, Any]) -> Any:
    """Return what resolving makes of the sources: values, origins and findings, or the keys of the errors."""
    with tempfile.TemporaryDirectory() as folder:
        if checkpoint is not None:
            document = {"$schema": family.schema_id, "schema_version": 0, "optimizer": checkpoint, "steps": 3}
            Path(folder, "training_config.json").write_text(json.dumps(document), "utf-8")
        try:
            found = tttcfg.resolve(
                folder if checkpoint is not None else None,
                [{"optimizer": file} for file in files],
                overrides,
                family=family,
            )
        except InputError as error:
            return sorted({(one.code, one.key) for one in error.problems})
    origins = {
        name: [(one.source, one.value, one.where.replace(folder, "")) for one in ranked]
        for name, ranked in found.origins.items()
    }
    findings = sorted((one.code, one.key, one.message.replace(folder, "")) for one in found.findings)
    return found.settings(), origins, findings


@given(SAVED, FILES, OVERRIDES)
def test_it_makes_no_difference_where_a_variant_is_from(
    checkpoint: dict[str, Any] | None, files: list[dict[str, Any]], overrides: dict[str, Any]
) -> None:
    stated = checkpoint
    if checkpoint is not None and checkpoint["name"] == "muon":
        stated = {"name": "muon", "schema_version": 0, **checkpoint}
    assert outcome(PLUGGED, stated, files, overrides) == outcome(OPTIMISED, checkpoint, files, overrides)


def test_it_is_a_value_of_the_field_in_python_too(tmp_path: Path) -> None:
    training = Optimised(optimizer=Muon(lr=0.5))
    assert isinstance(training.optimizer, Muon)
    path = tttcfg.save_document(tmp_path / "training_config.json", training)
    section = json.loads(path.read_bytes())["optimizer"]
    assert [*section] == ["name", "schema_version", "lr", "momentum", "fused", "decay"]
    assert tttcfg.load_document(path, family=PLUGGED).training == training
    assert training.model_copy(update={"steps": 4}).optimizer == Muon(lr=0.5)


def test_it_comes_back_from_whatever_holds_a_configuration() -> None:
    training = Optimised(optimizer=Muon(lr=0.5), steps=9)
    tree = tttcfg.to_dict(training)
    assert tree["optimizer"]["schema_version"] == 0
    for held in (tree, SimpleNamespace(optimizer={"name": "muon", "lr": 0.5}, steps=9), training.model_dump()):
        assert tttcfg.from_any(held, family=PLUGGED) == training
    assert tttcfg.resolve(config=tree).training == training
    assert pickle.loads(pickle.dumps(training)) == training
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Optimised.model_validate_json(training.model_dump_json()) == training


def test_its_version_is_no_setting() -> None:
    assert not [name for name in config_fields(Optimised) if "schema_version" in name]
    found = tttcfg.resolve(config={"optimizer": {"name": "muon", "schema_version": 0}}, family=PLUGGED)
    same = tttcfg.resolve(config={"optimizer": {"name": "muon"}}, family=PLUGGED)
    assert (found.digest, found.training) == (same.digest, same.training)
    assert "schema_version" not in found.settings()


@pytest.mark.parametrize("version", [True, "0", -1, 1.5, None])
def test_a_version_that_is_none_is_refused(version: Any) -> None:
    with pytest.raises(InputError, match=r"optimizer\.schema_version: .* is not a version"):
        tttcfg.resolve(config={"optimizer": {"name": "muon", "schema_version": version}}, family=PLUGGED)


class Demanding(Section):
    kind: Literal["demanding", "strict"] = setting("demanding", role=Role.COMPUTATION, description="Its name.")
    width: int = setting(role=Role.COMPUTATION, unit="channels", description="Width.")
    shape: tuple[int, ...] = setting((1,), role=Role.COMPUTATION, unit="channels", max_length=3, description="Shape.")


class Plain(Section):
    kind: Literal["plain"] = "plain"


class Inner(Section):
    layer: Plain | Demanding = setting(
        Plain(), role=Role.COMPUTATION, discriminator="kind", plugins="tests.layers", description="Layer."
    )


class Layers(Section):
    inner: Inner = Inner()


class Wide(Section):
    kind: Literal["wide"] = setting("wide", role=Role.COMPUTATION, description="Its name.")
    width: int = setting(role=Role.COMPUTATION, unit="channels", description="Width.")
    scale: float = setting(2.0, role=Role.COMPUTATION, unit="dimensionless", description="Scale.")
    shape: tuple[int, ...] = setting((1,), role=Role.COMPUTATION, unit="channels", max_length=3, description="Shape.")


LAYERS = Family("layers", Layers, "layers.migrations", "tttcfg.schemas")
with_history(LAYERS)
WIDE = PluggedVariant("wide", Wide, "wide.migrations", "tttcfg.schemas")
_FIRST = tuple(
    Declare("size" if name == "width" else name, bare(one))
    for name, one in fields_of(model_schema(WIDE)).items()
    if name != "scale"
)
with_history(WIDE, (Rename("size", "width", "clearer"), Add("scale", number(2.0), 1.0, "not scaled")), first=_FIRST)
register_variant(WIDE, "tests.layers")


def test_required_fields_may_come_from_different_sources() -> None:
    found = tttcfg.resolve(
        config={"inner": {"layer": {"kind": "wide", "shape": [2, 3]}}}, overrides=["inner.layer.width=4"], family=LAYERS
    )
    assert found.training.inner.layer == Wide(width=4, shape=(2, 3))
    with pytest.raises(InputError, match=r"inner\.layer\.width: is missing"):
        tttcfg.resolve(overrides=["inner.layer=wide"], family=LAYERS)


def test_only_what_is_given_is_upgraded_in_a_part_and_all_of_it_in_a_document() -> None:
    old = {"kind": "wide", "schema_version": 0, "size": 4}
    part = tttcfg.resolve(config={"inner": {"layer": old}}, family=LAYERS)
    assert part.training.inner.layer == Wide(width=4, scale=2.0)
    assert [one.key for one in part.findings] == ["inner.layer.size"]
    document = {"$schema": LAYERS.schema_id, "schema_version": 0, "inner": {"layer": {**old, "shape": [5]}}}
    whole = tttcfg.from_any(document, family=LAYERS)
    assert whole.inner.layer == Wide(width=4, scale=1.0, shape=(5,))


def test_a_refused_value_has_its_place_and_the_rest_is_checked_too() -> None:
    given = {"inner": {"layer": {"kind": "wide", "width": "x", "shape": [1, 2, 3, 4], "depth": 1}}}
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config=given, family=LAYERS)
    keys = {"inner.layer.width", "inner.layer.shape", "inner.layer.depth"}
    assert {one.key for one in caught.value.problems} == keys
