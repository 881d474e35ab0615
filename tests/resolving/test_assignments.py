"""What overrides set is read together: two old settings that became one decide together what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

import tttcfg
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare, Operation, Rename
from tttcfg.migration.record import Record
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema.fragments import integer
from tttcfg.schema.paths import MISSING, pop_path, set_path


class Sizes(Section):
    total: int = setting(8, role=Role.TRAINING, unit="sequences", ge=0, description="Sequences of a step.")
    workers: int = setting(1, role=Role.RUN, unit="processes", ge=0, description="Processes that load data.")
    width: int = setting(4, role=Role.ARCHITECTURE, unit="channels", ge=1, description="Width.")


@dataclass(frozen=True)
class Multiplied(Operation):
    """Two settings whose product is one."""

    other: str
    to: str

    def up(self, tree: Any, record: Record, partial: Any) -> None:  # noqa: ARG002 an operation's arguments
        both = [pop_path(tree, (one,)) for one in (self.path, self.other)]
        if any(one is not MISSING for one in both):
            one, other = (1 if each is MISSING else each for each in both)
            set_path(tree, (self.to,), one * other)

    def apply_to_schema(self, schema: Any) -> None:
        for name in (self.path, self.other):
            del schema["properties"][name]
        schema["properties"][self.to] = integer(8, minimum=0)

    def spellings(self) -> dict[str, str]:
        return {self.path: self.to, self.other: self.to}


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Family:
    names = ("batch", "ranks", "threads", "width")
    first = Migration(0, "2026-01-01", "", "", tuple(Declare(name, integer(1, minimum=0)) for name in names))
    second = Migration(1, "2026-01-02", "", "", (Rename("threads", "workers", "clearer"),))
    third = Migration(2, "2026-01-03", "", "", (Multiplied("batch", "ranks", "total"),))
    found = Family(name="sizes", model=Sizes, migrations="sizes.migrations", schemas="tttcfg.schemas")
    monkeypatch.setitem(vars(found), "chain", Chain([first, second, third]))
    monkeypatch.setitem(vars(found), "steps", {"v0000": 0, "v0000_to_v0001": 1, "v0001_to_v0002": 2})
    return found


@pytest.mark.parametrize(
    ("overrides", "total"),
    [
        (["batch=3", "ranks=4"], 12),
        (["ranks=4", "batch=3"], 12),
        (["batch=3"], 3),
        (["batch=3", "ranks=4", "batch=5"], 20),
        (["batch=3", "threads=2", "workers=3", "ranks=4"], 12),
        (["batch=3", "ranks=4", "total=7"], 7),
        (["total=7", "batch=3", "ranks=4"], 12),
        ({"batch": 3, "ranks": 4}, 12),
    ],
    ids=str,
)
def test_two_settings_that_became_one_decide_together(
    overrides: list[str] | Mapping[str, Any], total: int, family: Family
) -> None:
    assert tttcfg.resolve(family=family, overrides=overrides).training.total == total


def test_of_an_old_and_a_new_name_the_last_is_used(family: Family) -> None:
    for overrides, workers in ((["threads=2", "workers=3"], 3), (["workers=3", "threads=2"], 2)):
        found = tttcfg.resolve(family=family, overrides=overrides)
        assert found.training.workers == workers
        assert [one.value for one in found.origins["workers"]][:2] == [workers, 5 - workers]


def test_all_that_is_refused_is_named_with_its_position(family: Family) -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(family=family, overrides=["width=0", "threads=-1", "width=-3", "batch=x"])
    assert [(one.key, str(one.place)) for one in caught.value.problems] == [
        ("width", "override 1 (width)"),
        ("workers", "override 2 (threads)"),
        ("width", "override 3 (width)"),
        ("total", "override 4 (batch)"),
    ]


def test_a_version_is_that_of_all_overrides(family: Family) -> None:
    assert tttcfg.resolve(family=family, overrides=["schema_version=2", "workers=3"]).training.workers == 3
    with pytest.raises(InputError, match="threads: no setting has this name"):
        tttcfg.resolve(family=family, overrides=["threads=3", "schema_version=2"])
    with pytest.raises(InputError, match=r"override 2 \(schema_version\): schema_version: .*3"):
        tttcfg.resolve(family=family, overrides=["threads=3", "schema_version=3"])
