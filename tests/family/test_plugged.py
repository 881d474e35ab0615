"""What a plug-in declares for a field of variants: found when needed, and refused where the field cannot hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

import tttcfg
from tests.families import install
from tests.plugged import GROUP, LION, SECOND, Home, home_of_plug_in
from tttcfg import Role, Section, setting
from tttcfg.errors import InputError
from tttcfg.family.plugged import PluggedVariant, register_variant


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_of_plug_in(tmp_path / "home")


NAME = 'name: Literal["lion"] = setting("lion", role=Role.TRAINING, description="What it is called.")'
TOKEN = 'token: str | None = setting(None, role=Role.SECRET, unit="text", description="Token.")'
BROKEN = {
    "raise RuntimeError('torn')": "trainer_lion.config cannot be imported: RuntimeError: torn; reinstall trainer-lion",
    "LION = 3": "trainer_lion.config:LION is a int, not a PluggedVariant; correct the entry point of trainer-lion",
    SECOND.replace('PluggedVariant("lion"', 'PluggedVariant("tiger"'): "is the entry point of a plug-in named tiger",
    SECOND.replace(NAME, "pass"): 'has no discriminator name; it needs name: Literal["lion"] = setting("lion", …)',
    SECOND.replace('"lion"', '"muon"', 1).replace('setting("lion"', 'setting("muon"'): (
        "provides the variant muon, and the trainer itself has one of that name"
    ),
    SECOND.replace("    sign: bool", f"    {TOKEN}\n    sign: bool"): "has a secret, token",
    SECOND.replace(
        "sign: bool = setting(True, role=Role.TRAINING", "sign: bool = setting(True, role=Role.COMPUTATION"
    ): ("has sign with the role computation, and the field that holds it has the role training"),
    SECOND.replace("beta: float = setting(0.99, role=Role.TRAINING", "beta: float = setting(0.99, role=Role.RUN"): (
        "has beta with the role run, and another variant has it with training"
    ),
    SECOND.replace(
        "sign: bool = setting", "sign: bool = True or setting"
    ): "Lion.sign declares no role and description",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items(), ids=range(len(BROKEN)))
def test_what_the_field_cannot_hold_is_one_error_that_says_what_to_do(home: Home, text: str, message: str) -> None:
    home.write(text)
    for arguments in (("resolve", "steps=3"), ("fields",)):
        result = home.run(*arguments, "--family", "trainer")
        assert result.code == 2
        assert message in result.err
        assert "trainer-lion" in result.err
        assert result.err.count("\n") == 1, result.err
    assert home.run("--version").code == 0
    assert home.run("fields", "steps").code == 2, "the built-in family is not affected"
    assert home.schema("check", "trainer").code == 0


def test_two_plug_ins_of_one_name_are_one_error(home: Home) -> None:
    install(home.root, "other-lion", GROUP, {"lion": LION})
    result = home.run("resolve", "--family", "trainer")
    assert result.code == 2
    assert "lion: is declared by other-lion and by trainer-lion; uninstall one of them" in result.err


def test_two_plug_ins_of_one_variant_are_one_error(home: Home) -> None:
    home.write(SECOND + 'TIGER = PluggedVariant("tiger", Lion, "trainer_lion.migrations", "trainer_lion.schemas")\n')
    install(home.root, "trainer-tiger", GROUP, {"tiger": "trainer_lion.config:TIGER"})
    result = home.run("resolve", "--family", "trainer")
    assert "(trainer-tiger) provides the variant lion, and trainer-lion provides one of that name" in result.err


def test_a_plug_in_that_imports_the_trainer_may_be_imported_first(home: Home) -> None:
    for first in ("trainer_lion.config", "trainer.config"):
        code = f"import {first}; from trainer.config import Args; from trainer_lion.config import Lion; "
        code += "print(Args(optimizer=Lion(lr=0.5)).optimizer.lr)"
        from tests.launcher import python

        assert python("-c", code, cwd=home.root, env={"PYTHONPATH": str(home.root)}).out == "0.5\n"


class Own(Section):
    kind: Literal["own"] = "own"


class Registered(Section):
    kind: Literal["registered"] = setting("registered", role=Role.RUN, description="Its name.")


class Root(Section):
    part: Own = setting(Own(), role=Role.RUN, description="No variants.")


def test_one_is_registered_before_its_group_is_used() -> None:
    class Other(Section):
        kind: Literal["other"] = "other"

    class Late(Section):
        part: Own | Other = setting(
            Own(), role=Role.RUN, discriminator="kind", plugins="tests.late", description="A part."
        )

    variant = PluggedVariant("registered", Registered, "none.migrations", "none.schemas")
    assert register_variant(variant, "tests.late") is variant
    with pytest.raises(InputError, match="is the name of another plug-in that is registered"):
        register_variant(PluggedVariant("registered", Registered, "a", "b"), "tests.late")
    later: Any = {"part": {"kind": "registered"}}
    assert isinstance(Late.model_validate(later).part, Registered)
    assert register_variant(variant, "tests.late") is variant, "once more is no harm"
    with pytest.raises(InputError, match="is registered after a field of its group was used; register it before"):
        register_variant(PluggedVariant("more", Registered, "a", "b"), "tests.late")


def test_a_field_of_plug_ins_states_its_discriminator() -> None:
    with pytest.raises(TypeError, match="states its discriminator"):
        setting(Own(), role=Role.RUN, plugins="tests.none", description="A part.")
    assert tttcfg.PluggedVariant is PluggedVariant
