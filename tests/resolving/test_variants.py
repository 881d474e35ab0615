"""Fields that hold one of several variants: which one there is, and where the values inside of it come from."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tttcfg
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.family.json_schema import model_schema
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fields import Role, Section, config_fields, setting
from tttcfg.schema.fragments import bare, fields_of


def rate(default: float, role: Role = Role.TRAINING) -> Any:
    return setting(default, role=role, unit="dimensionless", gt=0, description="A rate.")


class Linear(Section):
    kind: Literal["linear"] = "linear"
    end: float = rate(0.1)


class Cosine(Section):
    kind: Literal["cosine"] = "cosine"
    floor: float = rate(0.2)


class AdamW(Section):
    name: Literal["adamw"] = "adamw"
    lr: float = rate(0.001)
    beta: float = rate(0.9)
    fused: float = rate(1.0, Role.RUN)


class Muon(Section):
    name: Literal["muon"] = "muon"
    lr: float = rate(0.02)
    momentum: float = rate(0.95)
    fused: float = rate(2.0, Role.RUN)
    decay: Linear | Cosine = setting(Linear(), role=Role.TRAINING, discriminator="kind", description="Decay.")


class Sgd(Section):
    name: Literal["sgd", "plain-sgd"] = "sgd"


class Optimised(Section):
    optimizer: AdamW | Muon | Sgd | None = setting(
        AdamW(), role=Role.TRAINING, discriminator="name", description="Optimiser."
    )
    steps: int = setting(3, role=Role.TRAINING, unit="steps", description="Steps.")


OPTIMISED = Family(name="optimised", model=Optimised, migrations="optimised.migrations", schemas="tttcfg.schemas")
_DECLARED = tuple(Declare(name, bare(one)) for name, one in fields_of(model_schema(OPTIMISED)).items())
vars(OPTIMISED)["chain"] = Chain([Migration(0, "2026-01-01", "", "", _DECLARED)])
vars(OPTIMISED)["steps"] = {"v0000": 0}
MODELS: dict[str, type[Section]] = {"adamw": AdamW, "muon": Muon, "sgd": Sgd, "plain-sgd": Sgd}
KEYS = {"name": "name", "decay": "kind"}
INNER = {
    "adamw": {"lr": 0.001, "beta": 0.9, "fused": 1.0},
    "muon": {"lr": 0.02, "momentum": 0.95, "fused": 2.0, "decay": "linear"},
    "sgd": {},
    "plain-sgd": {},
}
DECAYS = {"linear": {"end": 0.1}, "cosine": {"floor": 0.2}}


def resolved(**sources: Any) -> tttcfg.Effective[Any, Any]:
    return tttcfg.resolve(family=OPTIMISED, **sources)


def test_one_override_takes_another_variant_and_others_are_inside_of_it() -> None:
    found = resolved(overrides=["optimizer=muon", "optimizer.lr=3e-4", "optimizer.decay=cosine"])
    assert found.training.optimizer == Muon(lr=3e-4, decay=Cosine())
    used = {name: (ranked[0].value, ranked[0].source) for name, ranked in found.origins.items()}
    assert used == {
        "optimizer": ("muon", "override"),
        "optimizer.lr": (3e-4, "override"),
        "optimizer.momentum": (0.95, "default"),
        "optimizer.fused": (2.0, "default"),
        "optimizer.decay": ("cosine", "override"),
        "optimizer.decay.floor": (0.2, "default"),
        "steps": (3, "default"),
    }


@pytest.mark.parametrize("texts", [["optimizer.name=muon"], ["optimizer={name: muon}"], ["optimizer=muon"]])
def test_a_variant_has_three_spellings(texts: list[str]) -> None:
    assert resolved(overrides=[*texts, "optimizer.momentum=0.5"]).training.optimizer == Muon(momentum=0.5)
    assert resolved(overrides=["optimizer.momentum=0.5", *texts]).training.optimizer == Muon(momentum=0.5)


def test_the_default_of_a_field_of_variants_takes_what_is_inside_as_well() -> None:
    given = {"optimizer": {"name": "muon", "lr": 0.5}}
    assert resolved(config=given, overrides=["optimizer=!default"]).training.optimizer == AdamW()
    assert resolved(config=given, overrides=["optimizer.lr=!default"]).training.optimizer == Muon()


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"overrides": ["optimizer=sgdd"]}, "optimizer: has no variant 'sgdd'; there are adamw, muon, sgd, plain-sgd"),
        ({"config": {"optimizer": {"name": "mun"}}}, "has no variant 'mun'; .*did you mean muon"),
        ({"overrides": ["optimizer.momentum=1"]}, "optimizer.momentum: is a setting of muon, and optimizer is adamw"),
        (
            {"config": {"optimizer": {"name": "muon", "beta": 1.0}}},
            "beta: is a setting of adamw, and optimizer is muon",
        ),
        ({"overrides": ["optimizer.decay.flor=1"]}, "did you mean optimizer.decay.floor"),
        ({"overrides": ["optimizer.lr=x"]}, "optimizer.lr: 'x' is refused: must be a number"),
        ({"overrides": ["optimizer=muon", "optimizer.decay=step"]}, "decay: has no variant 'step'; there are linear"),
    ],
)
def test_what_no_variant_has_is_refused_with_those_that_there_are(sources: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolved(**sources)


def test_settings_of_another_variant_are_reported_wherever_they_are_given() -> None:
    found = resolved(config={"optimizer": {"beta": 0.5}}, overrides=["optimizer={name: sgd}", "optimizer=muon"])
    assert found.training.optimizer == Muon()
    reported = [(one.key, one.message, str(one.place)) for one in found.findings if one.code == "variant"]
    message = "is not used: it is given for another variant, and optimizer is 'muon'"
    assert reported == [("optimizer.beta", message, "config")]
    found = resolved(overrides=["optimizer={name: adamw, lr: 0.5}", "optimizer=muon"])
    reported = [(one.key, one.message, str(one.place)) for one in found.findings if one.code == "variant"]
    assert reported == [("optimizer.lr", message, "override 1 (optimizer)")]


def _section(variants: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw sections of the drawn variants with some of their fields; None for a section that states no variant."""

    def of(variant: str | None) -> st.SearchStrategy[Any]:
        own = INNER["adamw" if variant is None else variant]
        values = {name: DECAY if name == "decay" else st.sampled_from([0.25, 0.5, 0.75]) for name in own}
        given = st.fixed_dictionaries({}, optional=values)
        return given if variant is None else given.map(lambda section: {"name": variant, **section})

    return variants.flatmap(of)


