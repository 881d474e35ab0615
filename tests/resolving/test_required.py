"""Fields without a default, and choices that are not all text."""

from __future__ import annotations

from typing import Any, Literal

import pytest

import tttcfg
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fields import Role, Section, setting


class Data(Section):
    path: str = setting(role=Role.RUN, unit="path", description="Where the data are.")
    rate: float = setting(1.0, role=Role.RUN, unit="dimensionless", description="How much of them.")


class Needing(Section):
    steps: int = setting(role=Role.TRAINING, unit="steps", ge=1, description="Steps.")
    size: Literal["auto", 1, 2] = setting("auto", role=Role.TRAINING, description="Size.")
    data: Data


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Family:
    fragments = {
        "steps": {"type": "integer", "minimum": 1},
        "size": {"enum": ["auto", 1, 2], "default": "auto"},
        "data.path": {"type": "string"},
        "data.rate": {"type": "number", "default": 1.0},
    }
    step = Migration(0, "2026-01-01", "", "", tuple(Declare(name, one) for name, one in fragments.items()))
    found = Family(name="needing", model=Needing, migrations="needing.migrations", schemas="tttcfg.schemas")
    monkeypatch.setitem(vars(found), "chain", Chain([step]))
    monkeypatch.setitem(vars(found), "steps", {"v0000": 0})
    return found


def test_each_source_may_give_a_part_of_what_is_required(family: Family) -> None:
    found = tttcfg.resolve(config=[{"steps": 3}, {"data": {"rate": 0.5}}], overrides=["data.path=here"], family=family)
    assert found.training == Needing(steps=3, data=Data(path="here", rate=0.5))
    assert [one.source for one in found.origins["steps"]] == ["config"]
    assert [one.source for one in found.origins["data.path"]] == ["override"]


def test_what_is_required_and_not_given_is_missing_all_at_once(family: Family) -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(config={"data": {"rate": 0.5}}, family=family)
    assert [str(one) for one in caught.value.problems] == ["steps: is missing", "data.path: is missing"]


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("1", 1), ("2", 2)])
def test_a_choice_of_texts_and_numbers_is_parsed_as_what_it_is(text: str, value: Any, family: Family) -> None:
    found = tttcfg.resolve(overrides=["steps=1", "data.path=x", f"size={text}"], family=family)
    assert found.training.size == value
    with pytest.raises(InputError, match="size: 3 is refused: must be 'auto', 1 or 2"):
        tttcfg.resolve(overrides=["steps=1", "data.path=x", "size=3"], family=family)
