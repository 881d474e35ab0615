"""Whether anything uses a field: findings on a section depend on the field that enables it, whatever its name."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tttcfg.resolving.findings import training_uses
from tttcfg.schema.fields import Role, Section, config_fields, setting


class Stretched(Section):
    SWITCH: ClassVar[str] = "enabled"

    enabled: bool = setting(False, role=Role.COMPUTATION, description="Stretch positions.")
    scale: float = setting(1.0, role=Role.COMPUTATION, unit="dimensionless", description="By how much.")


class Adapted(Section):
    enable: bool = setting(False, role=Role.ARCHITECTURE, description="Add adapters.")
    rank: int = setting(8, role=Role.ARCHITECTURE, unit="channels", description="Their rank.")


class Trained(Section):
    stretched: Stretched = Stretched()
    adapted: Adapted = Adapted()
    width: int = setting(64, role=Role.ARCHITECTURE, unit="channels", description="A width.")


@pytest.mark.parametrize(
    ("values", "used"),
    [
        ({}, {"width"}),
        ({"stretched": {"enabled": True}}, {"width", "stretched.enabled", "stretched.scale"}),
        ({"adapted": {"enable": True}}, {"width", "adapted.enable", "adapted.rank"}),
    ],
)
def test_a_section_is_used_where_its_own_switch_is_on(values: dict[str, object], used: set[str]) -> None:
    training = Trained.model_validate(values)
    assert {name for name, field in config_fields(Trained).items() if training_uses(field, training)} == used
