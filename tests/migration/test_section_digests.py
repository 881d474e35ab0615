"""Section digests: the part of a document that a removed value came from, and whether it was edited since."""

from __future__ import annotations

import pytest

from tttcfg.migration.chain import Chain, Migration
from tttcfg.migration.operations import Declare, Remove, Rename
from tttcfg.migration.record import Record
from tttcfg.migration.section_digests import add_missing, drop_matching, section_digest, section_of
from tttcfg.schema.fragments import integer
from tttcfg.ttt_moshi.family import TTT_MOSHI

WHY = "why"


def chain(*steps: tuple[object, ...]) -> Chain:
    return Chain([Migration(version, "2026-01-01", "s", "e", one) for version, one in enumerate(steps)])


@pytest.mark.parametrize(
    ("removed", "part"),
    [
        ("ttt.chunk_size", "ttt"),
        ("rope_continuous", None),
        ("paper_metrics", "evaluation"),
        ("paper_metrics.results_dir", "evaluation"),
        ("paper_metrics.ttt.chunk_size", "evaluation"),
        ("wandb.key", "wandb"),
    ],
)
def test_a_value_came_from_the_nearest_section_that_is_left(removed: str, part: str | None) -> None:
    assert section_of(removed, TTT_MOSHI.chain) == part


def test_where_a_section_went_several_ways_the_part_is_the_whole_document() -> None:
    fields = tuple(Declare(name, integer(0)) for name in ("a.b", "a.c", "a.d"))
    history = chain(fields, (Rename("a.b", "x.b", WHY), Rename("a.c", "y", WHY), Remove("a.d", WHY)))
    assert section_of("a.d", history) == ""


def test_a_part_that_moved_is_known_by_its_new_name() -> None:
    fields = tuple(Declare(name, integer(0)) for name in ("a.b", "a.c"))
    first = (Remove("a.c", WHY),)
    assert section_of("a.c", chain(fields, first)) == "a"
    assert section_of("a.c", chain(fields, first, (Rename("a.b", "z.y.b", WHY),))) == "z.y"


def test_a_digest_is_dropped_only_where_the_part_holds_what_it_held() -> None:
    history = chain(tuple(Declare(name, integer(0)) for name in ("a.b", "a.c")), (Remove("a.c", WHY),))
    record = Record(removed={"a.c": {"value": 1, "reason": WHY}})
    add_missing(record, {"a": {"b": 1}}, history)
    assert Record.from_saved(record.saved()) == record
    drop_matching(record, {"a": {"b": 2}})
    assert "a.c" in record.section_digests
    add_missing(record, {"a": {"b": 2}}, history)
    drop_matching(record, {"a": {"b": 1}})
    assert record.section_digests == {}, "a digest that does not match is not renewed"


def test_a_digest_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert section_digest({"a": {"b": 1, "c": 2}}, "a") == section_digest({"a": {"c": 2, "b": 1}, "z": 0}, "a")
    assert section_digest({"a": {"b": 1}}, "a") != section_digest({"a": {"b": 1.0}}, "a")
    assert section_digest({"a": 1}, "") != section_digest({"a": 2}, "")
