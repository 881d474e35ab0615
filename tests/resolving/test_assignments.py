"""What overrides set is read together: two old settings that became one decide together what it is."""

from __future__ import annotations

from collections.abc import Mapping
from operator import mul
from typing import Any

import pytest

import tttcfg
from tttcfg.errors import InputError
from tttcfg.family.family import Family
from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare, Rename
from tttcfg.migration.reshaping import Merge
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema.fragments import integer


class Sizes(Section):
    total: int = setting(8, role=Role.TRAINING, unit="sequences", ge=0, description="Sequences of a step.")
    workers: int = setting(1, role=Role.RUN, unit="processes", ge=0, description="Processes that load data.")
    width: int = setting(4, role=Role.ARCHITECTURE, unit="channels", ge=1, description="Width.")


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Family:
    names = ("batch", "ranks", "threads", "width")
    first = Migration(0, "2026-01-01", "", "", tuple(Declare(name, integer(1, minimum=0)) for name in names))
    second = Migration(1, "2026-01-02", "", "", (Rename("threads", "workers", "clearer"),))
    merge = Merge(
        "total", ("batch", "ranks"), mul, lambda total: (total, 1), integer(8, minimum=0), "the product counts"
    )
    third = Migration(2, "2026-01-03", "", "", (merge,))
    found = Family(name="sizes", model=Sizes, migrations="sizes.migrations", schemas="tttcfg.schemas")
    monkeypatch.setitem(vars(found), "chain", Chain([first, second, third]))
    monkeypatch.setitem(vars(found), "steps", {"v0000": 0, "v0000_to_v0001": 1, "v0001_to_v0002": 2})
    return found


@pytest.mark.parametrize(
    ("overrides", "total"),
    [
        (["batch=3", "ranks=4"], 12),
        (["ranks=4", "batch=3"], 12),
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
        tttcfg.resolve(family=family, overrides=["width=0", "threads=-1", "width=-3", "batch=1", "ranks=-1"])
    assert [(one.key, str(one.place)) for one in caught.value.problems] == [
        ("width", "override 1 (width)"),
        ("workers", "override 2 (threads)"),
        ("width", "override 3 (width)"),
        ("total", "override 5 (ranks)"),
    ]


def test_a_version_is_that_of_all_overrides(family: Family) -> None:
    assert tttcfg.resolve(family=family, overrides=["schema_version=2", "workers=3"]).training.workers == 3
    with pytest.raises(InputError, match="threads: no setting has this name"):
        tttcfg.resolve(family=family, overrides=["threads=3", "schema_version=2"])
    with pytest.raises(InputError, match=r"override 2 \(schema_version\): schema_version: .*3"):
        tttcfg.resolve(family=family, overrides=["threads=3", "schema_version=3"])


@pytest.mark.parametrize("options", [{"overrides": ["batch=3"]}, {"config": {"batch": 3}}], ids=str)
def test_one_of_two_that_became_one_is_not_enough(options: dict[str, Any], family: Family) -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.resolve(family=family, **options)
    (problem,) = caught.value.problems
    assert problem.key == "batch"
    assert problem.sentence == "became total together with ranks; give ranks as well, or total"
