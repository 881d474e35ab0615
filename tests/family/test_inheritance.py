"""What a family has to have in common with its parent."""

from __future__ import annotations

from typing import Literal

import pytest

from tttcfg.family.extension import Extension
from tttcfg.family.family import Family
from tttcfg.family.inheritance import departures
from tttcfg.schema.fields import Role, Section, Whole, setting


def whole() -> int:
    number: int = setting(1, role=Role.TRAINING, unit="steps", description="A number.")
    return number


class Optim(Section):
    lr: Whole = whole()


class Base(Section):
    seed: Whole = whole()
    optim: Optim = Optim()
    stages: list[Optim] = setting([], role=Role.TRAINING, unit="stages", description="Stages.")


class Other(Section):
    lr: Whole = whole()


class Wider(Optim):
    warmup: Whole = whole()


class Child(Base):
    optim: Wider = Wider()
    stages: list[Wider] = setting([], role=Role.TRAINING, unit="stages", description="Stages.")


class Apart(Base):
    optim: Other = Other()  # type: ignore[assignment]


class Flat(Base):
    optim: Whole = whole()  # type: ignore[assignment]


class Loose(Base):
    stages: dict[str, Other] = setting({}, role=Role.TRAINING, unit="stages", description="Stages.")  # type: ignore[assignment]


BASE = Family("inherited_base", Base, "base.migrations", "base.schemas")


def child(model: type[Section], name: str = "inherited_child", package: str = "child", **more: object) -> Family:
    return Family(name, model, f"{package}.migrations", f"{package}.schemas", parent=BASE, **more)


def test_a_child_has_the_fields_of_its_parent_and_more() -> None:
    family = child(Child)
    assert family.ancestors == (BASE,)
    assert list(family.fields) == ["seed", "optim.lr", "optim.warmup", "stages"]


def test_a_grandchild_has_two_ancestors() -> None:
    class Grandchild(Child):
        more: Whole = whole()

    parent = child(Child)
    family = Family("inherited_grandchild", Grandchild, "grand.migrations", "grand.schemas", parent=parent)
    assert family.ancestors == (parent, BASE)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Base, "its model Base has to be a subclass of Base"),
        (Other, "its model Other has to be a subclass of Base"),
        (Apart, "Apart.optim is a Other, which has to be a subclass of Optim"),
        (Flat, "Flat.optim is a single value, and optim of the parent is a section"),
        (Loose, "Loose.stages is a Other, which has to be a subclass of Optim"),
    ],
)
def test_a_model_that_is_not_the_parents_with_more_is_refused(model: type[Section], message: str) -> None:
    with pytest.raises(ValueError, match="inherited_child cannot inherit from inherited_base") as refused:
        _ = child(model)
    assert message in str(refused.value)


def test_name_and_packages_are_its_own_and_all_that_is_wrong_is_listed() -> None:
    with pytest.raises(ValueError, match="cannot inherit") as refused:
        _ = child(Apart, "inherited_base", "base")
    for one in ("Apart.optim", "name='inherited_base' is that of", "migrations='base.", "schemas='base."):
        assert one in str(refused.value)


def test_an_extension_has_no_parent_and_is_none() -> None:
    with pytest.raises(ValueError, match="an extension has no parent and is none"):
        _ = Extension("more", Child, "more.migrations", "more.schemas", parent=BASE)


class Sgd(Section):
    name: Literal["sgd"] = "sgd"
    lr: float = setting(0.1, role=Role.TRAINING, unit="dimensionless", description="Rate.")


class Adam(Section):
    name: Literal["adam"] = "adam"
    lr: float = setting(0.01, role=Role.TRAINING, unit="dimensionless", description="Rate.")


class Lion(Section):
    name: Literal["lion"] = "lion"


class OwnAdam(Adam):
    eps: float = setting(1e-8, role=Role.TRAINING, unit="dimensionless", description="Added.")


class Choosing(Section):
    optimizer: Sgd | Adam = setting(Sgd(), role=Role.TRAINING, discriminator="name", description="Optimiser.")


def test_a_family_may_have_more_variants_than_its_parent_and_more_in_each() -> None:
    class More(Choosing):
        optimizer: Sgd | OwnAdam = setting(Sgd(), role=Role.TRAINING, discriminator="name", description="Optimiser.")

    assert list(departures(More, Choosing)) == []

    class Less(Choosing):
        optimizer: Sgd = Sgd()  # type: ignore[assignment]

    (one,) = departures(Less, Choosing)
    assert one == "Less.optimizer is a section, and optimizer of the parent is one of several variants"

    class Other(Choosing):
        optimizer: Sgd | Lion = setting(  # type: ignore[assignment]
            Sgd(), role=Role.TRAINING, discriminator="name", description="Optimiser."
        )

    assert list(departures(Other, Choosing)) == [
        "Other.optimizer has no variant adam, which optimizer of the parent has"
    ]