DECAY = st.sampled_from(["linear", "cosine"]).flatmap(
    lambda kind: st.fixed_dictionaries({"kind": st.just(kind)}, optional=dict.fromkeys(DECAYS[kind], st.just(0.75)))
)
NAMES = st.sampled_from(["adamw", "muon", "sgd", "plain-sgd"])
SAVED = st.none() | NAMES.map(lambda name: saved(name, 0.125))
FILES = st.lists(_section(NAMES), max_size=2)
OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "optimizer": NAMES,
        "optimizer.lr": st.just(0.0625),
        "optimizer.momentum": st.just(0.0625),
        "optimizer.fused": st.just(0.0625),
        "optimizer.decay": st.sampled_from(["linear", "cosine"]),
        "optimizer.decay.end": st.just(0.0625),
        "optimizer.decay.floor": st.just(0.0625),
    },
)


def saved(name: str, value: float) -> dict[str, Any]:
    """Return a whole section of a variant, as a document has it."""
    section: dict[str, Any] = {"name": name, **dict.fromkeys(INNER[name], value)}
    return section | ({"decay": {"kind": "cosine", "floor": value}} if name == "muon" else {})


def flat(section: dict[str, Any]) -> dict[str, Any]:
    """Return a section as values by dotted name, with the name of a variant for its section."""
    found: dict[str, Any] = {"optimizer": section["name"]}
    for name, value in section.items():
        if name == "decay":
            found["optimizer.decay"] = value["kind"]
            found |= {f"optimizer.decay.{key}": one for key, one in value.items() if key != "kind"}
        elif name != "name":
            found[f"optimizer.{name}"] = value
    return found


