"""Fields that hold one of several classes: pydantic's discriminated unions, and registries as draccus has them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.process import run
from tests.scaffold.projects import FAMILY, Trainer

PYDANTIC = """
from typing import Annotated, Literal, Union

from pydantic import BaseModel, Field


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(9, ge=0, description="How many are left.")


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


class Args(BaseModel):
    seed: int = 0
    pet: Union[Cat, Dog] = Field(Cat(lives=7), discriminator="kind", description="Who lives here.")
    other: Annotated[Union[Cat, Dog], Field(discriminator="kind")] | None = None
"""
REGISTRY = """
from dataclasses import dataclass, field


class Registry:
    known = {}

    @classmethod
    def register_subclass(cls, name):
        def registered(one):
            cls.known[name] = one
            return one
        return registered

    @classmethod
    def get_known_choices(cls):
        return cls.known


@dataclass
class Optimizer(Registry):
    lr: float = 1e-3


@Optimizer.register_subclass("adam")
@dataclass
class Adam(Optimizer):
    eps: float = 1e-8


@Optimizer.register_subclass("xvla-adamw")
@dataclass
class AdamW(Optimizer):
    weight_decay: float = 1e-2


@dataclass
class Args:
    seed: int = 0
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=3e-4))
    fallback: Optimizer | None = None
"""


def test_a_discriminated_union_becomes_variants(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, PYDANTIC)
    models = trainer.written()
    assert 'kind: Literal["cat"] = "cat"' in models
    assert 'kind: Literal["dog"] = "dog"' in models, "a variant has a name, also where its class has no default"
    assert "pet: Cat | Dog = setting(" in models
    assert 'discriminator="kind"' in models
    assert "lives: Whole = setting(7" in models, "the default of the field is that of its section"
    assert trainer.confirm("*", "--unit", "*.lives=lives").code == 0
    assert trainer.schema("new", "--amend").code == 0
    assert "EDIT" not in trainer.models.read_text("utf-8")
    checked = trainer.schema("check")
    assert checked.code == 0, checked.out
    done = run("resolve", "pet=dog", *FAMILY, "--output", "json", cwd=tmp_path)
    assert done.json["training"]["pet"] == {"kind": "dog", "tricks": []}


def test_a_registry_becomes_variants_by_the_names_of_its_classes(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, REGISTRY)
    models = trainer.written()
    assert 'type: Literal["xvla-adamw"] = "xvla-adamw"' in models
    assert trainer.confirm("*", "*.lr=training").code == 0
    assert trainer.schema("new", "--amend").code == 0
    assert trainer.schema("check").code == 0
    usual = run("resolve", *FAMILY, "--output", "json", cwd=tmp_path).json["training"]
    assert usual["optimizer"] == {"type": "xvla-adamw", "lr": 3e-4, "weight_decay": 1e-2}
    assert usual["fallback"] is None
    chosen = run(
        "resolve", "optimizer=adam", "fallback={type: adam, lr: 1.0}", *FAMILY, "--output", "json", cwd=tmp_path
    )
    assert chosen.json["training"]["optimizer"] == {"type": "adam", "lr": 1e-3, "eps": 1e-8}
    assert chosen.json["training"]["fallback"] == {"type": "adam", "lr": 1.0, "eps": 1e-8}


def test_what_a_registry_saves_is_a_document(tmp_path: Path) -> None:
    """draccus writes the name of the class beside its fields, under `type`."""
    trainer = Trainer(tmp_path, REGISTRY)
    trainer.written()
    saved = {"seed": 1, "optimizer": {"type": "adam", "lr": 0.5, "eps": 0.25}, "fallback": None}
    (tmp_path / "train_config.json").write_text(json.dumps(saved), "utf-8")
    done = run("resolve", "--config", "train_config.json", *FAMILY, "--output", "json", cwd=tmp_path)
    assert {key: done.json["training"][key] for key in saved} == saved
