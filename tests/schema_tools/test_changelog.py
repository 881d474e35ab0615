"""The entry of a version in a changelog."""

from __future__ import annotations

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Redeclare, Remove, Rename
from tttcfg.schema.fragments import integer
from tttcfg.schema_tools.changelog import entry, with_entry

STEP = Migration(
    8,
    "2026-12-01",
    "more steps",
    "here",
    (
        Rename("a", "b", "why"),
        Redeclare("c", integer(1), "why"),
        Remove("d", "why"),
        Add("e", integer(1), 0, "why"),
    ),
)


def test_an_entry_lists_what_changes_and_what_going_back_loses() -> None:
    text = " ".join(entry(STEP, "trainer").split())
    assert text.startswith("- Schema version 8 of trainer: more steps.")
    assert "adds `e`; removes `d`; renames `a` to `b`; changes `c`" in text
    assert "Going back to 7 loses `e`" in text
    assert max(map(len, entry(STEP, "trainer").splitlines())) <= 120


def test_an_entry_goes_under_what_has_changed() -> None:
    log = "# Log\n\n## [Unreleased]\n\n### Added\n\n- x\n\n### Changed\n\n- y\n\n## [1.0]\n\n### Changed\n\n- z\n"
    after = with_entry(log, STEP, "trainer")
    assert after is not None
    assert after.replace(entry(STEP, "trainer") + "\n", "") == log
    assert after.index("### Changed\n\n- Schema version 8") < after.index("- y") < after.index("## [1.0]")


def test_a_section_is_made_where_there_is_none() -> None:
    for rest in ("", "\n## [1.0]\n", "\n### Added\n\n- x\n"):
        after = with_entry(f"# Log\n\n## Unreleased\n{rest}", STEP, "trainer")
        assert after is not None
        assert after.startswith("# Log\n\n## Unreleased\n\n### Changed\n\n- Schema version 8")
        assert after.endswith(rest)
        assert "\n\n\n" not in after


def test_an_entry_takes_the_place_of_an_older_one_of_that_version() -> None:
    log = with_entry("## [Unreleased]\n\n### Changed\n\n- y\n", STEP, "trainer")
    assert log is not None
    other = Migration(8, "2026-12-01", "fewer steps", "here", ())
    after = with_entry(log, other, "trainer")
    assert after == "## [Unreleased]\n\n### Changed\n\n- Schema version 8 of trainer: fewer steps.\n- y\n"


def test_a_changelog_without_a_heading_for_it_gets_no_entry() -> None:
    assert with_entry("# Log\n\n## [1.0]\n", STEP, "trainer") is None