def expected(
    checkpoint: dict[str, Any] | None, files: list[dict[str, Any]], overrides: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the values that a plain reading of the rules gives; None where an override is of another variant."""
    config: dict[str, Any] = {}
    for file in map(flat, files):
        for held in ("optimizer", "optimizer.decay"):
            if held in config and held in file and config[held] != file[held]:
                config = {name: one for name, one in config.items() if not name.startswith(f"{held}.")}
        config |= file
    document = {} if checkpoint is None else flat(checkpoint)
    usual = {"optimizer": "adamw"}
    sources = [overrides, document, config, usual]

    def first(name: str, *, run: bool = False) -> Any:
        ordered = [overrides, config, document, usual] if run else sources
        return next(one[name] for one in ordered if name in one)

    found: dict[str, Any] = {"optimizer": first("optimizer")}
    for source in (document, config):
        if source.get("optimizer", found["optimizer"]) != found["optimizer"]:
            source.clear()
    own = INNER[found["optimizer"]]
    usual |= {f"optimizer.{name}": value for name, value in own.items()}
    found |= {f"optimizer.{name}": first(f"optimizer.{name}", run=name == "fused") for name in own}
    if (kind := found.get("optimizer.decay")) is not None:
        for source in (document, config):
            if source.get("optimizer.decay", kind) != kind:
                for name in ("end", "floor"):
                    source.pop(f"optimizer.decay.{name}", None)
        usual |= {f"optimizer.decay.{name}": value for name, value in DECAYS[kind].items()}
        found |= {f"optimizer.decay.{name}": first(f"optimizer.decay.{name}") for name in DECAYS[kind]}
    return found if overrides.keys() <= found.keys() else None


@given(SAVED, FILES, OVERRIDES)
def test_no_value_leaks_from_one_variant_into_another(
    checkpoint: dict[str, Any] | None, files: list[dict[str, Any]], overrides: dict[str, Any]
) -> None:
    wanted = expected(checkpoint, files, overrides)
    with tempfile.TemporaryDirectory() as folder:
        if checkpoint is not None:
            document = {"$schema": OPTIMISED.schema_id, "schema_version": 0, "optimizer": checkpoint, "steps": 3}
            Path(folder, "training_config.json").write_text(json.dumps(document), "utf-8")
        sources: dict[str, Any] = {
            "checkpoint": folder if checkpoint is not None else None,
            "config": [{"optimizer": file} for file in files],
            "overrides": overrides,
        }
        if wanted is None:
            with pytest.raises(InputError, match="is a setting of"):
                resolved(**sources)
            return
        found = resolved(**sources)
    values = found.settings()
    assert values.pop("steps") == 3
    assert values == wanted
    assert {name: ranked[0].value for name, ranked in found.origins.items() if name != "steps"} == wanted
    for name, ranked in found.origins.items():
        if name in overrides:
            assert ranked[0].source == "override"


def test_a_field_of_several_variants_is_one_field_with_a_declaration_for_each() -> None:
    fields = config_fields(Optimised)
    assert [one.variant for one in fields["optimizer.lr"].declared] == ["adamw", "muon"]
    assert [one.default for one in fields["optimizer.lr"].declared] == [0.001, 0.02]
    assert fields["optimizer.decay.floor"].around == ("optimizer", "optimizer.decay")
    assert OPTIMISED.sections == frozenset()
